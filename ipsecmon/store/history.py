"""History in resolutions: every batch is added to its own row and to one bucket of each resolution.

A batch belongs, whole, to the bucket its start is in (UTC). Resolutions finer than the interval
are written too: they cost no more than at a short interval, they outlive the batches' own rows,
and the history stays whole when the interval is changed.

Old rows go when a new one of their resolution begins, oldest first and a few at a time. So a
commit stays short, and a clock that jumps ahead for an hour costs hours of history, not years.

A sum that would pass MAX_NUMBER stays there, and is counted: a broken number never stops counting.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from ipsecmon.model import Batch
from ipsecmon.store import queue_rows, tunnel_history
from ipsecmon.store.saved import counter_id
from ipsecmon.store.sums import MAX_NUMBER, NS, added

__all__ = ["LEVELS_S", "NS", "RESOLUTIONS_S", "SUMS", "add_batch", "prune", "retentions_s", "trim"]

RESOLUTIONS_S = (60, 900, 86400)
LEVELS_S = (0, *RESOLUTIONS_S)  # 0: the batches' own rows

SUMS = (
    "octets",
    "packets",
    "nflog_octets",
    "nflog_packets",
    "lost_packets",
    "bridged_octets",
    "bridged_packets",
)

_DAY_S = 86400
BASE_RETENTION_S = 2 * _DAY_S
MAX_BASE_SPANS = 17280  # two days of 10 s; at shorter intervals time is given up rather than the disk
MINUTE_RETENTION_S = 14 * _DAY_S
DAY_RETENTION_S = 3653 * _DAY_S  # ten years of days are small
PRUNE_SPANS = 8  # more than the one that begins, to catch up after store.retention was shortened

# Numbers of spans lie apart by level, the finest last: so the rows that are deleted together lie
# together, and their pages become free; and most rows are appended at the end, where SQLite fills pages.
_IDS = 2**56
_FIRST_ID = {level_s: number * _IDS for number, level_s in enumerate(reversed(LEVELS_S))}

_COLUMNS = (*SUMS, "pending_packets")
_ADD = (
    f"INSERT INTO history (span_id, counter_id, {', '.join(_COLUMNS)})"
    f" VALUES (?, ?{', ?' * len(_COLUMNS)})"
    f" ON CONFLICT (span_id, counter_id) DO UPDATE SET {added(SUMS)},"
    " pending_packets = excluded.pending_packets"
)
_SATURATED = f"SELECT count(*) FROM history WHERE span_id = ? AND max({', '.join(SUMS)}) = ?"


def retentions_s(interval_s: int, retention_s: int) -> dict[int, int]:
    """How long each level is kept, from the configured interval and retention."""
    base_s = min(BASE_RETENTION_S, MAX_BASE_SPANS * interval_s)
    return {
        0: min(base_s, retention_s),
        60: min(MINUTE_RETENTION_S, retention_s),
        900: retention_s,
        86400: max(DAY_RETENTION_S, retention_s),
    }


class Added(NamedTuple):
    """begun: levels at which a new row of time began. saturated: rows with a sum at MAX_NUMBER."""

    begun: list[int]
    saturated: int


def add_batch(connection: sqlite3.Connection, batch: Batch) -> Added:
    """Adds the batch at every level."""
    numbers = [
        (counter_id(connection, one.key), *(min(getattr(one, name), MAX_NUMBER) for name in _COLUMNS))
        for one in batch.increments
    ]
    tunnels = tunnel_history.rows_of(connection, batch.tunnels)
    queues = queue_rows.rows_of(connection, batch.queues)
    begun = []
    saturated = 0
    for level_s in LEVELS_S:
        span_id, is_new = _span(connection, level_s, batch)
        connection.executemany(_ADD, [(span_id, *row) for row in numbers])
        saturated += connection.execute(_SATURATED, (span_id, MAX_NUMBER)).fetchone()[0]
        saturated += tunnel_history.add(connection, span_id, tunnels)
        queue_rows.add(connection, span_id, queues)
        if is_new:
            begun.append(level_s)
    return Added(begun, saturated)


def prune(
    connection: sqlite3.Connection, levels_s: Iterable[int], retention_s: Mapping[int, int], now_ns: int
) -> None:
    """Deletes, at these levels, the oldest few of the rows that are past their retention."""
    for level_s in levels_s:
        spans = connection.execute(
            "SELECT id, start_ns FROM span WHERE resolution_s = ? AND start_ns < ? ORDER BY start_ns LIMIT ?",
            (level_s, now_ns - retention_s[level_s] * NS, PRUNE_SPANS),
        ).fetchall()
        _forget(connection, level_s, spans)


def trim(connection: sqlite3.Connection, level_s: int, at_most: int, keep: int) -> int:
    """Deletes the oldest rows of time of a level, however young, down to keep; how many."""
    (there,) = connection.execute("SELECT count(*) FROM span WHERE resolution_s = ?", (level_s,)).fetchone()
    spans = connection.execute(
        "SELECT id, start_ns FROM span WHERE resolution_s = ? ORDER BY start_ns LIMIT ?",
        (level_s, max(0, min(at_most, there - keep))),
    ).fetchall()
    _forget(connection, level_s, spans)
    return len(spans)


def _forget(connection: sqlite3.Connection, level_s: int, spans: list[tuple[int, int]]) -> None:
    """spans: id and start_ns, the oldest of their level, in order."""
    if not spans:
        return
    ids = [(span_id,) for span_id, _ in spans]
    connection.executemany("DELETE FROM history WHERE span_id = ?", ids)
    tunnel_history.forget(connection, ids)
    queue_rows.forget(connection, ids)
    connection.executemany("DELETE FROM span WHERE id = ?", ids)
    connection.execute(
        "UPDATE level SET complete_from_ns = max(complete_from_ns, ?) WHERE resolution_s = ?",
        (spans[-1][1] + 1, level_s),
    )


def _span(connection: sqlite3.Connection, level_s: int, batch: Batch) -> tuple[int, bool]:
    """The row of time the batch belongs to at this level, made if there is none; whether it was made."""
    step_ns = level_s * NS or 1
    start_ns = batch.start_ns // step_ns * step_ns
    found = connection.execute(
        "SELECT id FROM span WHERE resolution_s = ? AND start_ns = ?", (level_s, start_ns)
    ).fetchone()
    if found:
        connection.execute(
            "UPDATE span SET first_ns = min(first_ns, ?), end_ns = max(end_ns, ?), router = ? WHERE id = ?",
            (batch.start_ns, batch.end_ns, batch.router, found[0]),
        )
        return found[0], False
    inserted = connection.execute(
        "INSERT INTO span (id, resolution_s, start_ns, first_ns, end_ns, router) VALUES (?, ?, ?, ?, ?, ?)",
        (_next_id(connection, level_s), level_s, start_ns, batch.start_ns, batch.end_ns, batch.router),
    )
    return inserted.lastrowid or 0, True


def _next_id(connection: sqlite3.Connection, level_s: int) -> int:
    first = _FIRST_ID[level_s]
    (newest,) = connection.execute(
        "SELECT max(id) FROM span WHERE id >= ? AND id < ?", (first, first + _IDS)
    ).fetchone()
    return first + 1 if newest is None else int(newest) + 1
