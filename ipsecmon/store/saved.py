"""The names of counters, and the last reading of each kernel counter.

A kernel counter is unsigned, SQLite's integers are signed: the upper half of 64 bit is kept as the
negative number with the same bits.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from ipsecmon.model import CounterKey, Direction, ObservationPoint, Reading

__all__ = [
    "SavedReading",
    "counter_id",
    "forget_readings",
    "load_readings",
    "save_readings",
    "signed",
    "unsigned",
]

_WRAP = 1 << 64

_SAVE = (
    "INSERT INTO reading (counter_id, octets, packets, birth, at_ns) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT (counter_id) DO UPDATE SET octets = excluded.octets, packets = excluded.packets,"
    " birth = excluded.birth, at_ns = excluded.at_ns"
)


@dataclass(frozen=True)
class SavedReading:
    """What the counter said at at_ns (wall clock): the end of the batch it was committed with."""

    octets: int
    packets: int
    birth: str
    at_ns: int


def counter_id(connection: sqlite3.Connection, key: CounterKey) -> int:
    """The number of a counter in the file; a new one for a new name."""
    names = (key.name, key.direction.value, key.observed_at.value)
    found = connection.execute(
        "SELECT id FROM counter WHERE name = ? AND direction = ? AND observed_at = ?", names
    ).fetchone()
    if found:
        return int(found[0])
    inserted = connection.execute(
        "INSERT INTO counter (name, direction, observed_at) VALUES (?, ?, ?)", names
    )
    return int(inserted.lastrowid or 0)


def save_readings(connection: sqlite3.Connection, readings: Iterable[Reading], at_ns: int) -> None:
    rows = [
        (counter_id(connection, r.key), signed(r.octets), signed(r.packets), r.birth, at_ns) for r in readings
    ]
    connection.executemany(_SAVE, rows)


def load_readings(connection: sqlite3.Connection) -> dict[CounterKey, SavedReading]:
    rows = connection.execute(
        "SELECT name, direction, observed_at, octets, packets, birth, at_ns"
        " FROM reading JOIN counter ON counter.id = counter_id"
    )
    return {
        CounterKey(name, Direction(direction), ObservationPoint(observed_at)): SavedReading(
            unsigned(octets), unsigned(packets), birth, at_ns
        )
        for name, direction, observed_at, octets, packets, birth, at_ns in rows
    }


def forget_readings(connection: sqlite3.Connection, before_ns: int) -> None:
    """Drops readings of counters that have not been read since then."""
    connection.execute("DELETE FROM reading WHERE at_ns < ?", (before_ns,))


def signed(number: int) -> int:
    """As SQLite keeps a number of 64 bit without a sign."""
    return (number + _WRAP // 2) % _WRAP - _WRAP // 2


def unsigned(number: int) -> int:
    return number % _WRAP
