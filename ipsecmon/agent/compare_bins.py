"""A range of the own history as columns: equal intervals, and what happened in each of them.

Intervals of which nothing, or less than half, is known are left out, and so are those in which our rules did
not stand: neither is a zero.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ipsecmon.account.pairing import WEEK_S, Window
from ipsecmon.model import NOT_BY_RULES, CounterKey, Direction, ObservationPoint
from ipsecmon.qos import QueueKey, QueuePlace
from ipsecmon.store import Happened, Timeline

__all__ = ["Bins", "Floats", "Volumes", "as_bins", "step_of", "week_seconds"]

NS = 10**9
_THURSDAY_S = 3 * 86400  # from a Monday, 0:00: 1970 began on a Thursday
_ZONE_STEP_S = 900  # no zone changes its time but at a quarter of an hour

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Volumes(NamedTuple):
    """In each interval. lost: packets, of tunnels and queues. NaN: not counted yet."""

    octets: Floats
    packets: Floats
    lost: Floats


class Bins(NamedTuple):
    """gone: intervals, as they were counted, in which our rules did not stand.

    bridged_octets: what passed while no agent ran: in no interval. [start_ns, end_ns): of all that is known.
    """

    window: Window
    start_ns: Ints
    counters: Mapping[CounterKey, Volumes]
    tunnels: Mapping[tuple[str, Direction], Volumes]
    queues: Mapping[QueueKey, Volumes]
    places: Mapping[QueueKey, QueuePlace]
    gone: int
    bridged_octets: int
    end_ns: int

    @property
    def seconds(self) -> float:
        return float(self.window.seconds.sum())


def step_of(found: Iterable[Timeline]) -> float:
    """Seconds that one interval of all these should have: of the longest kind of row."""
    steps = [1.0]
    for one in found:
        steps.append(one.resolution_s)
        if one.spans:
            steps.append(float(np.median([end_ns - first_ns for first_ns, end_ns in one.spans])) / NS)
    return float(round(max(steps)))


def as_bins(found: Timeline, step_s: float) -> Bins:
    """Rows of time that are shorter than step_s are put together."""
    spans = np.array(found.spans, np.int64).reshape(-1, 2)
    gone = _gone(found)
    starts, place = np.unique(spans[:, 0] // round(step_s * NS), return_inverse=True)
    place = np.where(gone, -1, place)
    seconds = _summed(place, (spans[:, 1] - spans[:, 0]) / NS, len(starts))
    kept = seconds >= step_s / 2
    place = np.where(place < 0, -1, np.where(kept, np.cumsum(kept) - 1, -1)[place])
    start_ns = starts[kept] * round(step_s * NS)
    wire = [one for key, rows in found.counters.items() if key[2] is ObservationPoint.WIRE for one in rows]
    return Bins(
        Window(seconds[kept], week_seconds(start_ns // NS)),
        start_ns,
        {key: _volumes(rows, place, len(start_ns), _is_steady(key)) for key, rows in found.counters.items()},
        {key: _volumes(rows, place, len(start_ns), False) for key, rows in found.tunnels.items()},
        {key: _volumes(rows, place, len(start_ns), False) for key, rows in found.queues.items()},
        found.places,
        int(gone.sum()),
        sum(one.bridged_octets for one in wire),
        int(spans[:, 1].max(initial=0)),
    )


def week_seconds(start_s: Ints) -> Ints:
    """Local time as seconds since Monday 0:00: this machine's zone."""
    quarters, place = np.unique(start_s // _ZONE_STEP_S, return_inverse=True)
    offsets = np.array([time.localtime(int(one) * _ZONE_STEP_S).tm_gmtoff for one in quarters], np.int64)
    seconds: Ints = (start_s + (offsets[place] if len(quarters) else 0) + _THURSDAY_S) % WEEK_S
    return seconds


def _gone(found: Timeline) -> NDArray[np.bool_]:
    gone = np.zeros(len(found.spans), bool)
    for key, rows in found.counters.items():
        if key.observed_at is ObservationPoint.RULES_GONE:
            gone[[one.place for one in rows if one.octets or one.packets]] = True
    return gone


def _is_steady(key: CounterKey) -> bool:
    """It has a row in every interval from its first one on."""
    return key.observed_at not in NOT_BY_RULES


def _volumes(rows: Sequence[Happened], place: Ints, bins: int, is_steady: bool) -> Volumes:
    """What is bridged passed before its interval."""
    table = np.array(rows, np.float64).reshape(-1, 6)
    at = place[table[:, 0].astype(int)]
    octets, packets, lost = (
        _summed(at, column, bins)
        for column in (table[:, 1] - table[:, 3], table[:, 2] - table[:, 4], table[:, 5])
    )
    known = at[at >= 0]
    if is_steady and len(known):
        for one in (octets, packets):
            one[: known.min()] = np.nan
    return Volumes(octets, packets, lost)


def _summed(place: Ints, values: Floats, bins: int) -> Floats:
    used = place >= 0
    return np.bincount(place[used], values[used], minlength=bins).astype(float)
