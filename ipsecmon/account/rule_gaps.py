"""What passed, at most, while our rules did not stand: by the interfaces' own counters, which went on.

In: the readings of each round, and between which of them rules were gone or were not ours. Out: Readings at
`rules-gone`, in and out by interface: octets with link headers, packets are frames.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from ipsecmon.model import CounterKey, Direction, ObservationPoint, Reading

__all__ = ["Gap", "RuleGaps"]


class Gap(NamedTuple):
    """One time that rules did not stand: at most so long, with at most so much in it."""

    seconds: float
    octets_in: int
    octets_out: int


class RuleGaps:
    """Of a run. Nothing is told before the first gap."""

    def __init__(self) -> None:
        self._last: dict[CounterKey, Reading] = {}
        self._last_ns = 0
        self._gone: dict[CounterKey, Reading] = {}

    def stood(self, readings: Iterable[Reading], at_ns: int) -> None:
        """A round is over: the next gap begins here, at the earliest."""
        self._last.update(_interfaces(readings))
        self._last_ns = at_ns

    def add(self, readings: Sequence[Reading], at_ns: int) -> Gap:
        """Since stood() they may not have; by these readings they stand again."""
        octets = {Direction.IN: 0, Direction.OUT: 0}
        for key, now in _interfaces(readings).items():
            before = self._last.get(key)
            if before is None or before.birth != now.birth:
                continue
            passed = max(0, now.octets - before.octets)
            octets[key.direction] += passed
            self._book(key, f"{now.birth}/{at_ns}", passed, max(0, now.packets - before.packets))
        gap = Gap((at_ns - self._last_ns) / 1e9, octets[Direction.IN], octets[Direction.OUT])
        self.stood(readings, at_ns)
        return gap

    def readings(self) -> list[Reading]:
        return list(self._gone.values())

    def _book(self, key: CounterKey, life: str, octets: int, packets: int) -> None:
        key = key._replace(observed_at=ObservationPoint.RULES_GONE)
        so_far = self._gone.get(key, Reading(key, 0, 0, life))
        self._gone[key] = replace(so_far, octets=so_far.octets + octets, packets=so_far.packets + packets)


def _interfaces(readings: Iterable[Reading]) -> Mapping[CounterKey, Reading]:
    return {one.key: one for one in readings if one.key.observed_at is ObservationPoint.NIC}
