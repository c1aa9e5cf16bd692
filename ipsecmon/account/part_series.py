"""The parts of each line interval by interval: disjoint, never negative, and in sum what rules counted.

A packet that is counted in one interval may have its copy in the next one, and only then is it a tunnel's. So
what is left of a shared part waits for as many packets as have copies on their way; where more came late,
what is left of later intervals is less by as much.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from ipsecmon.account.line_parts import LineShare, divide, joined, sharers, uncertain_parts
from ipsecmon.account.partition import Volume, less, summed
from ipsecmon.account.sharing import sharing
from ipsecmon.model import (
    SHARES,
    Batch,
    CounterKey,
    Increment,
    ObservationPoint,
    PartIncrement,
    bare_name,
)

__all__ = ["PartSeries"]

_LARGEST = 1500  # octets of a packet, where none tells their mean
_TOLD = SHARES | {ObservationPoint.WIRE, ObservationPoint.DERIVED}
_Lines = Mapping[CounterKey, Sequence[CounterKey]]


class PartSeries:
    """tell() of each batch, close() when it is safe: one that a store refuses is told again."""

    def __init__(self) -> None:
        self._waiting: dict[CounterKey, Volume] = defaultdict(Volume)
        self._next: dict[CounterKey, Volume] = {}
        self._sharers: set[CounterKey] = set()
        self._seen: set[CounterKey] = set()

    def tell(self, batch: Batch, lines: _Lines) -> tuple[PartIncrement, ...]:
        """lines: to the counters that each is the sum of, as the ledger has them; sums of a part are none."""
        increments = {one.key: one for one in batch.increments if one.key.observed_at in _TOLD}
        volumes = {key: Volume() for key in sorted(self._sharers)}
        volumes.update({key: Volume(one.octets, one.packets) for key, one in increments.items()})
        part_sums = {key for key in lines if any(bare_name(one.name) == key.name for one in lines[key])}
        for key in part_sums & volumes.keys():  # what it had itself: a part of the only line until then
            volumes[key] = less(volumes[key], (volumes.get(one, Volume()) for one in lines[key]))
        self._next = {}
        self._seen = {key for key in increments if key.observed_at in SHARES}
        for part in {key for keys in lines.values() for key in keys if sharing(key.name)}:
            volumes[part] = self._settled(part, volumes, increments.get(part))
        uncertain = uncertain_parts(increments.values())
        return tuple(
            PartIncrement(line.name, one.name, line.direction, *one.volume, one.how)
            for line, rules in lines.items()
            if line not in part_sums
            for one in _by_bare_name(divide(rules, volumes, uncertain))
        )

    def close(self) -> None:
        self._waiting.update(self._next)
        self._sharers |= self._seen

    def _settled(
        self, part: CounterKey, volumes: Mapping[CounterKey, Volume], counted: Increment | None
    ) -> Volume:
        """The part as if it had counted its shares in this interval, and of what is left what is certain."""
        shares = [volumes[key] for key in sharers(part, volumes)]
        told = summed(shares)
        had, now = self._waiting[part], volumes.get(part, Volume())
        pending = counted.pending_packets if counted is not None and shares else 0
        mean = -(-now.octets // now.packets) if now.packets else _LARGEST
        octets = _left(had.octets + now.octets - told.octets, pending * mean)
        packets = _left(had.packets + now.packets - told.packets, pending)
        self._next[part] = Volume(
            had.octets + now.octets - told.octets - octets, had.packets + now.packets - told.packets - packets
        )
        return Volume(told.octets + octets, told.packets + packets)


def _by_bare_name(shares: Iterable[LineShare]) -> Iterable[LineShare]:
    """With several lines the name of a part has its line's behind it, and what it was before has not."""
    found: dict[str, LineShare] = {}
    for one in shares:
        name = bare_name(one.name)
        found[name] = joined(found.get(name), one._replace(name=name))
    return found.values()


def _left(number: int, waits: int) -> int:
    """Of what is left, all but what waits."""
    return max(0, number - waits)
