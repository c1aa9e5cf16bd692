"""Qdiscs and classes as rows: one for each in which anything happened, in each span of history.py.

Numbers that a kind does not count are 0 here.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from operator import attrgetter

from ipsecmon.model import Direction
from ipsecmon.qos import (
    NOWHERE,
    QUEUE_EXTRAS,
    QUEUE_LEVELS,
    QUEUE_SUMS,
    QueueIncrement,
    QueueKey,
    QueuePlace,
    QueueReading,
)
from ipsecmon.store.sums import MAX_NUMBER, added

__all__ = [
    "COLUMNS",
    "FIRST_WITH_PLACES",
    "FIRST_WITH_QUEUES",
    "KEY",
    "add",
    "forget",
    "load_places",
    "load_readings",
    "rows_of",
    "save_readings",
]

FIRST_WITH_QUEUES = 6  # version of the file
FIRST_WITH_PLACES = 8  # version of the file
_SUMS = (*QUEUE_SUMS, *QUEUE_EXTRAS)
COLUMNS = (*_SUMS, *QUEUE_LEVELS)
_pick = attrgetter(*COLUMNS)
_ADD = (
    f"INSERT INTO queue_history (span_id, queue_id, {', '.join(COLUMNS)})"
    f" VALUES (?, ?{', ?' * len(COLUMNS)}) ON CONFLICT (span_id, queue_id) DO UPDATE SET {added(_SUMS)},"
    f" {', '.join(f'{name} = excluded.{name}' for name in QUEUE_LEVELS)}"
)
_PLACE = (
    "UPDATE queue SET line = :line, direction = :direction"
    " WHERE id = :id AND (line != :line OR direction != :direction)"
)
KEY = "interface, kind, handle, parent"

Numbers = tuple[int, ...]


def rows_of(
    connection: sqlite3.Connection, increments: Iterable[QueueIncrement]
) -> list[tuple[int, Numbers]]:
    """For add(): numbers by the queue's number."""
    found = ((one, tuple(min(number or 0, MAX_NUMBER) for number in _pick(one))) for one in increments)
    return [(_placed_id(connection, one), numbers) for one, numbers in found if any(numbers)]


def add(connection: sqlite3.Connection, span_id: int, rows: Sequence[tuple[int, Numbers]]) -> None:
    connection.executemany(_ADD, [(span_id, number, *numbers) for number, numbers in rows])


def forget(connection: sqlite3.Connection, span_ids: Sequence[tuple[int]]) -> None:
    connection.executemany("DELETE FROM queue_history WHERE span_id = ?", span_ids)


def save_readings(connection: sqlite3.Connection, readings: Iterable[QueueReading]) -> None:
    """In place of all that were saved before."""
    connection.execute("DELETE FROM queue_reading")
    connection.executemany(
        "INSERT INTO queue_reading (queue_id, life, numbers) VALUES (?, ?, ?)",
        [(_queue_id(connection, one.key), one.life, json.dumps(dict(one.numbers))) for one in readings],
    )


def load_readings(connection: sqlite3.Connection) -> list[QueueReading]:
    rows = connection.execute(
        f"SELECT {KEY}, life, numbers FROM queue_reading JOIN queue ON queue.id = queue_id"
    )
    return [QueueReading(QueueKey(*names), life, json.loads(numbers)) for *names, life, numbers in rows]


def load_places(connection: sqlite3.Connection) -> dict[QueueKey, QueuePlace]:
    """Of each queue where it stood when it last counted anything."""
    rows = connection.execute(f"SELECT {KEY}, line, direction FROM queue")
    return {QueueKey(*names): QueuePlace(line, Direction(way)) for *names, line, way in rows}


def _placed_id(connection: sqlite3.Connection, one: QueueIncrement) -> int:
    queue_id = _queue_id(connection, one.key)
    if one.place != NOWHERE:
        connection.execute(_PLACE, {**one.place._asdict(), "id": queue_id})
    return queue_id


def _queue_id(connection: sqlite3.Connection, key: QueueKey) -> int:
    """A new one for a new name. The kernel has 32,767 numbers to give: there is an end to names."""
    found = connection.execute(
        "SELECT id FROM queue WHERE interface = ? AND kind = ? AND handle = ? AND parent = ?", key
    ).fetchone()
    if found:
        return int(found[0])
    return int(connection.execute(f"INSERT INTO queue ({KEY}) VALUES (?, ?, ?, ?)", key).lastrowid or 0)
