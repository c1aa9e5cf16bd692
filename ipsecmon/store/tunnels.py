"""What passed through tunnels since the store began, for people: read-only, beside a running agent."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, Optional

from ipsecmon.errors import StoreError
from ipsecmon.model import Direction, TunnelIncrement, TunnelKey
from ipsecmon.store.faults import translated
from ipsecmon.store.schema import FILE, check_version, connect_reader
from ipsecmon.store.tunnel_rows import LEVELS, SUMS, increment

__all__ = ["FIRST_WITH_TUNNELS", "TunnelReport", "TunnelRow", "opened_reader", "tunnel_report"]

FIRST_WITH_TUNNELS = 3  # version of the file
_COLUMNS = (*SUMS, *LEVELS, *(f"last_{name}" for name in SUMS))
_ROWS = (
    f"SELECT tunnel, peer, direction, tunnel_total.start_ns = ? AND tunnel_total.end_ns = ?,"
    f" {', '.join(_COLUMNS)} FROM tunnel_total JOIN tunnel ON tunnel.id = tunnel_id"
    " ORDER BY tunnel, peer, direction"
)
_NOTHING_NOW = {"open_packets": 0, "sas": 0, "sas_without_anti_replay": 0, "added_s": None}


@dataclass(frozen=True)
class TunnelRow:
    """total: sums since the store began, with the levels of the newest interval. last: of the newest
    interval alone, all 0 where nothing is known of it; its levels are total's.
    """

    total: TunnelIncrement
    last: TunnelIncrement


@dataclass(frozen=True)
class TunnelReport:
    """[start_ns, last_end_ns) is what totals cover, [last_start_ns, last_end_ns) the newest interval.

    xfrm_errors: packets dropped since the store began, by the kernel's names.
    """

    router: str
    start_ns: int
    last_start_ns: int
    last_end_ns: int
    rows: tuple[TunnelRow, ...]
    xfrm_errors: tuple[tuple[str, int], ...]


class _Cover(NamedTuple):
    router: str = ""
    start_ns: int = 0
    last_start_ns: int = 0
    last_end_ns: int = 0


def tunnel_report(folder: Path) -> TunnelReport:
    """Everything there is to say about tunnels; all 0 where nothing was counted yet. Raises StoreError."""
    with opened_reader(folder) as (connection, version):
        if version < FIRST_WITH_TUNNELS:  # no agent has migrated it yet
            return TunnelReport(*_Cover(), rows=(), xfrm_errors=())
        found = connection.execute(
            "SELECT router, start_ns, last_start_ns, last_end_ns FROM tunnel_cover"
        ).fetchone()
        cover = _Cover(*(found or ()))
        errors = connection.execute("SELECT error, packets FROM xfrm_error ORDER BY error").fetchall()
        rows = connection.execute(_ROWS, (cover.last_start_ns, cover.last_end_ns))
        return TunnelReport(*cover, rows=tuple(map(_row, rows)), xfrm_errors=tuple(errors))


@contextlib.contextmanager
def opened_reader(folder: Path) -> Iterator[tuple[sqlite3.Connection, int]]:
    """One state of the file of a folder, and its version. Raises StoreError."""
    file = folder / FILE
    with translated(file):
        missing = StoreError(f"no store in {folder}: has ipsecmon run with this config?")
        if not file.exists():
            raise missing
        with contextlib.closing(connect_reader(file)) as connection:
            version = check_version(connection, file)
            if version == 0:
                raise missing
            connection.execute("BEGIN")  # one state of the file for all that follows
            yield connection, version


def _row(found: Sequence[object]) -> TunnelRow:
    tunnel, peer, direction, is_newest, *numbers = found
    key = TunnelKey(str(tunnel), str(peer), Direction(direction))
    return _split(key, bool(is_newest), numbers)  # type: ignore[arg-type]


def _split(key: TunnelKey, is_newest: bool, numbers: Sequence[Optional[int]]) -> TunnelRow:
    total = increment(key, numbers)
    if not is_newest:
        total = replace(total, **_NOTHING_NOW)  # type: ignore[arg-type]
    levels = [getattr(total, name) for name in LEVELS]
    last = numbers[len(SUMS) + len(LEVELS) :] if is_newest else [0] * len(SUMS)
    return TunnelRow(total, increment(key, [*last, *levels]))
