"""When the wall clock was stepped: so that a report can say why its range has a gap or an overlap."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

__all__ = ["MAX_STEPS", "ClockStep", "add", "between"]

MAX_STEPS = 1000  # a clock that is stepped all the time tells nothing new any more


class ClockStep(NamedTuple):
    """The wall clock was set from one time to the other."""

    from_ns: int
    to_ns: int


def add(connection: sqlite3.Connection, from_ns: int, to_ns: int) -> None:
    added = connection.execute("INSERT INTO clock_step (from_ns, to_ns) VALUES (?, ?)", (from_ns, to_ns))
    connection.execute("DELETE FROM clock_step WHERE id <= ?", ((added.lastrowid or 0) - MAX_STEPS,))


def between(connection: sqlite3.Connection, start_ns: int, end_ns: int) -> tuple[ClockStep, ...]:
    """Steps from or to a time in the range, or across all of it, in the order in which they were made."""
    rows = connection.execute(
        "SELECT from_ns, to_ns FROM clock_step WHERE max(from_ns, to_ns) >= ? AND min(from_ns, to_ns) < ?"
        " ORDER BY id",
        (start_ns, end_ns),
    )
    return tuple(ClockStep(*row) for row in rows)
