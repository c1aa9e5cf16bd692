"""One thread that waits for file descriptors and moments. Signals arrive as a descriptor.

The boundary around every component: what one raises is counted, logged once for each new message,
and stops nothing else.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import logging
import selectors
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from types import FrameType
from typing import Optional, Protocol

from ipsecmon.clock import Clock
from ipsecmon.errors import HelperGone
from ipsecmon.model import Counts

__all__ = ["SWITCH_S", "Loop", "others_give_way"]

# How long a thread that computes, as a sink's does while it sends what waited, may keep the interpreter from
# the loop after each of its system calls. A round has dozens: Python's own 5 ms made it 0.2 s late.
SWITCH_S = 0.0005

_logger = logging.getLogger(__name__)
Call = Callable[[], object]


class _Readable(Protocol):
    def fileno(self) -> int: ...


class Loop:
    """on_signal: what to call, in the loop, for each signal that is taken over while it runs."""

    def __init__(self, clock: Clock, counts: Counts, on_signal: Mapping[signal.Signals, Call]) -> None:
        self._clock = clock
        self._counts = counts
        self._on_signal = on_signal
        self._selector = selectors.DefaultSelector()
        self._timers: list[tuple[int, int, Call]] = []
        self._order = itertools.count()
        self._running = False
        self._last_error = ""

    def watch(self, readable: _Readable, call: Call) -> None:
        self._selector.register(readable.fileno(), selectors.EVENT_READ, call)

    def unwatch(self, readable: _Readable) -> None:
        self._selector.unregister(readable.fileno())

    def call_at(self, monotonic_ns: int, call: Call) -> None:
        heapq.heappush(self._timers, (monotonic_ns, next(self._order), call))

    def end(self) -> None:
        self._running = False

    def run(self) -> None:
        """Until end(). Raises HelperGone: without the helper nothing can be read any more."""
        ours, theirs = socket.socketpair()
        with ours, theirs, others_give_way():
            for side in (ours, theirs):
                side.setblocking(False)
            self.watch(ours, lambda: self._take_signals(ours))
            self._running = True
            restore = self._take_over_signals(theirs)
            try:
                while self._running:
                    self._wait_once()
            finally:
                restore()
                self.unwatch(ours)

    def close(self) -> None:
        self._selector.close()

    def _wait_once(self) -> None:
        timeout: Optional[float] = None
        if self._timers:
            timeout = max(0, self._timers[0][0] - self._clock.now().monotonic_ns) / 1e9
        for key, _ in self._selector.select(timeout):
            self._call(key.data)
        while self._timers and self._timers[0][0] <= self._clock.now().monotonic_ns:
            self._call(heapq.heappop(self._timers)[2])

    def _call(self, call: Call) -> None:
        try:
            call()
        except HelperGone:
            raise
        except Exception as error:  # the boundary: one component's failure stays its own
            self._counts.add("agent", "errors")
            said = f"{type(error).__name__}: {error}"
            if said != self._last_error:
                _logger.error("%s", said, exc_info=_logger.isEnabledFor(logging.DEBUG))
            self._last_error = said

    def _take_over_signals(self, wakeup: socket.socket) -> Call:
        def nothing(number: int, frame: Optional[FrameType]) -> None:
            """The number comes through the wakeup descriptor."""

        before = {number: signal.signal(number, nothing) for number in self._on_signal}
        before_fd = signal.set_wakeup_fd(wakeup.fileno(), warn_on_full_buffer=False)

        def restore() -> None:
            signal.set_wakeup_fd(before_fd)
            for number, handler in before.items():
                signal.signal(number, handler)

        return restore

    def _take_signals(self, ours: socket.socket) -> None:
        for number in ours.recv(64):
            taken = self._on_signal.get(signal.Signals(number))
            if taken:
                self._call(taken)  # each by itself: a failing SIGHUP must not swallow a SIGTERM


@contextlib.contextmanager
def others_give_way() -> Iterator[None]:
    """Threads that compute let others of this process go on within SWITCH_S."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_S)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
