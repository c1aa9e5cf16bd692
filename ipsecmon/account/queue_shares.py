"""How much of what was offered to the line's queue left it, part by part.

Rules count what is offered, before the queue, and know the part; queues count what they sent and dropped, and
know no part. Which queue takes which parts is told by counting: sent and dropped packets of a queue are those
of its parts, interval by interval. A queue that parts share has its loss spread over them by their packets,
which is an estimate; where no assignment fits, the line's whole loss is spread so.
"""

from __future__ import annotations

import enum
import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Optional

import numpy as np
from numpy.typing import NDArray

__all__ = ["Carried", "Leaf", "Offered", "Surety", "assign", "carry"]

_FITS = 0.02  # of all packets: what may be in another interval, or in no queue
_TOO_SMALL = 0.003  # of all packets: a part that no assignment can be told of
_MOST_TRIED = 20_000  # assignments: 8 parts in 3 queues, 14 in 2
_SEEN_CLOSELY = 32

Floats = NDArray[np.float64]


class Surety(str, enum.Enum):
    """COUNTED: nothing of it was dropped, or a queue took these parts alone. SPREAD: what a queue dropped is
    spread over parts. UNKNOWN: the same, where it treats them differently, or nobody knows how.
    """

    COUNTED = "counted"
    SPREAD = "spread"
    UNKNOWN = "unknown"


class Offered(NamedTuple):
    """Of a part, in each interval: IP packets as rules count them."""

    octets: Floats
    packets: Floats


class Leaf(NamedTuple):
    """A queue that has no other below it. octets: sent, without link headers. is_fair: it does not treat all
    packets alike.
    """

    octets: Floats
    packets: Floats
    drops: Floats
    is_fair: bool


class Carried(NamedTuple):
    """octets: of each part, in each interval. group: which share a queue, of parts large enough to matter."""

    octets: Mapping[str, Floats]
    surety: Mapping[str, Surety]
    group: Mapping[str, int]

    def surety_of(self, names: Sequence[str]) -> Surety:
        """Of the sum of parts: counted where they have their queues for themselves."""
        groups = {self.group[name] for name in names if name in self.group}
        if all(name in names for name, group in self.group.items() if group in groups):
            return Surety.COUNTED
        return max((self.surety[name] for name in names), key=list(Surety).index)


def carry(
    parts: Mapping[str, Offered], line_octets: Floats, drops: Floats, leaves: Sequence[Leaf]
) -> Carried:
    """line_octets: carried by the whole line, without link headers. drops: packets, of the whole line."""
    if not drops.any():
        return Carried({name: one.octets for name, one in parts.items()}, *_alike(parts, Surety.COUNTED))
    packets = {name: one.packets for name, one in parts.items()}
    assigned = assign(packets, leaves)
    if assigned is None:
        is_fifo = len(leaves) == 1 and not leaves[0].is_fair
        surety = Surety.SPREAD if is_fifo else Surety.UNKNOWN
        return Carried(_spread(parts, line_octets), *_alike(parts, surety))
    told = _told(packets)
    octets: dict[str, Floats] = {}
    surety_of: dict[str, Surety] = {}
    for number, leaf in enumerate(leaves):
        own = {name: parts[name] for name, place in assigned.items() if place == number}
        octets.update(_spread(own, leaf.octets))
        surety_of.update(dict.fromkeys(own, _surety(leaf, sum(name in told for name in own))))
    return Carried(octets, surety_of, {name: assigned[name] for name in told})


def assign(packets: Mapping[str, Floats], leaves: Sequence[Leaf]) -> Optional[dict[str, int]]:
    """By part, the number of the leaf that takes it; None where none fits or two do.

    Parts of a handful of packets go with the largest leaf: which one it is makes no difference.
    """
    total = sum(float(one.sum()) for one in packets.values())
    told = _told(packets)
    if not leaves or not total or len(leaves) ** len(told) > _MOST_TRIED:
        return None
    taken = np.array([leaf.packets + leaf.drops for leaf in leaves])
    given = np.array([packets[name] for name in told])
    tried = list(itertools.product(range(len(leaves)), repeat=len(told)))
    sums = np.array(
        [[(np.array(one) == leaf) @ given.sum(axis=1) for leaf in range(len(leaves))] for one in tried]
    )
    nearest = np.argsort(np.abs(sums - taken.sum(axis=1)).sum(axis=1), kind="stable")[:_SEEN_CLOSELY]
    misses = sorted((_miss(tried[place], given, taken) / total, tried[place]) for place in nearest)
    if misses[0][0] > _FITS or (len(misses) > 1 and misses[1][0] <= 2 * misses[0][0] + _TOO_SMALL):
        return None
    largest = int(taken.sum(axis=1).argmax())
    return {**dict.fromkeys(packets, largest), **dict(zip(told, misses[0][1]))}


def _told(packets: Mapping[str, Floats]) -> list[str]:
    """Parts that are large enough to be found in a queue."""
    total = sum(float(one.sum()) for one in packets.values())
    return [name for name, one in packets.items() if one.sum() > _TOO_SMALL * total]


def _miss(assigned: Sequence[int], given: Floats, taken: Floats) -> float:
    """Packets that are not where the assignment has them: over the whole time, and half of it at each end, as
    a packet may be counted by the rule in one interval and by the queue in the next one.
    """
    expected = np.array([(np.array(assigned) == leaf).astype(float) @ given for leaf in range(len(taken))])
    halves = np.array_split(expected - taken, 4, axis=1)
    return float(sum(np.abs(one.sum(axis=1)).sum() for one in halves))


def _spread(parts: Mapping[str, Offered], octets: Floats) -> dict[str, Floats]:
    """By octets offered in each interval; where nothing was and the queue still sent, by those of all."""
    offered = np.array([one.octets for one in parts.values()]).reshape(len(parts), len(octets))
    whole = offered.sum(axis=1)
    share = whole / whole.sum() if whole.sum() else np.full(len(parts), 1 / max(len(parts), 1))
    there = offered.sum(axis=0)
    shares = np.where(there > 0, offered / np.where(there > 0, there, 1), share[:, None])
    return dict(zip(parts, shares * octets))


def _surety(leaf: Leaf, parts: int) -> Surety:
    if parts <= 1 or not leaf.drops.any():
        return Surety.COUNTED
    return Surety.UNKNOWN if leaf.is_fair else Surety.SPREAD


def _alike(parts: Mapping[str, Offered], surety: Surety) -> tuple[dict[str, Surety], dict[str, int]]:
    """All in one group; each its own where all are counted."""
    counted = surety is Surety.COUNTED
    return dict.fromkeys(parts, surety), {name: place if counted else 0 for place, name in enumerate(parts)}
