"""Appends batches to a file: line protocol, JSON or CSV, one line a point or increment.

Nothing is written twice and nothing half: whenever the file is opened, its tail is read, a last
line without an end is cut off, and lines of the first batch that already stand there are left
out. That covers a kill between the write and the acknowledgement, and a disk that ran full.

For log rotation rename the file; the next batch finds that and begins a new one. reopen() (the
agent's SIGHUP) asks for the same where the file system's numbers cannot tell.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Optional

from pydantic import Field

from ipsecmon.errors import Unavailable
from ipsecmon.model import Batch
from ipsecmon.sinks.encoding import FORMATS
from ipsecmon.sinks.settings import SinkConfig

__all__ = ["TAIL_OCTETS", "Config", "Sink"]

# One batch is far smaller: a thousand counters in both directions are about 1 MB of lines.
TAIL_OCTETS = 4 * 2**20

_MODE = 0o640  # traffic volumes are nobody else's business

_ADVICE: Mapping[int, str] = {
    errno.ENOSPC: "make room on the file system",
    errno.EDQUOT: "raise the quota or make room",
    errno.EACCES: "let the agent's user write there",
    errno.EPERM: "let the agent's user write there",
    errno.EROFS: "choose a place that is writable",
    errno.ENOENT: "create its folder",
    errno.ENOTDIR: "create its folder",
    errno.EISDIR: "name a file in that folder",
}


class Config(SinkConfig):
    path: Path = Field(description="The file to append to; its folder must exist.")
    format: Literal["line-protocol", "json", "csv"] = Field(
        default="csv",
        description=(
            "csv: one row a counter and interval; json: one object a point and line;"
            " line-protocol: as InfluxDB takes it, with times in nanoseconds."
        ),
    )


class Sink:
    def __init__(self, config: Config) -> None:
        self._path = config.path
        self._format = FORMATS[config.format]
        self._descriptor: Optional[int] = None
        self._already: frozenset[bytes] = frozenset()
        self._reopen = threading.Event()

    def start(self) -> None:
        try:
            self._opened()
        except OSError as error:
            raise self._unavailable(error) from error

    def send(self, batch: Batch) -> None:
        try:
            self._append(batch)
        except OSError as error:
            self.stop()  # the next send looks at the tail again
            raise self._unavailable(error) from error

    def stop(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def reopen(self) -> None:
        """Have the next batch open the file anew; may be called from any thread."""
        self._reopen.set()

    def _append(self, batch: Batch) -> None:
        descriptor = self._opened()
        lines = self._format.encode(batch)
        new = b"".join(line for line in lines if line not in self._already)
        if new and os.fstat(descriptor).st_size == 0:
            new = self._format.header + new
        _write_all(descriptor, new)
        os.fsync(descriptor)  # also without new lines: a killed agent may not have come so far
        self._already = frozenset(lines)

    def _opened(self) -> int:
        if self._reopen.is_set() or self._is_replaced():
            self._reopen.clear()
            self.stop()
        if self._descriptor is None:
            descriptor = self._open()
            try:
                self._mend(descriptor)
            except BaseException:
                os.close(descriptor)
                raise
            self._descriptor = descriptor
        return self._descriptor

    def _is_replaced(self) -> bool:
        if self._descriptor is None:
            return False
        try:
            there = self._path.stat()
        except FileNotFoundError:
            return True
        return not os.path.samestat(there, os.fstat(self._descriptor))

    def _open(self) -> int:
        """Open or create the file, with its name in the folder safe on disk."""
        is_new = not self._path.exists()
        descriptor = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _MODE)
        if is_new:
            folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        return descriptor

    def _mend(self, descriptor: int) -> None:
        """Cut off a torn last line, and remember the whole ones before it."""
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise Unavailable(f"{self._path}: not a regular file; name one")
        start = max(0, status.st_size - TAIL_OCTETS)
        tail = os.pread(descriptor, status.st_size - start, start)
        whole = tail.rfind(b"\n") + 1
        if start and not whole:
            raise Unavailable(f"{self._path}: its end is not text of ipsecmon's; name another file")
        if whole < len(tail):
            os.ftruncate(descriptor, start + whole)
        self._already |= frozenset(tail[:whole].splitlines(keepends=True))

    def _unavailable(self, error: OSError) -> Unavailable:
        reason = (error.strerror or type(error).__name__).lower()
        advice = _ADVICE.get(error.errno or 0, "see to the file system")
        return Unavailable(f"{self._path}: {reason}; {advice}")


def _write_all(descriptor: int, octets: bytes) -> None:
    rest = memoryview(octets)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
