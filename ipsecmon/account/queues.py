"""From what qdiscs and classes said to what happened in them.

A queue has no birth of its own. It is born where it was not there at the last poll of its interface, or was
heard to end since: then it counts from 0. So it does where a saved reading of its interface is older. On an
interface that nobody has read before it is a baseline. A number that falls is a reset; 32 bit wrap.
What a queue said with its end is booked; what ended with the qdisc above it had no last words: it is counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from ipsecmon.account.deltas import delta
from ipsecmon.model import Direction
from ipsecmon.qos import NOWHERE, QueueIncrement, QueueKey, QueuePlace, QueueReading

__all__ = ["MAX_OPEN", "MAX_QUEUES", "QueueBooks", "place_of", "way_on_line"]

MAX_QUEUES = 256  # of all interfaces: a NIC's 64 transmit queues, and an HTB tree with a class a customer
MAX_OPEN = 4 * MAX_QUEUES  # while the store refuses; what is made anew all the time has ever new names
_BRIDGED = ("octets", "packets", "drops")
_BITS = {"octets": 64, "packets": 64}  # of other numbers 32
_WAYS = {"ingress": Direction.IN, "clsact": Direction.UNKNOWN}  # clsact counts both in one number


def way_on_line(kind: str) -> Direction:
    """Which packets a queue of this kind gets on the line's own interface."""
    return _WAYS.get(kind, Direction.OUT)


def place_of(key: QueueKey, lines: Mapping[str, str], origins: Mapping[str, Collection[str]]) -> QueuePlace:
    """lines: by interface. origins: of each ifb, the interfaces whose ingress leads to it."""
    if key.interface in lines:
        return QueuePlace(lines[key.interface], way_on_line(key.kind))
    fed = {lines[name] for name in origins.get(key.interface, ()) if name in lines}
    if not fed:
        return NOWHERE
    return QueuePlace(fed.pop() if len(fed) == 1 else "", Direction.IN)


class QueueBooks:
    """saved: of the last run. beyond: queues that the last poll left out."""

    def __init__(self, saved: Iterable[QueueReading] = ()) -> None:
        self._last = {one.key: one for one in saved}
        self._interfaces = {key.interface for key in self._last}
        self._is_bridging = True
        self._ended: set[QueueKey] = set()
        self._open: dict[QueueKey, Counter[str]] = {}
        self._levels: dict[QueueKey, QueueReading] = {}
        self.beyond = 0

    def end(self, final: QueueReading) -> int:
        """Its last words. Returns how many queues below it ended without any."""
        self._book(final)
        below = _below(final.key, list(self._last))
        for key in (final.key, *below):
            self._forget(key)
            self._ended.add(key)
        return len(below)

    def poll(
        self,
        readings: Sequence[QueueReading],
        interfaces: Iterable[str],
        heard: Iterable[QueueReading] = (),
    ) -> int:
        """Everything that is there on these interfaces, and the ends heard of until right after it was read.

        A reading of a queue that ended since is of the old one or the new one: it waits for the next poll.
        Returns how many ended without last words.
        """
        self._ended.clear()
        unseen = sum(self.end(final) for final in heard)
        self.beyond = max(0, len(readings) - MAX_QUEUES)
        self._levels = {one.key: one for one in readings[:MAX_QUEUES]}
        for key, one in self._levels.items():
            if key not in self._ended:
                self._book(one)
        gone = [key for key in self._last if key not in self._levels]
        for key in gone:
            del self._last[key]
        self._interfaces.update(interfaces)
        self._is_bridging = False
        return unseen + len(gone)

    def increments(self) -> tuple[QueueIncrement, ...]:
        """Since the last close(): of all that are there, and of those that ended meanwhile."""
        keys = dict.fromkeys([*self._open, *self._levels])
        return tuple(self._increment(key) for key in keys)

    def close(self) -> None:
        """The store has them."""
        self._open.clear()

    def readings(self) -> list[QueueReading]:
        """For the next run."""
        return list(self._last.values())

    def _increment(self, key: QueueKey) -> QueueIncrement:
        sums = self._open.get(key, Counter())
        level = self._levels.get(key)
        numbers: dict[str, Any] = {**dict.fromkeys(level.numbers if level else (), 0), **sums}
        if level is None:
            return QueueIncrement(key, **numbers)
        return QueueIncrement(
            key, **numbers, backlog_octets=level.backlog_octets, backlog_packets=level.backlog_packets
        )

    def _book(self, now: QueueReading) -> None:
        last = self._last.get(now.key)
        self._last[now.key] = now
        if last is None and now.key.interface not in self._interfaces:
            return
        since = last.numbers if last and last.life == now.life else {}
        happened = _happened(since, now.numbers)
        if now.key not in self._open and len(self._open) >= MAX_OPEN:
            self.beyond += 1
            return
        sums = self._open.setdefault(now.key, Counter())
        sums.update(happened)
        if self._is_bridging:
            sums.update({f"bridged_{name}": happened[name] for name in _BRIDGED})

    def _forget(self, key: QueueKey) -> None:
        self._last.pop(key, None)
        self._levels.pop(key, None)


def _happened(last: Mapping[str, int], now: Mapping[str, int]) -> dict[str, int]:
    """A reset sets back all numbers at once."""
    if any(_is_reset(name, last.get(name, 0), number) for name, number in now.items()):
        return dict(now)
    return {
        name: delta(last.get(name, 0), number, _BITS.get(name, 32)) if name in last else number
        for name, number in now.items()
    }


def _is_reset(name: str, last: int, now: int) -> bool:
    quarter = 1 << (_BITS.get(name, 32) - 2)
    return now < last and not (last >= 3 * quarter and now < quarter)


def _below(ended: QueueKey, keys: list[QueueKey]) -> list[QueueKey]:
    """Of a qdisc, its classes and the qdiscs at these, and so on; a class has what stands at it."""
    found: list[QueueKey] = []
    ends = [ended]
    while ends:
        end = ends.pop()
        for key in keys:
            if key.interface == end.interface and key not in found and key != ended and _is_below(key, end):
                found.append(key)
                ends.append(key)
    return found


def _is_below(key: QueueKey, end: QueueKey) -> bool:
    if end.handle.endswith(":"):
        major = end.handle
        return major != "0:" and (
            key.parent.startswith(major) or (key.handle.startswith(major) and not key.handle.endswith(":"))
        )
    return key.parent == end.handle
