"""What the meters say of each other over a range of history: exact, as both were kept in the same rows."""

from __future__ import annotations

from dataclasses import fields

from ipsecmon.account.reconcile import range_skew_ns, reconcile
from ipsecmon.model import Increment, Reconciliation
from ipsecmon.store import Report, ReportRow

__all__ = ["agreements"]

_NAMES = tuple(one.name for one in fields(Increment))


def agreements(found: Report) -> list[Reconciliation]:
    """Of every counter and tunnel where anything passed."""
    length_ns = found.end_ns - found.start_ns
    increments = [_increment(row) for row in found.rows]
    return reconcile(increments, found.tunnels, length_ns, range_skew_ns(length_ns))


def _increment(row: ReportRow) -> Increment:
    return Increment(**{name: getattr(row, name) for name in _NAMES})
