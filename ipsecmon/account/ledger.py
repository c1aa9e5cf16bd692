"""The books: what happened on each counter since the last closed interval, by both meters.

In: Packets (folded by group), Readings (differences by Deltas). Out: a Batch a closed interval. Octets and
packets come from kernel counters alone; copies only ever fill the nflog_* columns and the loss meters.
A line is the sum of its parts, so it can never disagree with them. So is a part of several lines.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Optional

import numpy as np
from numpy.typing import NDArray

from ipsecmon.account.deltas import Deltas
from ipsecmon.account.loss import Loss, LossMeter
from ipsecmon.model import NOT_BY_RULES, Batch, CounterKey, Increment, Reading, SelfMeasurement
from ipsecmon.packets import Packets

__all__ = ["Ledger"]

_GROUPS = 1 << 16


@dataclass
class _Sums:
    """One counter's Increment under way."""

    octets: int = 0
    packets: int = 0
    nflog_octets: int = 0
    nflog_packets: int = 0
    lost_packets: int = 0
    pending_packets: int = 0
    bridged_octets: int = 0
    bridged_packets: int = 0

    def add(self, other: _Sums) -> None:
        for field in _FIELDS:
            setattr(self, field, getattr(self, field) + getattr(other, field))

    def book_copies(self, octets: int, packets: int, loss: Loss) -> None:
        self.nflog_octets += octets
        self.nflog_packets += packets
        self.lost_packets += loss.lost
        self.bridged_packets += loss.uncopied
        self.pending_packets = loss.pending

    def increment(self, key: CounterKey) -> Increment:
        return Increment(key, *(getattr(self, field) for field in _FIELDS))


_FIELDS = tuple(field.name for field in fields(_Sums))


