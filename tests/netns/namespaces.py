"""Network namespaces of this machine: made under unique names, deleted with what runs in them.

A role is what a test calls a namespace ("router"); its name carries the process id, so that tests
side by side never meet. Needs root and ip(8).
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Optional

__all__ = ["Namespaces", "NicCounters", "in_namespace"]

END_WAIT_S = 5  # a process that takes longer to end on SIGTERM is killed
COMMAND_LIMIT_S = 120
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


@contextlib.contextmanager
def in_namespace(name: str) -> Iterator[None]:
    """This thread, and what it starts, is in a named network namespace (setns(2))."""
    own, named = Path("/proc/thread-self/ns/net"), Path("/var/run/netns", name)
    with own.open("rb") as before, named.open("rb") as inside:
        assert _libc.setns(inside.fileno(), _CLONE_NEWNET) == 0
        try:
            yield
        finally:
            assert _libc.setns(before.fileno(), _CLONE_NEWNET) == 0


@dataclass(frozen=True)
class NicCounters:
    """What an interface has counted. packets: frames. octets: with the 14 of each link header."""

    in_octets: int
    in_packets: int
    in_dropped: int
    out_octets: int
    out_packets: int
    out_dropped: int

    def since(self, earlier: NicCounters) -> NicCounters:
        return NicCounters(
            *(getattr(self, name) - getattr(earlier, name) for name in self.__dataclass_fields__)
        )


class Namespaces:
    """A context manager; `with Namespaces("lan", "router") as them:`."""

    def __init__(self, *roles: str) -> None:
        self._names = {role: f"ipsecmon-{os.getpid()}-{role}" for role in roles}
        self._processes: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Namespaces:
        try:
            for name in self._names.values():
                _run("ip", "netns", "add", name)
        except BaseException:
            self._delete()
            raise
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        for process in self._processes:
            _end(process)
        self._delete()

    def _delete(self) -> None:
        for name in self._names.values():
            subprocess.run(["ip", "netns", "delete", name], check=False, stderr=subprocess.DEVNULL)

    def name(self, role: str) -> str:
        """What ip(8) calls the namespace: `ip netns exec NAME`, `ip -n NAME`."""
        return self._names[role]

    def run(self, role: str, *command: str, text: Optional[str] = None) -> str:
        """Run a command to its end and return its stdout. Raises AssertionError with its stderr."""
        return _run("ip", "netns", "exec", self.name(role), *command, text=text)

    def ip(self, role: str, batch: str) -> None:
        """Run lines of ip(8) arguments in one process."""
        _run("ip", "-n", self.name(role), "-batch", "-", text=batch)

    def sysctl(self, role: str, **settings: int) -> None:
        """Write sysctls; a double underscore stands for a dot, since names hold single ones."""
        lines = "".join(f"{key.replace('__', '/')} = {value}\n" for key, value in settings.items())
        self.run(role, "sysctl", "-q", "-p", "-", text=lines)

    def start(self, role: str, *command: str) -> subprocess.Popen[str]:
        """Start a process with pipes on stdin and stdout; it is ended with the namespaces at the latest."""
        argv = ["ip", "netns", "exec", self.name(role), *command]
        process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._processes.append(process)
        return process

    def connect(self, role: str, interface: str, far_role: str, far_interface: str) -> None:
        """A veth pair between two namespaces."""
        peer = ("peer", "name", far_interface, "netns", self.name(far_role))
        _run("ip", "-n", self.name(role), "link", "add", interface, "type", "veth", *peer)

    def link_address(self, role: str, interface: str) -> str:
        return str(self._link(role, interface)["address"])

    def nic(self, role: str, interface: str) -> NicCounters:
        """The interface's own counters, read now."""
        both = self._link(role, interface)["stats64"]
        assert isinstance(both, dict)
        counts = [both[side][what] for side in ("rx", "tx") for what in ("bytes", "packets", "dropped")]
        return NicCounters(*counts)

    def _link(self, role: str, interface: str) -> dict[str, object]:
        text = _run("ip", "-n", self.name(role), "-j", "-s", "link", "show", "dev", interface)
        link: dict[str, object] = json.loads(text)[0]
        return link


def _run(*argv: str, text: Optional[str] = None) -> str:
    done = subprocess.run(
        argv, input=text or "", capture_output=True, text=True, timeout=COMMAND_LIMIT_S, check=False
    )
    assert done.returncode == 0, f"{' '.join(argv)}: status {done.returncode}: {done.stderr.strip()}"
    return done.stdout


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(END_WAIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
