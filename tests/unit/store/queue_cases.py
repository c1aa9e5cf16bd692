"""What a store has of queues, interval by interval, straight from the file."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import NamedTuple

from ipsecmon.qos import QueueIncrement, QueueKey
from ipsecmon.store.queue_rows import COLUMNS, KEY

__all__ = ["QueueInterval", "queue_intervals"]

_IN_ORDER = (
    f"SELECT start_ns, {KEY}, {', '.join(COLUMNS)}"
    " FROM span JOIN queue_history ON span_id = span.id JOIN queue ON queue.id = queue_id"
    " WHERE resolution_s = 0 AND start_ns >= ? ORDER BY start_ns, queue_id"
)


class QueueInterval(NamedTuple):
    start_ns: int
    increment: QueueIncrement


def queue_intervals(folder: Path, start_ns: int = 0) -> list[QueueInterval]:
    """Of intervals, as they were counted, that begin then or later; where nothing happened there is none."""
    with contextlib.closing(sqlite3.connect(folder / "ipsecmon.sqlite")) as connection:
        rows = connection.execute(_IN_ORDER, (start_ns,)).fetchall()
    return [
        QueueInterval(first_ns, QueueIncrement(QueueKey(*names), **dict(zip(COLUMNS, numbers))))
        for first_ns, *more in rows
        for names, numbers in [(more[:4], more[4:])]
    ]
