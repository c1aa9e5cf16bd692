"""The only place, besides agent/, that reads a clock. Everybody else is handed the time."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Clock", "Moment", "SystemClock"]


@dataclass(frozen=True)
class Moment:
    """One instant on both clocks: wall_ns since 1970, monotonic_ns since an arbitrary start."""

    wall_ns: int
    monotonic_ns: int


class Clock(Protocol):
    def now(self) -> Moment: ...


class SystemClock:
    """The kernel's clocks (clock_gettime(2): CLOCK_REALTIME, CLOCK_MONOTONIC)."""

    def now(self) -> Moment:
        return Moment(time.time_ns(), time.monotonic_ns())
