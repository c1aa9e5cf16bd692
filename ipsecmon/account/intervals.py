"""Which interval it is: half-open, aligned to the wall clock, measured by the monotonic one.

A clock that is stepped ends the interval where the monotonic clock says it ended, and the next one
begins where the wall clock now stands. Starts never repeat: every start is moved by as many nanoseconds
as the clock was ever stepped back, so that no point of a time series is written over.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["STEP_NS", "Intervals", "Span"]

STEP_NS = 1_000_000_000  # a smaller difference of the two clocks is slewing, and is followed
_LATE = 10  # an interval closed within this part of its length after its end still ends there


class Span(NamedTuple):
    """One interval, wall clock. stepped_ns: how far the clock was stepped inside it, 0 if not."""

    start_ns: int
    end_ns: int
    stepped_ns: int


class Intervals:
    """wall_ns, monotonic_ns: when counting begins. last_start_ns, steps_back: what the store remembers."""

    def __init__(
        self, interval_s: int, wall_ns: int, monotonic_ns: int, last_start_ns: int = -1, steps_back: int = 0
    ) -> None:
        self._length = interval_s * 1_000_000_000
        self._start = wall_ns
        self._start_monotonic = monotonic_ns
        self.steps_back = steps_back + (wall_ns + steps_back <= last_start_ns)
        self._due = self._boundary()

    def due_monotonic_ns(self) -> int:
        """When the running interval ends, on the monotonic clock."""
        return self._due

    def span(self, wall_ns: int, monotonic_ns: int) -> Span:
        """The running interval, if it ended now."""
        expected = self._start + monotonic_ns - self._start_monotonic
        stepped = wall_ns - expected
        behind = stepped < 0 and wall_ns <= self._start  # however small: followed, a start could repeat
        if abs(stepped) < STEP_NS and not behind:
            stepped, expected = 0, wall_ns
        boundary = expected - expected % self._length
        on_time = boundary > self._start and expected - boundary < self._length // _LATE
        end = boundary if on_time and not stepped else max(expected, self._start + 1)
        return Span(self._start + self.steps_back, end + self.steps_back, stepped)

    def close(self, wall_ns: int, monotonic_ns: int) -> None:
        """The running interval has ended now; the next one begins."""
        span = self.span(wall_ns, monotonic_ns)
        end = span.end_ns - self.steps_back
        self._start_monotonic = monotonic_ns
        if span.stepped_ns:
            self._start = wall_ns
            self.steps_back += span.stepped_ns < 0
        else:
            self._start_monotonic -= wall_ns - end
            self._start = end
        self._due = self._boundary()

    def change(self, interval_s: int) -> None:
        """The interval that has just begun ends at a boundary of another length."""
        self._length = interval_s * 1_000_000_000
        self._due = self._boundary()

    def defer(self, monotonic_ns: int) -> None:
        """The running interval could not be closed: it goes on to the next boundary."""
        while self._due <= monotonic_ns:
            self._due += self._length

    def _boundary(self) -> int:
        """The next multiple of the interval on the wall clock, seen on the monotonic one."""
        return self._start_monotonic + self._length - self._start % self._length
