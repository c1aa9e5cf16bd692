"""What parts of lines carried, by spans of time of one length: of hours, and of the buckets of baselines."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import NamedTuple

from ipsecmon.model import Direction, How, PartIncrement
from ipsecmon.store.sums import MAX_NUMBER, added

__all__ = [
    "BUCKETS",
    "HOURS",
    "PartTable",
    "add_rows",
    "forget_oldest",
    "has_rows",
    "newest_start_ns",
    "rows_at",
]

_HOWS = {one.value: number for number, one in enumerate(How)}  # the surest first
_ADD = (
    "INSERT INTO {name} ({time}, line, part, direction, octets, packets, how) VALUES (?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT ({time}, line, part, direction) DO UPDATE SET "
    f"{added(('octets', 'packets'))}, how = max(how, excluded.how)"
)
_ROWS = (
    "SELECT line, part, direction, octets, packets, how FROM {name} WHERE {time} = ?"
    " ORDER BY line, part, direction"
)
_FORGET = "DELETE FROM {name} WHERE {time} < ? AND {time} = (SELECT min({time}) FROM {name})"


class PartTable(NamedTuple):
    """Or one of lines. name: of the table. time: of its column with the span's start, ns since 1970."""

    name: str
    time: str

    def put_in(self, sql: str) -> str:
        return sql.format(name=self.name, time=self.time)


HOURS = PartTable("part_hour", "hour_ns")
BUCKETS = PartTable("part_bucket", "bucket_ns")


def add_rows(
    connection: sqlite3.Connection, table: PartTable, at_ns: int, parts: Iterable[PartIncrement]
) -> None:
    """Adds to what there is; how is the least sure of all."""
    rows = [
        (at_ns, one.line, one.part, one.direction.value, *_limited(one), _HOWS[one.how.value])
        for one in parts
    ]
    connection.executemany(table.put_in(_ADD), rows)


def rows_at(connection: sqlite3.Connection, table: PartTable, at_ns: int) -> tuple[PartIncrement, ...]:
    return tuple(
        PartIncrement(line, part, Direction(way), octets, packets, list(How)[how])
        for line, part, way, octets, packets, how in connection.execute(table.put_in(_ROWS), (at_ns,))
    )


def newest_start_ns(connection: sqlite3.Connection, table: PartTable) -> int:
    """0 where there is none."""
    (found,) = connection.execute(table.put_in("SELECT max({time}) FROM {name}")).fetchone()
    return found or 0


def has_rows(connection: sqlite3.Connection, table: PartTable, at_ns: int) -> bool:
    sql = table.put_in("SELECT 1 FROM {name} WHERE {time} = ? LIMIT 1")
    return connection.execute(sql, (at_ns,)).fetchone() is not None


def forget_oldest(connection: sqlite3.Connection, table: PartTable, before_ns: int) -> int:
    """Of the spans that begin before, the oldest one; how many rows went."""
    return connection.execute(table.put_in(_FORGET), (before_ns,)).rowcount


def _limited(one: PartIncrement) -> tuple[int, int]:
    return min(one.octets, MAX_NUMBER), min(one.packets, MAX_NUMBER)
