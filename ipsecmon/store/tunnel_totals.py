"""What passed through each tunnel since the store began, by peer and direction; and what the kernel dropped.

Peers come and go, above all those of road warriors. So that there is an end to rows, a peer that has had no
SA for longer than the store's retention is added to OTHER_PEERS of its tunnel, and so are those that
were away for longest beyond MAX_TOTALS. The sum over a tunnel's rows does not change by it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from ipsecmon.model import OTHER_PEERS, Batch, TunnelKey
from ipsecmon.store.sums import MAX_NUMBER, added
from ipsecmon.store.tunnel_rows import LEVELS, SUMS, Numbers, key_of, numbers_of, tunnel_id

__all__ = ["FOLD_ROWS", "MAX_TOTALS", "add_totals", "fold"]

MAX_TOTALS = 20_000  # ten tunnels of as many peers as have a series of their own, in two directions
FOLD_ROWS = 1024  # by one commit, some milliseconds

_COLUMNS = ("start_ns", "end_ns", *SUMS, *LEVELS, *(f"last_{name}" for name in SUMS))
_NEWEST = (name for name in _COLUMNS if name not in (*SUMS, "last_used_s"))
_ADD = (
    f"INSERT INTO tunnel_total (tunnel_id, {', '.join(_COLUMNS)}) VALUES (?{', ?' * len(_COLUMNS)})"
    f" ON CONFLICT (tunnel_id) DO UPDATE SET {added(SUMS)},"
    f" {', '.join(f'{name} = excluded.{name}' for name in _NEWEST)},"
    " last_used_s = coalesce(excluded.last_used_s, last_used_s)"
)
_FOLD = (
    f"INSERT INTO tunnel_total (tunnel_id, {', '.join(_COLUMNS)})"
    f" SELECT ?, start_ns, end_ns, {', '.join(SUMS)}, 0, 0, 0, last_used_s, NULL{', 0' * len(SUMS)}"
    " FROM tunnel_total WHERE tunnel_id = ?"
    f" ON CONFLICT (tunnel_id) DO UPDATE SET {added(SUMS)},"
    " last_used_s = max(coalesce(last_used_s, 0), coalesce(excluded.last_used_s, 0))"
)
_AWAY = (
    "SELECT tunnel_id FROM tunnel_total JOIN tunnel ON tunnel.id = tunnel_id"
    " WHERE peer != ? AND end_ns < ? ORDER BY end_ns LIMIT ?"
)
_SATURATED = f"SELECT count(*) FROM tunnel_total WHERE start_ns = ? AND max({', '.join(SUMS)}) = ?"
_COVER = (
    "INSERT INTO tunnel_cover (id, router, start_ns, last_start_ns, last_end_ns) VALUES (1, ?, ?, ?, ?)"
    " ON CONFLICT (id) DO UPDATE SET router = excluded.router, last_start_ns = excluded.last_start_ns,"
    " last_end_ns = excluded.last_end_ns"
)
_ADD_ERROR = (
    "INSERT INTO xfrm_error (error, packets) VALUES (?, ?)"
    f" ON CONFLICT (error) DO UPDATE SET {added(['packets'])}"
)


def add_totals(connection: sqlite3.Connection, batch: Batch) -> int:
    """Adds the batch; how many of its rows have a sum that is at MAX_NUMBER."""
    connection.execute(_COVER, (batch.router, batch.start_ns, batch.start_ns, batch.end_ns))
    connection.executemany(
        _ADD_ERROR, [(error, min(packets, MAX_NUMBER)) for error, packets in batch.xfrm_errors]
    )
    if not batch.tunnels:
        return 0
    rows = [_row(connection, batch, one.key, numbers_of(one)) for one in batch.tunnels]
    connection.executemany(_ADD, rows)
    return int(connection.execute(_SATURATED, (batch.start_ns, MAX_NUMBER)).fetchone()[0])


def fold(connection: sqlite3.Connection, before_ns: int, newest_end_ns: int) -> None:
    """Peers without an SA since before_ns go, and others that newest_end_ns does not know, if need be."""
    (rows,) = connection.execute("SELECT count(*) FROM tunnel_total").fetchone()
    _fold(connection, connection.execute(_AWAY, (OTHER_PEERS, before_ns, FOLD_ROWS)).fetchall())
    excess = min(rows - MAX_TOTALS, FOLD_ROWS)
    if excess > 0:
        _fold(connection, connection.execute(_AWAY, (OTHER_PEERS, newest_end_ns, excess)).fetchall())


def _row(
    connection: sqlite3.Connection, batch: Batch, key: TunnelKey, numbers: Numbers
) -> tuple[object, ...]:
    return (
        tunnel_id(connection, key),
        batch.start_ns,
        batch.end_ns,
        *numbers,
        *numbers[: len(SUMS)],
    )


def _fold(connection: sqlite3.Connection, found: Iterable[tuple[int]]) -> None:
    for (number,) in found:
        others = tunnel_id(connection, key_of(connection, number)._replace(peer=OTHER_PEERS))
        connection.execute(_FOLD, (others, number))
        connection.execute("DELETE FROM tunnel_total WHERE tunnel_id = ?", (number,))
        connection.execute("DELETE FROM tunnel WHERE id = ?", (number,))
