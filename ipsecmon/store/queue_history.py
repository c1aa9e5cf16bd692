"""What happened in qdiscs and classes, interval by interval: read-only, beside a running agent."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ipsecmon.qos import QueueIncrement, QueueKey
from ipsecmon.store.queue_rows import COLUMNS, KEY
from ipsecmon.store.segments import finest
from ipsecmon.store.tunnels import opened_reader

__all__ = ["FIRST_WITH_QUEUES", "QueueInterval", "queue_intervals"]

FIRST_WITH_QUEUES = 6  # version of the file
_IN_ORDER = (
    f"SELECT first_ns, end_ns, {KEY}, {', '.join(COLUMNS)}"
    " FROM span JOIN queue_history ON span_id = span.id JOIN queue ON queue.id = queue_id"
    " WHERE resolution_s = ? AND start_ns >= ? AND start_ns < ? ORDER BY start_ns, queue_id"
)


class QueueInterval(NamedTuple):
    """What happened in one queue in [start_ns, end_ns); nothing did in intervals that are missing."""

    start_ns: int
    end_ns: int
    increment: QueueIncrement


def queue_intervals(folder: Path, start_ns: int, end_ns: int) -> tuple[QueueInterval, ...]:
    """Of intervals that begin in [start_ns, end_ns), as finely as history has them. Raises StoreError."""
    with opened_reader(folder) as (connection, version):
        if version < FIRST_WITH_QUEUES:  # no agent has migrated it yet
            return ()
        complete_from_ns = dict(connection.execute("SELECT resolution_s, complete_from_ns FROM level"))
        return tuple(
            _interval(row)
            for part in finest(start_ns, end_ns, complete_from_ns)
            for row in connection.execute(_IN_ORDER, part)
        )


def _interval(row: Sequence[int]) -> QueueInterval:
    start_ns, end_ns, interface, kind, handle, parent, *numbers = row
    key = QueueKey(str(interface), str(kind), str(handle), str(parent))
    return QueueInterval(start_ns, end_ns, QueueIncrement(key, **dict(zip(COLUMNS, numbers))))
