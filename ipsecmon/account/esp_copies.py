"""Header copies of ESP, summed by what tells their SA, until somebody knows whose they are.

In: Packets with EspColumns. Out: for each rule counter, octets and packets by Spi. To one reading belongs
what was folded before its mark, as in the ledger. The table has a limit: what is beyond it, and copies that
do not tell their SPI, are summed without one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ipsecmon.account.spi_book import Spi
from ipsecmon.model import CounterKey
from ipsecmon.packets import Packets

__all__ = ["FLOWS_KEPT", "NO_SPI", "EspCopies", "Flow"]

FLOWS_KEPT = 16384  # four times the SAs of a large gateway; SPIs that somebody makes up get no more room
NO_SPI = Spi(b"", 0)


class Flow(NamedTuple):
    """part: of which rule counter."""

    part: CounterKey
    spi: Spi


class _Rows(NamedTuple):
    """Of one fold: octets and packets of each of its flows, and a row that has its SPI."""

    groups: list[int]
    spis: list[Spi]
    octets: list[int]
    packets: list[int]


_Sums = dict[Flow, tuple[int, int]]


class EspCopies:
    """parts: NFLOG group to rule counter, of those whose copies are to be told apart.

    overflow: copies without a place of their own.
    """

    def __init__(self, parts: Mapping[int, CounterKey]) -> None:
        self._parts = dict(parts)
        self._folded: _Sums = {}
        self._marked: _Sums = {}
        self.overflow = 0

    def change(self, parts: Mapping[int, CounterKey]) -> None:
        """Other rules from now on; copies of the old ones may yet come, under the groups they had."""
        self._parts.update(parts)

    def fold(self, packets: Packets) -> None:
        if packets.esp is None:
            return
        rows = _summed(packets)
        for group, spi, octets, number in zip(*rows):
            part = self._parts.get(group)
            if part is not None:
                self._add(self._folded, Flow(part, spi if spi.spi else NO_SPI), (octets, number))

    def mark(self) -> None:
        """What was folded until now is of packets that the reading counts which is taken now."""
        for flow, volume in self._folded.items():
            self._add(self._marked, flow, volume)
        self._folded = {}

    def _add(self, sums: _Sums, flow: Flow, volume: tuple[int, int]) -> None:
        if flow not in sums and len(sums) >= FLOWS_KEPT and flow.spi != NO_SPI:
            flow = Flow(flow.part, NO_SPI)
            self.overflow += volume[1]
        had = sums.get(flow, (0, 0))
        sums[flow] = (had[0] + volume[0], had[1] + volume[1])

    def take(self) -> Mapping[Flow, tuple[int, int]]:
        """Octets and packets of all that was marked, and forget it."""
        marked, self._marked = self._marked, {}
        return marked


def _summed(packets: Packets) -> _Rows:
    """Rows of one group, destination and SPI together."""
    esp = packets.esp
    assert esp is not None
    group, octets = packets.group[esp.rows], packets.octets[esp.rows]
    keys = np.column_stack([group.astype(np.uint32), esp.destination, esp.spi])
    first, which = _distinct(keys)
    sums = np.bincount(which, octets.astype(np.float64))  # exact: far below 2**53
    numbers = np.bincount(which)
    destinations = esp.destination[first].astype(">u4").tobytes()
    spis = [
        Spi(destinations[16 * row : 16 * row + 16], number)
        for row, number in enumerate(esp.spi[first].tolist())
    ]
    return _Rows(group[first].tolist(), spis, sums.astype(np.int64).tolist(), numbers.tolist())


def _distinct(keys: NDArray[np.uint32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """One row of each kind, and which kind each row is.

    By a number made of the columns, which is sorted much faster than rows are, where no two kinds share it.
    """
    mixed = keys[:, 5].astype(np.uint64) << np.uint64(32) | keys[:, 4]
    for column in range(4):
        mixed ^= keys[:, column].astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15 + 2 * column)
    _, first, which = np.unique(mixed, return_index=True, return_inverse=True)
    if (keys[first[which]] == keys).all():
        return first, which
    _, first, which = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    return first, which.reshape(-1)
