"""History of tunnels: one row a tunnel and direction in each span of history.py, its peers together.

There may be a thousand peers in a tunnel: what each of them did is in the totals alone.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Optional

from ipsecmon.model import TunnelIncrement, TunnelKey
from ipsecmon.store.sums import MAX_NUMBER, added, halves, whole
from ipsecmon.store.tunnel_rows import (
    ALL_PEERS,
    LEVELS,
    SUMS,
    Numbers,
    increment,
    joined,
    key_of,
    numbers_of,
    tunnel_id,
)

__all__ = ["add", "forget", "rows_of", "sum_up"]

_COLUMNS = (*SUMS, *LEVELS)
_ADD = (
    f"INSERT INTO tunnel_history (span_id, tunnel_id, {', '.join(_COLUMNS)})"
    f" VALUES (?, ?{', ?' * len(_COLUMNS)}) ON CONFLICT (span_id, tunnel_id) DO UPDATE SET {added(SUMS)},"
    f" {', '.join(f'{name} = excluded.{name}' for name in LEVELS)}"
)
_SATURATED = f"SELECT count(*) FROM tunnel_history WHERE span_id = ? AND max({', '.join(SUMS)}) = ?"
# Bare columns beside one max() come from that row: https://www.sqlite.org/lang_select.html#bareagg
_TOTALS = (
    f"SELECT tunnel_id, {halves(SUMS)}, {', '.join(LEVELS)}, max(start_ns)"
    " FROM span JOIN tunnel_history ON span_id = span.id"
    " WHERE resolution_s = ? AND start_ns >= ? AND start_ns < ? GROUP BY tunnel_id"
)


def rows_of(
    connection: sqlite3.Connection, increments: Iterable[TunnelIncrement]
) -> list[tuple[int, Numbers]]:
    """For add(): numbers by the tunnel's number."""
    together: dict[TunnelKey, Numbers] = {}
    for one in increments:
        key = one.key._replace(peer=ALL_PEERS)
        numbers = numbers_of(one)
        together[key] = joined(together[key], numbers) if key in together else numbers
    return [(tunnel_id(connection, key), numbers) for key, numbers in together.items()]


def add(connection: sqlite3.Connection, span_id: int, rows: Sequence[tuple[int, Numbers]]) -> int:
    """Adds to one span; how many of its rows have a sum that is at MAX_NUMBER."""
    if not rows:
        return 0
    connection.executemany(_ADD, [(span_id, number, *numbers) for number, numbers in rows])
    return int(connection.execute(_SATURATED, (span_id, MAX_NUMBER)).fetchone()[0])


def forget(connection: sqlite3.Connection, span_ids: Sequence[tuple[int]]) -> None:
    connection.executemany("DELETE FROM tunnel_history WHERE span_id = ?", span_ids)


def sum_up(
    connection: sqlite3.Connection, parts: Iterable[tuple[int, int, int]]
) -> tuple[TunnelIncrement, ...]:
    """parts: Segments, disjoint and oldest first: sums add up, the last levels stay."""
    sums: dict[int, list[int]] = {}
    levels: dict[int, list[Optional[int]]] = {}
    for part in parts:
        for number, *found in connection.execute(_TOTALS, part):
            before = sums.get(number, [0] * len(SUMS))
            sums[number] = [old + new for old, new in zip(before, whole(found[: 2 * len(SUMS)]))]
            levels[number] = found[2 * len(SUMS) : -1]
    return tuple(
        increment(key_of(connection, number), (*sums[number], *levels[number])) for number in sorted(sums)
    )
