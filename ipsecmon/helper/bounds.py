"""What stays fixed from the start of the helper to its end, whatever plan main sends later.

Main could be taken over by what it reads from a network. All it could then do with a plan of its own is
count and copy headers by our own table, to our own NFLOG groups, and write our own bits of the nfmark.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from ipsecmon.errors import RulesRefused
from ipsecmon.ruleset.model import Plan

__all__ = ["Bounds"]

Ranges = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Bounds:
    """groups: inclusive ranges. receive_buffer: octets, at most."""

    table: str
    managed: bool
    backend: str
    nfmark_mask: int
    groups: Ranges
    receive_buffer: int

    @staticmethod
    def of(plan: Plan, ranges: str = "") -> Bounds:
        """Of the first plan, and encode_ranges()'s text. Raises ValueError or TypeError."""
        own = [(group, group) for group in plan.groups()]
        more = [(int(first), int(last)) for first, last in json.loads(ranges or "[]")]
        return Bounds(
            plan.table, plan.managed, plan.backend, plan.nfmark_mask, (*own, *more), plan.receive_buffer
        )

    @staticmethod
    def encode_ranges(ranges: Iterable[tuple[int, int]]) -> str:
        return json.dumps([list(one) for one in ranges])

    def check(self, plan: Plan) -> None:
        """Raises RulesRefused, with what only a restart can change."""
        outside = next((group for group in plan.groups() if not self._has(group)), None)
        if outside is not None:
            raise RulesRefused(f"NFLOG group {outside} was not in the config at start: restart needed")
        if plan.table != self.table:
            raise RulesRefused(f"the table's name stays {self.table}: restart needed")
        if plan.managed is not self.managed:
            raise RulesRefused("who keeps the rules is fixed at start: restart needed")
        if plan.backend != self.backend:
            raise RulesRefused(f"backend stays {self.backend}: restart needed")
        if plan.nfmark_mask != self.nfmark_mask:
            raise RulesRefused(f"nfmark.mask stays 0x{self.nfmark_mask:08x}: restart needed")
        if plan.receive_buffer > self.receive_buffer:
            raise RulesRefused(f"nflog.receive_buffer stays {self.receive_buffer} octets: restart needed")

    def _has(self, group: int) -> bool:
        return any(first <= group <= last for first, last in self.groups)
