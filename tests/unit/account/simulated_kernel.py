"""One rule's counter and its NFLOG group, with a clock of their own.

A packet is counted at once. Its copy comes when the kernel flushes, at most FLUSH_NS later, or never.
What was lost is known here, so that a meter's bounds can be compared with the truth.
"""

from __future__ import annotations

import random
from typing import NamedTuple

__all__ = ["FLUSH_NS", "MS", "Drained", "SimulatedKernel"]

MS = 1_000_000
FLUSH_NS = 100 * MS


class Drained(NamedTuple):
    """Copies that were read at once."""

    octets: int
    packets: int


class SimulatedKernel:
    """lost: packets that were counted and bound for the group, and whose copies never come."""

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)
        self._copies: list[tuple[int, int]] = []  # (when it comes, octets)
        self.now_ns = 0
        self.octets = 0
        self.packets = 0
        self.lost = 0

    def pass_packets(self, number: int, lost: int = 0, bound: bool = True) -> None:
        """Packets pass now; the first `lost` copies go missing, all of them where no group is bound."""
        for position in range(number):
            octets = self._random.randrange(20, 65536)
            self.octets += octets
            self.packets += 1
            if bound and position >= lost:
                self._copies.append((self.now_ns + self._random.randrange(FLUSH_NS + 1), octets))
        if bound:
            self.lost += min(number, lost)

    def drain(self, part: float = 1.0) -> Drained:
        """The copies that have come, or the first part of them."""
        come = sorted(copy for copy in self._copies if copy[0] <= self.now_ns)
        taken = come[: int(len(come) * part)]
        for copy in taken:
            self._copies.remove(copy)
        return Drained(sum(octets for _, octets in taken), len(taken))

    def forget_copies(self) -> None:
        """The reader has ended: what was on its way comes to nobody."""
        self._copies = []
