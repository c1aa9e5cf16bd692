"""So many times an hour, and no more."""

from __future__ import annotations

from collections import deque
from typing import Optional

__all__ = ["HourLimit"]

_HOUR_NS = 3600 * 10**9


class HourLimit:
    """Times are of CLOCK_MONOTONIC, ns."""

    def __init__(self, times: int) -> None:
        self._taken: deque[int] = deque(maxlen=times)

    def full_until_ns(self, now_ns: int) -> Optional[int]:
        """None: once more is possible now."""
        if len(self._taken) < (self._taken.maxlen or 0):
            return None
        until_ns = self._taken[0] + _HOUR_NS
        return until_ns if now_ns < until_ns else None

    def take(self, now_ns: int) -> None:
        self._taken.append(now_ns)
