"""Chromium without a screen, driven by chromedriver (W3C WebDriver)."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.error
import urllib.request
from base64 import b64decode
from pathlib import Path
from typing import Any, Optional

from tests.parts.servers import free_ports

__all__ = ["Browser"]

WITHIN_S = 60.0
_FLAGS = (
    "--headless",
    "--no-sandbox",  # as root there is none
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)


class Browser:
    """folder: for the profile and the log."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (port,) = free_ports(1)
        self._command = ["chromedriver", f"--port={port}"]
        self._url = f"http://127.0.0.1:{port}"
        self._process: Optional[subprocess.Popen[bytes]] = None
        self._session = ""

    def start(self) -> None:
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._wait_until_ready()
        options = {"args": [*_FLAGS, f"--user-data-dir={self._folder / 'profile'}"]}
        wanted = {"capabilities": {"alwaysMatch": {"goog:chromeOptions": options}}}
        self._session = self._call("POST", "/session", wanted)["sessionId"]

    def stop(self) -> None:
        if self._process is not None:
            try:
                if self._session:
                    self._call("DELETE", f"/session/{self._session}")
            finally:
                self._process.terminate()
                self._process.wait(WITHIN_S)

    def open(self, address: str) -> None:
        self._of_session("url", {"url": address})

    def title(self) -> str:
        return str(self._call("GET", f"/session/{self._session}/title"))

    def value(self, script: str) -> Any:
        """What `return …` gives."""
        return self._of_session("execute/sync", {"script": script, "args": []})

    def resize(self, width: int, height: int) -> None:
        self._of_session("window/rect", {"width": width, "height": height})

    def picture(self) -> bytes:
        """A PNG of the window."""
        return b64decode(self._call("GET", f"/session/{self._session}/screenshot"))

    def _of_session(self, what: str, document: dict[str, Any]) -> Any:
        return self._call("POST", f"/session/{self._session}/{what}", document)

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + WITHIN_S
        while True:
            try:
                if self._call("GET", "/status")["ready"]:
                    return
            except OSError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.05)

    def _call(self, method: str, path: str, document: Optional[dict[str, Any]] = None) -> Any:
        octets = None if document is None else json.dumps(document).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self._url + path, octets, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=WITHIN_S) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{method} {path}: {error.read().decode()[:500]}") from error