class Ledger:
    """groups: NFLOG group to key. lines: a key to those it sums up: a line's parts, or a part's lines."""

    def __init__(
        self,
        router: str,
        groups: Mapping[int, CounterKey],
        lines: Mapping[CounterKey, Sequence[CounterKey]],
        saved: Iterable[Reading] = (),
    ) -> None:
        self._router = router
        self._lines = lines
        self._deltas = Deltas(saved)
        self._meters: dict[CounterKey, LossMeter] = {}
        self._renewed: set[CounterKey] = set()
        self._open: dict[CounterKey, _Sums] = {}
        self._since_start: dict[CounterKey, _Sums] = {}
        self._tap(groups)

    def _tap(self, groups: Mapping[int, CounterKey]) -> None:
        self._groups = dict(groups)
        self._tapped = list(dict.fromkeys(groups.values()))
        self._slot_of_group = np.full(_GROUPS, len(self._tapped), np.int64)
        slots = {key: slot for slot, key in enumerate(self._tapped)}
        self._slot_of_group[list(groups)] = [slots[key] for key in groups.values()]
        self._seen_octets: NDArray[np.int64] = np.zeros(len(self._tapped) + 1, np.int64)
        self._seen_packets: NDArray[np.int64] = np.zeros(len(self._tapped) + 1, np.int64)
        self._marked: Optional[tuple[NDArray[np.int64], NDArray[np.int64]]] = None
        self._meters = {key: self._meters.get(key, LossMeter()) for key in self._tapped}
        for key in self._tapped:
            self._since_start.setdefault(key, _Sums())

    def groups(self) -> Mapping[int, CounterKey]:
        """Whose copies come on which NFLOG group."""
        return self._groups

    def sums_of(self, keys: Iterable[CounterKey]) -> set[CounterKey]:
        """What any of these is a summand of."""
        wanted = set(keys)
        return {key for key, parts in self._lines.items() if not wanted.isdisjoint(parts)}

    def lines(self) -> Mapping[CounterKey, Sequence[CounterKey]]:
        """Sums, and of what."""
        return self._lines

    def change(
        self, groups: Mapping[int, CounterKey], lines: Mapping[CounterKey, Sequence[CounterKey]]
    ) -> None:
        """Other rules stand from now on. What is not in groups is followed on until retire()."""
        self._lines = lines
        self._tap_anew({**self._groups, **groups})

    def retire(self, groups: Mapping[int, CounterKey]) -> bool:
        """Leave all but these groups, if nothing of what they were can come any more."""
        leaving = set(self._groups.values()) - set(groups.values())
        unbooked = self._unbooked()
        if any(any(unbooked[key]) or self._sums(key).pending_packets for key in leaving):
            return False
        self._tap_anew(groups)
        return True

    def rebase(self, readings: Iterable[Reading]) -> None:
        """Counters that were not followed until now: what they say is a baseline."""
        self._deltas.rebase(readings)

    def _tap_anew(self, groups: Mapping[int, CounterKey]) -> None:
        """Copies that are folded and not booked yet stay so."""
        unbooked = self._unbooked()
        self._tap(groups)
        for slot, key in enumerate(self._tapped):
            self._seen_packets[slot], self._seen_octets[slot] = unbooked.get(key, (0, 0))

    def _unbooked(self) -> dict[CounterKey, tuple[int, int]]:
        return {
            key: (int(self._seen_packets[slot]), int(self._seen_octets[slot]))
            for slot, key in enumerate(self._tapped)
        }

    def adopt(self, readings: Iterable[Reading], pending: Mapping[CounterKey, int]) -> bool:
        """The first poll: what passed since the saved readings is bridged. False: nothing did.

        pending: copies that were on their way when the last run ended; nobody has read them since.
        """
        for key, octets, packets in self._deltas.adopt(readings):
            self._sums(key).add(_Sums(octets, packets, bridged_octets=octets, bridged_packets=packets))
        for key, packets in pending.items():
            self._sums(key).bridged_packets += packets
        return any(sums.bridged_packets or sums.bridged_octets for sums in self._open.values())

    def begin(self, readings: Iterable[Reading], at_ns: int, copied_all: bool) -> None:
        """The poll right after the groups were bound. copied_all: they were bound before the rules stood."""
        for key, octets, packets in self._deltas.advance(readings):
            self._book(key, octets, packets)
            if key in self._meters:
                self._meters[key] = LossMeter(0 if copied_all else packets)
                self._meters[key].update(at_ns, packets, 0)

    def fold(self, packets: Packets) -> int:
        """Count header copies; returns how many came from a group that is not ours."""
        group = packets.group
        if not len(group):
            return 0
        # by runs of rows of one group: a datagram has copies of one group only
        first = np.append(0, np.flatnonzero(group[1:] != group[:-1]) + 1)
        slots = self._slot_of_group[group[first]]
        octets = np.add.reduceat(packets.octets, first, dtype=np.int64)
        np.add.at(self._seen_packets, slots, np.diff(first, append=len(group)))
        np.add.at(self._seen_octets, slots, octets)
        strangers, self._seen_packets[-1] = int(self._seen_packets[-1]), 0
        return strangers

    def mark(self) -> None:
        """Readings are taken now: what is folded from here on may be of packets that they do not count, and
        is booked with the next ones. Without a mark, all that was folded belongs to the readings.
        """
        self._marked = (self._seen_packets.copy(), self._seen_octets.copy())

    def advance(self, readings: Iterable[Reading], at_ns: int, drained: bool) -> int:
        """Book readings taken at at_ns (monotonic), and the copies folded since the last time.

        drained: the NFLOG socket was empty at some moment after at_ns. Returns how many copies of renewed
        counters came beyond what those say: at least so many packets passed uncounted.
        """
        beyond = 0
        happened = {key: (octets, packets) for key, octets, packets in self._deltas.advance(readings)}
        for key, (octets, packets) in happened.items():
            self._book(key, octets, packets)
        seen_packets, seen_octets = self._marked or (self._seen_packets.copy(), self._seen_octets.copy())
        self._seen_packets -= seen_packets
        self._seen_octets -= seen_octets
        self._marked = None
        for slot, key in enumerate(self._tapped):
            expected, seen, after = (
                happened.get(key, (0, 0))[1],
                int(seen_packets[slot]),
                int(self._seen_packets[slot]),
            )
            surplus = max(0, seen - expected) if key in self._renewed else 0
            loss = self._meters[key].update(at_ns, expected, seen - surplus, drained, after)
            self._sums(key).book_copies(int(seen_octets[slot]), seen, loss)
            beyond += surplus
        self._renewed = set()
        return beyond

    def book(self, told: Iterable[Increment]) -> None:
        """What is known otherwise than by a counter: at keys that are in no line."""
        for one in told:
            self._sums(one.key).add(_Sums(*(getattr(one, field) for field in _FIELDS)))

    def renew(self, keys: Iterable[CounterKey]) -> None:
        """These counters were removed and made again: what passed in between is known to nobody."""
        self._renewed = {key for key in keys if key in self._meters}
        self._meters.update((key, LossMeter()) for key in self._renewed)

    def batch(self, start_ns: int, end_ns: int, about_itself: Sequence[SelfMeasurement] = ()) -> Batch:
        """The open increments as a batch. They stay open until close(): a store may fail."""
        increments = [sums.increment(key) for key, sums in self._with_lines(self._open).items()]
        return Batch(self._router, start_ns, end_ns, tuple(increments), tuple(about_itself))

    def close(self) -> None:
        """The batch is safe: begin the next interval."""
        for key, sums in self._open.items():
            total = self._since_start.setdefault(key, _Sums())
            total.add(sums)
            total.pending_packets = sums.pending_packets
        self._open = {}

    def snapshot(self) -> list[Increment]:
        """Everything since this agent started, the open interval included."""
        totals: dict[CounterKey, _Sums] = {}
        for key in {**self._since_start, **self._open}:
            totals[key] = _Sums()
            totals[key].add(self._since_start.get(key, _Sums()))
            if key in self._open:
                totals[key].add(self._open[key])
                totals[key].pending_packets = self._open[key].pending_packets
        return [sums.increment(key) for key, sums in self._with_lines(totals).items()]

    def _with_lines(self, sums: Mapping[CounterKey, _Sums]) -> dict[CounterKey, _Sums]:
        """Lines first, then everything as it stands. What is a sum now may have had a counter of its own."""
        lines: dict[CounterKey, _Sums] = {}
        for line, parts in self._lines.items():
            lines[line] = _Sums()
            for part in (line, *(part for part in parts if part != line)):
                lines[line].add(sums.get(part, _Sums()))
        return {**lines, **{key: one for key, one in sums.items() if key not in lines}}

    def _book(self, key: CounterKey, octets: int, packets: int) -> None:
        """What a counter that has left the config still counted: its copies came to nobody."""
        if key in self._meters or key.observed_at in NOT_BY_RULES:
            self._sums(key).add(_Sums(octets, packets))
        else:
            self._sums(key).add(_Sums(octets, packets, bridged_octets=octets, bridged_packets=packets))

    def _sums(self, key: CounterKey) -> _Sums:
        return self._open.setdefault(key, _Sums())
