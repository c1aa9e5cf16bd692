"""Who has which address inside: from a file or a program of the administrator's, both only read.

names() always comes back within its time and without an exception: what cannot be read is counted and said
once, and the last names hold. The program is executed as it stands, without a shell, an input or a privilege.
"""

from __future__ import annotations

import logging
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from select import select
from typing import Optional

from ipsecmon.errors import DecodeError, SourceError
from ipsecmon.model import Counts
from ipsecmon.wire.warriors_text import decode_warriors

__all__ = ["WarriorNames"]

_logger = logging.getLogger(__name__)
LIMIT_S = 1.0  # of a run of the program
PAUSE_S = 60.0  # between two of them: the agent's loop waits for it
_MOST_OCTETS = 4 << 20
_CHUNK = 1 << 16


class WarriorNames:
    """file, command: either, both or none; where both have an address, the program is believed."""

    def __init__(
        self, file: Optional[Path], command: Sequence[str], counts: Counts, limit_s: float = LIMIT_S
    ) -> None:
        self._file = file
        self._command = command
        self._counts = counts
        self._limit_s = limit_s
        self._stamp: Optional[tuple[int, int, int]] = None
        self._of_file: Mapping[str, str] = {}
        self._of_command: Mapping[str, str] = {}
        self._run_at: Optional[float] = None
        self._trouble = ""

    def names(self) -> Mapping[str, str]:
        """By address, as ipaddress writes it."""
        try:
            if self._file is not None:
                self._read_file(self._file)
            if self._command:
                self._ask()
            self._trouble = ""
        except (OSError, SourceError, DecodeError) as error:
            self._counts.add("links", "failed-names")
            if str(error) != self._trouble:
                _logger.warning("names of road warriors cannot be read error=%s", error)
            self._trouble = str(error)
        return {**self._of_file, **self._of_command}

    def _read_file(self, file: Path) -> None:
        """Where it has changed."""
        status = file.stat()
        stamp = (status.st_ino, status.st_size, status.st_mtime_ns)
        if stamp == self._stamp:
            return
        with file.open("rb") as opened:
            self._of_file = _decoded(opened.read(_MOST_OCTETS + 1), str(file))
        self._stamp = stamp

    def _ask(self) -> None:
        now = time.monotonic()
        if self._run_at is not None and now - self._run_at < PAUSE_S:
            return
        self._run_at = now
        self._of_command = _decoded(_output(self._command, self._limit_s), self._command[0])


def _decoded(octets: bytes, where: str) -> dict[str, str]:
    if len(octets) > _MOST_OCTETS:
        raise SourceError(f"{where}: more than {_MOST_OCTETS} octets")
    try:
        return decode_warriors(octets.decode("utf-8", "replace"))
    except DecodeError as error:
        raise SourceError(f"{where}: {error}") from error


def _output(command: Sequence[str], limit_s: float) -> bytes:
    """What a program prints, up to one octet more than is read. Raises OSError and SourceError."""
    deadline = time.monotonic() + limit_s
    null = subprocess.DEVNULL
    process = subprocess.Popen(
        list(command), stdin=null, stdout=subprocess.PIPE, stderr=null, start_new_session=True
    )
    try:
        assert process.stdout is not None
        octets = _read_until(process.stdout.fileno(), deadline)
        code = process.wait(max(0.0, deadline - time.monotonic()))
    except (TimeoutError, subprocess.TimeoutExpired):
        raise SourceError(f"{command[0]}: did not end within {limit_s:g} s") from None
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
    if code:
        raise SourceError(f"{command[0]}: ended with status {code}")
    return octets


def _read_until(descriptor: int, deadline: float) -> bytes:
    """To its end. Raises TimeoutError."""
    octets = b""
    while len(octets) <= _MOST_OCTETS:
        readable, _, _ = select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
        if not readable:
            raise TimeoutError
        chunk = os.read(descriptor, _CHUNK)
        if not chunk:
            break
        octets += chunk
    return octets
