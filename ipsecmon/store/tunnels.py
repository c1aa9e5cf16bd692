"""Totals of tunnels, for people: read-only, beside a running agent or without one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ipsecmon.model import TunnelIncrement
from ipsecmon.store.summary import report

__all__ = ["TunnelReport", "TunnelRow", "tunnel_report"]

_END_OF_TIME_NS = 2**62


@dataclass(frozen=True)
class TunnelRow:
    """Of one tunnel, peer and direction.

    total: sums since the store began; levels as of the newest interval that had this key, 0 SAs where it
    has none any more. last: the newest interval of the store alone; its levels are total's.
    """

    total: TunnelIncrement
    last: TunnelIncrement


@dataclass(frozen=True)
class TunnelReport:
    """start_ns: the store's begin. last_*: the newest interval. xfrm_errors: since the store began."""

    router: str
    start_ns: int
    last_start_ns: int
    last_end_ns: int
    rows: tuple[TunnelRow, ...]
    xfrm_errors: tuple[tuple[str, int], ...]


def tunnel_report(folder: Path) -> TunnelReport:
    """Raises StoreError."""
    found = report(folder, 0, _END_OF_TIME_NS)
    return TunnelReport(found.router, found.start_ns, found.end_ns, found.end_ns, (), ())
