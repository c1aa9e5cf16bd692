"""The agreement of a batch: what its meters say of each other, with regard to the batch before.

SAs, interfaces and rules are read one after the other. A burst that falls between two readings is missing
from one of them, and the next interval has it: much more than the mean rate would tell. So a first
disagreement is taken for skew, and waits for the next interval: what both together do not explain either is
told there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from types import MappingProxyType
from typing import Optional

from ipsecmon.account.line_agreement import reconcile_lines
from ipsecmon.account.partition import Volume
from ipsecmon.account.reconcile import SKEW_NS, START_NS, reconcile
from ipsecmon.model import (
    Batch,
    CounterKey,
    Increment,
    ObservationPoint,
    Pair,
    Reason,
    Reconciliation,
    Word,
)

__all__ = ["Agreement"]

Lines = Mapping[str, Sequence[str]]
_Place = tuple[CounterKey, Pair]
_NO_LINES: Lines = MappingProxyType({})
_AT_TWO_MOMENTS = (Pair.SA_RULE, Pair.NIC_PARTS)
_SUMS = tuple(one.name for one in fields(Increment) if one.name not in ("key", "pending_packets"))


class Agreement:
    """Of a run. judge() each batch, close() when it is safe: one that a store refuses is judged again."""

    def __init__(self) -> None:
        self._is_first = True
        self._before: Optional[Batch] = None
        self._deferred: set[_Place] = set()
        self._skew: dict[CounterKey, Volume] = {}
        self._next: tuple[Optional[Batch], set[_Place], dict[CounterKey, Volume]] = (None, set(), {})

    def judge(self, batch: Batch, lines: Lines = _NO_LINES) -> Batch:
        """With its agreement, of pairs of which both say something. lines: the interfaces of each line."""
        skew = self._skew_with(batch)
        found = _found(batch, lines, skew, START_NS if self._is_first else SKEW_NS)
        joint = {}
        if self._before and self._deferred:
            joint = _by_place(_found(_joined(self._before, batch), lines, skew))
        told = _by_place(self._before.reconciliations) if self._before else {}
        deferred: set[_Place] = set()
        for number, one in enumerate(found):
            place = _place(one)
            if self._is_first or one.pair not in _AT_TWO_MOMENTS or _disagrees(told.get(place)):
                continue
            if place in self._deferred:
                found[number] = _with_rest(one, joint[place].unexplained_octets if place in joint else 0)
            elif _disagrees(one):
                deferred.add(place)
                found[number] = _with_rest(one, 0)
        judged = replace(batch, reconciliations=tuple(found))
        self._next = (judged, deferred, skew)
        return judged

    def close(self) -> None:
        self._before, self._deferred, self._skew = self._next
        self._is_first = False

    def _skew_with(self, batch: Batch) -> dict[CounterKey, Volume]:
        """The most that ever passed between two readings of a round: a batch has its growth alone."""
        skew = dict(self._skew)
        for one in batch.increments:
            if one.key.observed_at is ObservationPoint.READ_SKEW:
                before = skew.get(one.key, Volume())
                skew[one.key] = Volume(before.octets + one.octets, before.packets + one.packets)
        return skew


def _found(
    batch: Batch, lines: Lines, skew: Mapping[CounterKey, Volume], skew_ns: int = SKEW_NS
) -> list[Reconciliation]:
    length_ns = batch.end_ns - batch.start_ns
    found = reconcile(batch.increments, batch.tunnels, length_ns, skew_ns)
    found += reconcile_lines(batch.increments, lines, length_ns, skew_ns, skew)
    return [one for one in found if one.reason is not Reason.NO_COUNTER]


def _with_rest(one: Reconciliation, unexplained_octets: int) -> Reconciliation:
    explained = one.difference_octets - unexplained_octets
    return replace(one, explained_octets=explained, reason=Reason.SKEW if explained else None)


def _disagrees(one: Optional[Reconciliation]) -> bool:
    return one is not None and one.word is Word.DISAGREE


def _joined(one: Batch, other: Batch) -> Batch:
    rules = {rule.key: rule for rule in one.increments}
    both = []
    for rule in other.increments:
        was = rules.get(rule.key)
        sums = {name: getattr(was, name) + getattr(rule, name) for name in _SUMS} if was else {}
        both.append(replace(rule, **sums))
    return replace(
        other,
        start_ns=other.start_ns - (one.end_ns - one.start_ns),
        increments=tuple(both),
        tunnels=(*one.tunnels, *other.tunnels),
    )


def _by_place(found: Iterable[Reconciliation]) -> dict[_Place, Reconciliation]:
    return {_place(one): one for one in found}


def _place(one: Reconciliation) -> _Place:
    return one.key, one.pair
