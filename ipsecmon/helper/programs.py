"""Running the system's own programs: by fixed paths, with a clean environment and a time limit."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading

from ipsecmon.errors import RulesRefused, SourceError

__all__ = ["PLAIN", "complaint", "find", "output", "read", "run"]

_FOLDERS = ("/usr/sbin", "/sbin", "/usr/bin", "/bin")  # not the caller's PATH
_TIMEOUT_S = 30
_READ = 1 << 16
_MOST_COMPLAINT = 4096  # octets of stderr; a pipe holds 16 times of it, so that no program waits for us
_KEYLIKE = re.compile("0x[0-9a-fA-F]{9}|[0-9a-fA-F]{16}")
PLAIN = {"PATH": ":".join(_FOLDERS), "LC_ALL": "C", "TZ": "UTC0"}  # an environment


def find(name: str) -> str | None:
    """The path of a program, or None where it is not installed or may not be executed."""
    paths = [f"{folder}/{name}" for folder in _FOLDERS]
    return next((path for path in paths if os.access(path, os.X_OK)), None)


def run(program: str, arguments: tuple[str, ...], text: str = "") -> subprocess.CompletedProcess[str]:
    """program: a path. text: its standard input. Raises RulesRefused if it does not end in time."""
    try:
        return subprocess.run(
            [program, *arguments],
            input=text,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_S,
            check=False,
            env={"PATH": ":".join(_FOLDERS), "LC_ALL": "C"},
        )
    except subprocess.TimeoutExpired as error:
        raise RulesRefused(f"{program} did not end within {_TIMEOUT_S} s") from error
    except OSError as error:
        raise RulesRefused(f"{program} cannot be run: {error.strerror}") from error


def output(name: str, *arguments: str, text: str = "") -> str:
    """What a program says, or nothing if it is not there or fails."""
    program = find(name)
    return run(program, arguments, text).stdout if program else ""


def read(program: str, arguments: tuple[str, ...], most: int) -> bytes:
    """All that a program says: at most so many octets. Raises SourceError where it says more, fails, or does
    not end in time."""
    what = " ".join((program, *arguments))
    with _start(program, arguments) as running:
        timer = threading.Timer(_TIMEOUT_S, running.kill)
        timer.start()
        try:
            said, why = _say(running, most)
        finally:
            timer.cancel()
            timer.join()  # whoever forks next has one thread
    if len(said) > most:
        raise SourceError(f"{what}: says more than {most} octets")
    if running.returncode == -signal.SIGKILL:
        raise SourceError(f"{what}: did not end within {_TIMEOUT_S} s")
    if running.returncode:
        raise SourceError(f"{what}: {why or f'status {running.returncode}'}")
    return said


def _say(running: subprocess.Popen[bytes], most: int) -> tuple[bytes, str]:
    """What it says, up to its end, or to more than the most; and what it complains of."""
    assert running.stdout is not None and running.stderr is not None
    said = bytearray()
    while len(said) <= most:
        octets = os.read(running.stdout.fileno(), _READ)
        if not octets:
            return bytes(said), complaint(running.stderr.read(_MOST_COMPLAINT))
        said += octets
    running.kill()
    return bytes(said), ""


def _start(program: str, arguments: tuple[str, ...]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            [program, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=PLAIN,
        )
    except OSError as error:
        raise SourceError(f"{program} cannot be run: {error.strerror}") from error


def complaint(stderr: bytes) -> str:
    """Its first line that is not empty and can hold no key."""
    lines = stderr.decode("ascii", "replace").split("\n")
    return next((line.strip() for line in lines if line.strip() and not _KEYLIKE.search(line)), "")
