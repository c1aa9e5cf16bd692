"""What tunnels have of a part of the line that rules cannot tell apart: by SPI, from the header copies.

In: copies summed by SPI (esp_copies.py), whose SPI it is (spi_book.py), what the rule counters counted. Out:
increments at SHARES, a disjoint subdivision of a part: cumulatively its shares never exceed it, and what has
no copy is in none. They enter no sum over `wire`, so that no total depends on a copy.

A copy whose SPI is of no SA, or of one in no tunnel of the config, is nobody's. Where that may be wrong (an
SPI that two tunnels had, a copy that does not tell it, SAs that came and went unheard) it is told under the
part's own name: then shares may be too small.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from ipsecmon.account.esp_copies import NO_SPI, EspCopies
from ipsecmon.account.sharing import sharing
from ipsecmon.account.spi_book import Spi, SpiBook
from ipsecmon.model import UNNAMED, CounterKey, Counts, Increment
from ipsecmon.packets import Packets

__all__ = ["Shares"]

_Sum = tuple[int, int]


class Shares:
    """parts: NFLOG group to the part whose copies come on it; it has a sharing(). counts: for `shares`."""

    def __init__(self, parts: Mapping[int, CounterKey], counts: Counts) -> None:
        self._copies = EspCopies(parts)
        self._counts = counts
        self._told: dict[CounterKey, _Sum] = defaultdict(lambda: (0, 0))  # by part
        self._overflow = 0

    def change(self, parts: Mapping[int, CounterKey]) -> None:
        self._copies.change(parts)

    def fold(self, packets: Packets) -> None:
        self._copies.fold(packets)

    def mark(self) -> None:
        """A reading is taken now."""
        self._copies.mark()

    def settle(self, spis: SpiBook, is_complete: bool, counted: Iterable[Increment]) -> list[Increment]:
        """Of all that was marked. is_complete: no SA can have come and gone unheard.

        counted: by rule counters, since the same start, at the last mark or later.
        """
        marked = self._copies.take()
        is_complete = is_complete and not spis.dropped
        sums: dict[CounterKey, dict[str, _Sum]] = defaultdict(lambda: defaultdict(lambda: (0, 0)))
        for flow, volume in marked.items():
            name = _owner(flow.spi, spis, is_complete)
            if name is not None:
                part = sums[flow.part]
                part[name] = _plus(part[name], volume)
        totals = {one.key: (one.octets, one.packets) for one in counted}
        self._count(sums)
        return [
            one for part, names in sums.items() for one in self._shared(part, names, totals.get(part, (0, 0)))
        ]

    def _shared(self, part: CounterKey, names: Mapping[str, _Sum], total: _Sum) -> Iterable[Increment]:
        """What a counter that was made anew did not count is in no share either."""
        shared = sharing(part.name)
        assert shared is not None, part
        for name, volume in names.items():
            key = CounterKey(name + shared.suffix if name else part.name, part.direction, shared.point)
            fitting = self._fitted(part, volume, total) if name else volume
            if any(fitting):
                yield Increment(key, *fitting, *fitting)  # it is copies that tell of it

    def _fitted(self, part: CounterKey, volume: _Sum, total: _Sum) -> _Sum:
        told = self._told[part]
        octets = max(0, min(volume[0], total[0] - told[0]))
        packets = max(0, min(volume[1], total[1] - told[1]))
        if volume[1] > packets:
            self._counts.add("shares", "beyond-part", volume[1] - packets)
        self._told[part] = _plus(told, (octets, packets))
        return octets, packets

    def _count(self, sums: Mapping[CounterKey, Mapping[str, _Sum]]) -> None:
        untold = sum(names.get("", (0, 0))[1] for names in sums.values())
        if untold:
            self._counts.add("shares", "untold", untold)
        overflow, self._overflow = self._copies.overflow - self._overflow, self._copies.overflow
        if overflow:
            self._counts.add("shares", "overflow", overflow)


def _owner(spi: Spi, spis: SpiBook, is_complete: bool) -> str | None:
    """A tunnel's name; nothing where nobody knows, None where it is nobody's."""
    if spi == NO_SPI:
        return ""
    tunnels = spis.tunnels(spi)
    if len(tunnels) == 1:
        (name,) = tunnels
        return None if name == UNNAMED else name
    return "" if tunnels or not is_complete else None


def _plus(one: _Sum, other: _Sum) -> _Sum:
    return one[0] + other[0], one[1] + other[1]
