"""Sums of whole hours (UTC), for ranges that are too long for intervals.

An hour is made from history's quarters, in the commit of the first batch that begins in another hour: so a
restart neither misses nor doubles one, and an hour that gets more (a clock was set back) is made again,
whole, and written over. Parts of a line, and its capacity, are in no history: their hours are kept here, as
long as quarters.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Optional

from ipsecmon.model import Batch, Direction, Increment, LineCapacity
from ipsecmon.store import history, tunnel_history
from ipsecmon.store.part_rows import HOURS, PartTable, add_rows, forget_oldest, newest_start_ns, rows_at
from ipsecmon.store.schema import SCHEMA_VERSION
from ipsecmon.store.segments import Segment
from ipsecmon.store.summary import counter_rows
from ipsecmon.store.sums import MAX_NUMBER, NS
from ipsecmon.store.tunnels import opened_reader

__all__ = ["HOUR_NS", "KEEP_HOURS", "add_lines", "closed_hour", "forget", "hour_batches", "trim"]

HOUR_NS = 3600 * NS
KEEP_HOURS = 7 * 24  # however little room there is: as many quarters stay too
_QUARTER_S = history.RESOLUTIONS_S[1]
_FIRST_WITH_HOURS, _FIRST_WITH_CAPACITIES = 7, 8  # version of the file
_OPEN = "hours.open_ns"  # in the table state: the hour of the batch that was committed last

_LINES = PartTable("line_hour", "hour_ns")
_SET_LINE = "INSERT OR REPLACE INTO line_hour (hour_ns, line, direction, bits_per_s) VALUES (?, ?, ?, ?)"
_CAPACITIES = "SELECT line, direction, bits_per_s FROM line_hour WHERE hour_ns = ? ORDER BY line, direction"
_ROUTER = (
    "SELECT router FROM span WHERE resolution_s = ? AND start_ns >= ? AND start_ns < ?"
    " ORDER BY start_ns DESC LIMIT 1"
)


def closed_hour(connection: sqlite3.Connection, batch: Batch) -> Optional[Batch]:
    """The sums of the hour before, if the batch begins in another one. Before it is added to anything."""
    hour_ns = _hour(batch)
    found = connection.execute("SELECT value FROM state WHERE key = ?", (_OPEN,)).fetchone()
    if found and int(found[0]) == hour_ns:
        return None
    connection.execute("INSERT OR REPLACE INTO state (key, value) VALUES (?, ?)", (_OPEN, str(hour_ns)))
    return _hour_batch(connection, int(found[0])) if found else None


def add_lines(connection: sqlite3.Connection, batch: Batch) -> None:
    """Parts of lines, and the capacities of these."""
    hour_ns = _hour(batch)
    add_rows(connection, HOURS, hour_ns, batch.parts)
    connection.executemany(
        _SET_LINE, [(hour_ns, one.line, one.direction.value, one.bits_per_s) for one in batch.capacities]
    )


def forget(connection: sqlite3.Connection, before_ns: int) -> None:
    """Of lines' hours that are older, the oldest one."""
    for table in (HOURS, _LINES):
        forget_oldest(connection, table, before_ns - HOUR_NS)


def trim(connection: sqlite3.Connection) -> int:
    """The oldest of lines' hours, down to KEEP_HOURS; how many rows went."""
    before_ns = newest_start_ns(connection, HOURS) - KEEP_HOURS * HOUR_NS
    return sum(forget_oldest(connection, table, before_ns) for table in (HOURS, _LINES))


def hour_batches(folder: Path, start_ns: int, end_ns: int) -> Iterator[Batch]:
    """Hours that are over and have anything in common with the range, oldest first. Raises StoreError."""
    hour_ns = start_ns // HOUR_NS * HOUR_NS
    while True:
        with opened_reader(folder) as (connection, version):  # for each anew: it keeps no log from its end
            found = _next_hour(connection, version, hour_ns, end_ns)
        if found is None:
            return
        yield found
        hour_ns = found.end_ns


def _next_hour(connection: sqlite3.Connection, version: int, from_ns: int, end_ns: int) -> Optional[Batch]:
    """The first one from from_ns on that history has whole."""
    if version < _FIRST_WITH_HOURS:  # no agent has migrated it yet
        return None
    (complete_ns,) = connection.execute(
        "SELECT complete_from_ns FROM level WHERE resolution_s = ?", (_QUARTER_S,)
    ).fetchone()
    from_ns = max(from_ns, -(-complete_ns // HOUR_NS) * HOUR_NS)
    opened = connection.execute("SELECT value FROM state WHERE key = ?", (_OPEN,)).fetchone()
    until_ns = min(end_ns, int(opened[0]) if opened else end_ns)
    found = connection.execute(
        "SELECT min(start_ns) FROM span WHERE resolution_s = ? AND start_ns >= ? AND start_ns < ?",
        (_QUARTER_S, from_ns, until_ns),
    ).fetchone()[0]
    return None if found is None else _hour_batch(connection, found // HOUR_NS * HOUR_NS, version)


def _hour_batch(
    connection: sqlite3.Connection, hour_ns: int, version: int = SCHEMA_VERSION
) -> Optional[Batch]:
    """None where nothing was counted in it."""
    whole = Segment(_QUARTER_S, hour_ns, hour_ns + HOUR_NS)
    router = connection.execute(_ROUTER, whole).fetchone()
    if not router:
        return None
    rows = counter_rows(connection, [whole])
    return Batch(
        router[0],
        hour_ns,
        hour_ns + HOUR_NS,
        tuple(Increment(row.key, min(row.octets, MAX_NUMBER), min(row.packets, MAX_NUMBER)) for row in rows),
        tunnels=tunnel_history.sum_up(connection, [whole]),
        parts=rows_at(connection, HOURS, hour_ns),
        capacities=_capacities(connection, hour_ns) if version >= _FIRST_WITH_CAPACITIES else (),
        resolution_s=HOUR_NS // NS,
    )


def _capacities(connection: sqlite3.Connection, hour_ns: int) -> tuple[LineCapacity, ...]:
    return tuple(
        LineCapacity(line, Direction(way), bits_per_s)
        for line, way, bits_per_s in connection.execute(_CAPACITIES, (hour_ns,))
    )


def _hour(batch: Batch) -> int:
    return batch.start_ns // HOUR_NS * HOUR_NS
