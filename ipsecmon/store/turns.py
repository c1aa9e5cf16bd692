"""Who of this process writes next: first come, first served.

SQLite lets a writer that is kept waiting look again from time to time, and takes whoever happens to ask: one
that commits again and again, such as an agent that catches up, keeps all others out for seconds. Behind a
turn it is never our own connection that SQLite says the file is locked by.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from ipsecmon.errors import StoreError

__all__ = ["TURN_WITHIN_S", "Turns"]

TURN_WITHIN_S = 30.0  # for one write of ours, and those before it: only a disk that hangs takes longer


class Turns:
    """For all threads that write to one file; no thread waits twice, so that they are as many as sinks."""

    def __init__(self, within_s: float = TURN_WITHIN_S) -> None:
        self._within_s = within_s
        self._guard = threading.Lock()
        self._queue: deque[threading.Event] = deque()

    @property
    def waiting(self) -> int:
        """Threads that will have a turn, but for the one that has it."""
        with self._guard:
            return max(0, len(self._queue) - 1)

    @contextlib.contextmanager
    def turn(self, file: Path) -> Iterator[None]:
        """Raises StoreError where it does not come."""
        own = threading.Event()
        self._queue_up(own)
        try:
            if not own.wait(self._within_s):
                raise StoreError(
                    f"{file} has been written to by ipsecmon itself for {self._within_s:g} s:"
                    " check the disk and the kernel's log"
                )
            yield
        finally:
            self._leave(own)

    def _queue_up(self, own: threading.Event) -> None:
        with self._guard:
            self._queue.append(own)
            self._queue[0].set()

    def _leave(self, own: threading.Event) -> None:
        with self._guard:
            self._queue.remove(own)
            if self._queue:
                self._queue[0].set()
