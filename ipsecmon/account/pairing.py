"""Which intervals of two windows belong together, and how much each of them weighs.

Matched, an interval is compared with those of the same weekday and time of day in the other window, and what
only one window has is left out. A slot of the week weighs as long as it is known in both windows, whatever
time it has in either: three Mondays before and one after are one Monday each.

Unmatched, every interval weighs as long as it is.
"""

from __future__ import annotations

from typing import NamedTuple, Optional

import numpy as np
from numpy.typing import NDArray

__all__ = ["HOUR_S", "WEEK_S", "Pairing", "Weighed", "Window", "pair", "slot_length"]

HOUR_S, WEEK_S = 3600, 7 * 86400
MAX_UNITS = 1000  # neighbours are put together before: what is drawn of them fits in a few MB
_ENOUGH_SLOTS = 48
_SLOTS_S = (HOUR_S, 900, 300, 60, 10, 1)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Window(NamedTuple):
    """Intervals in the order of time: seconds that each has, and its second of the week, from Monday 0:00."""

    seconds: Floats
    week_s: Ints

    def only(self, known: NDArray[np.bool_]) -> Window:
        return Window(self.seconds[known], self.week_s[known])


class Weighed(NamedTuple):
    """unit: of each interval, what it is drawn with; -1 is left out, and weighs nothing."""

    unit: Ints
    weight: Floats


class Pairing(NamedTuple):
    """units: how many in each window; where is_paired, the same number is the same slot of the week."""

    before: Weighed
    after: Weighed
    units: tuple[int, int]
    is_paired: bool


def pair(before: Window, after: Window, slot_s: Optional[int]) -> Pairing:
    """slot_s: of the week, None for unmatched."""
    if slot_s is None:
        sides = _in_order(before), _in_order(after)
        return Pairing(sides[0], sides[1], (_count(sides[0]), _count(sides[1])), False)
    slots = before.week_s // slot_s, after.week_s // slot_s
    common = np.intersect1d(*slots)
    if not len(common):
        none = [Weighed(np.full(len(one), -1), np.zeros(len(one))) for one in slots]
        return Pairing(none[0], none[1], (0, 0), True)
    unit = [_place(one, common) for one in slots]
    known = [_sums(window.seconds, one, len(common)) for window, one in zip((before, after), unit)]
    share = np.minimum(*known)
    weighed = [
        Weighed(one, np.where(one < 0, 0.0, window.seconds * (share / whole)[one]))
        for window, one, whole in zip((before, after), unit, known)
    ]
    return Pairing(weighed[0], weighed[1], (len(common), len(common)), True)


def slot_length(before: Window, after: Window, step_s: float) -> Optional[int]:
    """The longest slot of which both windows have enough in common; None where they have none at all.

    step_s: of the intervals, which no slot is shorter than.
    """
    best = None
    for slot_s in (one for one in _SLOTS_S if one >= step_s or one == HOUR_S):
        common = len(np.intersect1d(before.week_s // slot_s, after.week_s // slot_s))
        if common >= _ENOUGH_SLOTS:
            return slot_s
        if common:
            best = slot_s
    return best


def _in_order(window: Window) -> Weighed:
    n = len(window.seconds)
    together = max(1, -(-n // MAX_UNITS))
    return Weighed(np.arange(n) // together, window.seconds)


def _count(weighed: Weighed) -> int:
    return int(weighed.unit[-1]) + 1 if len(weighed.unit) else 0


def _place(slots: Ints, common: Ints) -> Ints:
    place = np.minimum(np.searchsorted(common, slots), len(common) - 1)
    places: Ints = np.where(common[place] == slots, place, -1)
    return places


def _sums(values: Floats, unit: Ints, units: int) -> Floats:
    used = unit >= 0
    return np.bincount(unit[used], values[used], minlength=units).astype(float)
