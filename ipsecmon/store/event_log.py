"""What changed on this router, when: kept, told to the sinks with the next batch, and read by people.

An event is in the store before anybody is told, so a kill between the two loses nothing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ipsecmon.qos import Event, EventKind
from ipsecmon.store.tunnels import opened_reader

__all__ = ["FIRST_WITH_EVENTS", "MAX_EVENTS", "MAX_TOLD", "add", "events", "forget", "mark_told", "untold"]

FIRST_WITH_EVENTS = 6  # version of the file
MAX_EVENTS = 10_000  # the newest; about 2 MB
MAX_TOLD = 100  # in one batch
_COLUMNS = "kind, start_ns, end_ns, text, interface, count"
_ADD = f"INSERT INTO event ({_COLUMNS}, is_told) VALUES (?, ?, ?, ?, ?, ?, 0)"
_THERE = "SELECT 1 FROM event WHERE start_ns = ? AND kind = ? AND interface = ?"
_UNTOLD = f"SELECT {_COLUMNS} FROM event WHERE is_told = 0 ORDER BY id LIMIT ?"
_BETWEEN = (
    f"SELECT {_COLUMNS} FROM event WHERE end_ns >= ? AND start_ns < ? ORDER BY start_ns DESC, id DESC LIMIT ?"
)


def add(connection: sqlite3.Connection, event: Event) -> Event:
    """As it is kept: later by a nanosecond where there is one of its kind at that time."""
    key = (event.start_ns, event.kind.value, event.interface)
    while connection.execute(_THERE, key).fetchone():
        event = replace(event, start_ns=event.start_ns + 1, end_ns=max(event.end_ns, event.start_ns + 1))
        key = (event.start_ns, event.kind.value, event.interface)
    values = (event.kind.value, event.start_ns, event.end_ns, event.text, event.interface, event.count)
    added = connection.execute(_ADD, values)
    connection.execute("DELETE FROM event WHERE id <= ?", ((added.lastrowid or 0) - MAX_EVENTS,))
    return event


def untold(connection: sqlite3.Connection) -> tuple[Event, ...]:
    """The oldest few that no batch has had yet."""
    return tuple(map(_event, connection.execute(_UNTOLD, (MAX_TOLD,))))


def mark_told(connection: sqlite3.Connection, told: Iterable[Event]) -> None:
    keys = [(one.start_ns, one.kind.value, one.interface) for one in told]
    connection.executemany(
        "UPDATE event SET is_told = 1 WHERE start_ns = ? AND kind = ? AND interface = ?", keys
    )


def forget(connection: sqlite3.Connection, before_ns: int) -> None:
    """Those that had ended by then. One that nobody was told of yet, such as a mark in the past, stays."""
    connection.execute("DELETE FROM event WHERE end_ns < ? AND is_told = 1", (before_ns,))


def events(folder: Path, start_ns: int, end_ns: int, at_most: int = MAX_EVENTS) -> tuple[Event, ...]:
    """Those that touch [start_ns, end_ns), in their order; the newest at_most of them. Raises StoreError."""
    with opened_reader(folder) as (connection, version):
        if version < FIRST_WITH_EVENTS:  # no agent has migrated it yet
            return ()
        rows = connection.execute(_BETWEEN, (start_ns, end_ns, at_most)).fetchall()
    return tuple(map(_event, reversed(rows)))


def _event(row: Sequence[Any]) -> Event:
    kind, *more = row
    return Event(EventKind(kind), *more)
