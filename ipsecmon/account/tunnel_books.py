"""Increments of tunnels that wait for a batch: an interval whose batch a store refuses goes on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ipsecmon.model import TUNNEL_SUMS, TunnelIncrement, TunnelKey

__all__ = ["TunnelBooks"]


class TunnelBooks:
    """add() what each settling tells, batch() all of it, close() when that is safe."""

    def __init__(self) -> None:
        self._open: dict[TunnelKey, TunnelIncrement] = {}

    def add(self, told: Iterable[TunnelIncrement]) -> None:
        """A tunnel that is not told of any more has no SA, and nothing happened in it."""
        newest = {one.key: one for one in told}
        for key, one in self._open.items():
            if key not in newest:
                newest[key] = TunnelIncrement(key, last_used_s=one.last_used_s)
        self._open = {key: self._sum(one) for key, one in newest.items()}

    def _sum(self, one: TunnelIncrement) -> TunnelIncrement:
        was = self._open.get(one.key)
        if was is None:
            return one
        return replace(one, **{name: getattr(was, name) + getattr(one, name) for name in TUNNEL_SUMS})

    def batch(self) -> tuple[TunnelIncrement, ...]:
        return tuple(self._open.values())

    def close(self) -> None:
        self._open = {}
