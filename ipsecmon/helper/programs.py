"""Running the system's own programs: by fixed paths, with a clean environment and a time limit."""

from __future__ import annotations

import os
import subprocess

from ipsecmon.errors import RulesRefused

__all__ = ["find", "output", "run"]

_FOLDERS = ("/usr/sbin", "/sbin", "/usr/bin", "/bin")  # not the caller's PATH
_TIMEOUT_S = 30


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
