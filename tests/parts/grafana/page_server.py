"""Serves the page, the dashboards, and /query of influxd as a data source's proxy would."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from base64 import b64encode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

from tests.parts.servers import PASSWORD, USER

__all__ = ["PageServer"]

_KINDS = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".json": "application/json"}
_BASIC = b64encode(f"{USER}:{PASSWORD}".encode()).decode()


class PageServer:
    """page, dashboards: folders. influxd: its address; database: what is asked of it."""

    def __init__(self, page: Path, dashboards: Path, influxd: str, database: str) -> None:
        self._folders = {"": page, "dashboards": dashboards}
        self._query_url = f"{influxd}/query"
        self._database = database
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, address: str) -> tuple[int, str, bytes]:
        """Status, kind and octets of what is asked for."""
        parts = urlsplit(address)
        if parts.path == "/query":
            return self._ask({name: values[0] for name, values in parse_qs(parts.query).items()})
        folder, _, name = parts.path.strip("/").rpartition("/")
        file = self._folders.get(folder, Path("/nowhere")) / name
        if not file.is_file():
            return 404, "text/plain", b"not here"
        return 200, _KINDS.get(file.suffix, "application/octet-stream"), file.read_bytes()

    def _ask(self, values: dict[str, str]) -> tuple[int, str, bytes]:
        octets = urlencode({**values, "db": self._database}).encode()
        request = urllib.request.Request(self._query_url, octets, {"Authorization": f"Basic {_BASIC}"})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return 200, "application/json", answer.read()
        except urllib.error.HTTPError as error:
            return error.code, "application/json", error.read()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        answer = self.answer

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, kind, octets = answer(self.path)
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(octets)))
                self.end_headers()
                self.wfile.write(octets)

            def log_message(self, *_: object) -> None:
                pass

        return Handler
