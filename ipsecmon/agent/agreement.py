"""What the meters say of each other over a range of history: exact, as both were kept in the same rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields

from ipsecmon.account.line_agreement import reconcile_lines
from ipsecmon.account.reconcile import range_skew_ns, reconcile
from ipsecmon.config import Config
from ipsecmon.model import Increment, Reconciliation
from ipsecmon.store import Report, ReportRow

__all__ = ["agreements", "lines_of"]

_NAMES = tuple(one.name for one in fields(Increment))


def agreements(
    found: Report,
    lines: Mapping[str, Sequence[str]] = {},
) -> list[Reconciliation]:
    """Of every counter, tunnel and line where anything passed. lines: the interfaces of each."""
    length_ns = found.end_ns - found.start_ns
    skew_ns = range_skew_ns(length_ns)
    increments = [_increment(row) for row in found.rows]
    return [
        *reconcile(increments, found.tunnels, length_ns, skew_ns),
        *reconcile_lines(increments, lines, length_ns, skew_ns),
    ]


def lines_of(config: Config) -> dict[str, tuple[str, ...]]:
    """The interfaces of each line of which we know all parts: not where the rules are somebody else's."""
    return {line.name: line.interfaces for line in config.lines} if config.rules == "managed" else {}


def _increment(row: ReportRow) -> Increment:
    return Increment(**{name: getattr(row, name) for name in _NAMES})
