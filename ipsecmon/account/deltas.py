"""From what counters said to what happened.

A first reading is judged by the counter's birth. Born since our last poll, it counts from 0, if whoever made
it cannot have given it a value; older with a saved reading of the same life, it goes on; else it is a
baseline and nothing is known to have happened. A decrease in one life is a wrap if the value stood in the
last quarter of its range, else a reset, after which the counter counts from 0. Where a source says what
to go on from, that holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ipsecmon.model import CounterKey, Reading

__all__ = ["Deltas", "delta"]


def delta(last: int, now: int, bits: int = 64) -> int:
    """Steps from last to now of a counter that wraps at 2**bits."""
    return (now - last) % (1 << bits)


class Deltas:
    """The last reading of each counter, and the difference that the next one makes."""

    def __init__(self, saved: Iterable[Reading] = ()) -> None:
        self._last = {reading.key: reading for reading in saved}

    def adopt(self, readings: Iterable[Reading]) -> Iterator[tuple[CounterKey, int, int]]:
        """The first poll of a run, before any counter is made by us: what is unknown is a baseline."""
        readings = list(readings)
        for reading in readings:
            self._last.setdefault(reading.key, reading)
        return self.advance(readings)

    def rebase(self, readings: Iterable[Reading]) -> None:
        """Whatever happened until these readings is nobody's."""
        self._last.update((reading.key, reading) for reading in readings)

    def advance(self, readings: Iterable[Reading]) -> Iterator[tuple[CounterKey, int, int]]:
        """(key, octets, packets) that happened since the last reading of each."""
        for reading in readings:
            octets, packets = _happened(self._last.get(reading.key), reading)
            self._last[reading.key] = reading
            yield reading.key, octets, packets


def _happened(last: Reading | None, now: Reading, bits: int = 64) -> tuple[int, int]:
    if now.before is not None:
        return now.octets - now.before[0], now.packets - now.before[1]
    if last is None or last.birth != now.birth:
        return (now.octets, now.packets) if now.from_zero else (0, 0)
    if _is_reset(last.octets, now.octets, bits) or _is_reset(last.packets, now.packets, bits):
        return now.octets, now.packets
    return delta(last.octets, now.octets, bits), delta(last.packets, now.packets, bits)


def _is_reset(last: int, now: int, bits: int) -> bool:
    quarter = 1 << (bits - 2)
    return now < last and not (last >= 3 * quarter and now < quarter)
