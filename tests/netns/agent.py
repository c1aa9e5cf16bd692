"""A real `ipsecmon run` in a namespace, as a user starts it: by its command line, seen by its reports."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

import yaml

from tests.netns.exchange import Volume
from tests.netns.namespaces import Namespaces, in_namespace

__all__ = ["IPSECMON", "Agent", "in_namespace", "volume"]

IPSECMON = (sys.executable, "-m", "ipsecmon")
START_WITHIN_S = 60.0  # the guest is slow
STOP_WITHIN_S = 20.0


class Agent:
    """settings: the config less what every test has; the store and the log are in folder.

    before: a command that executes `run`, such as one that gives up being root first.
    """

    def __init__(
        self,
        among: Namespaces,
        folder: Path,
        settings: Mapping[str, Any],
        role: str = "router",
        before: Sequence[str] = (),
    ) -> None:
        self._before = before
        self.settings = settings
        self._among = among
        self._role = role
        self._log = folder / "agent.log"
        self.store = folder / "store"
        self.config = folder / "ipsecmon.yaml"
        self._settings: dict[str, Any] = {
            "router": "lab",
            "interval": "1s",
            "line": {"name": "T1", "interface": "wan0"},
            "store": {"path": str(self.store)},
        }
        self.configure(**settings)
        self._process: Optional[subprocess.Popen[bytes]] = None

    def configure(self, **settings: Any) -> None:
        """Write the config with these settings, and all others as they were."""
        self._settings.update(settings)
        self.config.write_text(yaml.safe_dump(self._settings))

    def start(self) -> None:
        """Until it says ready."""
        said = len(self.log())
        self.launch()
        assert self._process is not None
        deadline = time.monotonic() + START_WITHIN_S
        while "ready\n" not in self.log()[said:]:
            assert self._process.poll() is None and time.monotonic() < deadline, self.log()
            time.sleep(0.02)

    def launch(self) -> None:
        """Start it, and not wait."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command("run", "--no-page"), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def stop(self) -> int:
        """SIGTERM, and its exit status."""
        assert self._process is not None
        self._process.terminate()
        return self.wait()

    def wait(self) -> int:
        """Until it has ended by itself; its exit status."""
        assert self._process is not None
        return self._process.wait(STOP_WITHIN_S)

    def kill(self) -> None:
        """SIGKILL: no last words."""
        self.signal(signal.SIGKILL)
        assert self._process is not None
        self._process.wait(STOP_WITHIN_S)

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def end(self) -> None:
        """For teardown: whatever is still there."""
        if self._process is not None and self._process.poll() is None:
            self.signal(signal.SIGCONT)
            self.kill()

    @property
    def pid(self) -> int:
        """`ip netns exec` becomes the program it executes: this is main's."""
        assert self._process is not None
        return self._process.pid

    @property
    def supervisor_pid(self) -> int:
        """Main's only child."""
        return _child(self.pid)

    @property
    def helper_pid(self) -> int:
        """The supervisor's only child."""
        return _child(self.supervisor_pid)

    def log(self) -> str:
        return self._log.read_text() if self._log.exists() else ""

    def fails(self) -> str:
        """What `run` says on stderr when it cannot start."""
        return self.refused("run", "--no-page")

    def refused(self, *arguments: str) -> str:
        """What a command says on stderr that ends with status 1."""
        done = subprocess.run(
            self._command(*arguments),
            capture_output=True,
            text=True,
            timeout=START_WITHIN_S,
            check=False,
        )
        assert done.returncode == 1, done.stderr
        return done.stderr

    def call(self, *arguments: str) -> str:
        """Another command of ours with this config, in this namespace; its stdout."""
        return self._among.run(self._role, *IPSECMON, *arguments, "-c", str(self.config))

    def report(self, since: str = "1h", now: bool = True) -> dict[str, Any]:
        text = self.call("report", "--since", since, "--json", *(["--now"] if now else []))
        answer: dict[str, Any] = json.loads(text)
        return answer

    def counters(self, now: bool = True) -> dict[tuple[str, str, str], dict[str, Any]]:
        """Rows of the report by (name, direction, observed_at)."""
        rows = self.report(now=now)["counters"]
        return {(row["name"], row["direction"], row["observed_at"]): row for row in rows}

    def _command(self, *arguments: str) -> list[str]:
        inside = ["ip", "netns", "exec", self._among.name(self._role)]
        return [*inside, *self._before, *IPSECMON, *arguments, "-c", str(self.config)]


def _child(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def volume(row: Mapping[str, Any], prefix: str = "") -> Volume:
    """A row's packets and octets; prefix nflog_ for those of the copies."""
    return Volume(row[f"{prefix}packets"], row[f"{prefix}octets"])
