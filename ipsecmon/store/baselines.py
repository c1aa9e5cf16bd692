"""What parts of lines carried a day and a week before, to be drawn on one axis with what they carry now.

A query language of series has no second time in one query, so the past is written anew, at the time of the
present that it is compared with. It is known long before: each batch takes along what is due within AHEAD_S,
in the same transaction, and so through the same spool, and again when it is sent again. A bucket is told
once, and twice only where a clock was set back: at the same time, with the same sums. Where history has
nothing, nothing is told.

A bucket is BUCKET_S long: at 10 s a part has 30 points in it and gets 2 of its baseline, and eight days of
ten parts, both directions, are 2 MB. A minute would be five times as much, for curves that in a panel of a
day's width show no more.
A batch belongs, whole, to the bucket that its start is in.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from typing import Optional

from ipsecmon.model import Baseline, Batch
from ipsecmon.store.part_rows import BUCKETS, add_rows, forget_oldest, has_rows, newest_start_ns, rows_at
from ipsecmon.store.sums import NS

__all__ = [
    "AHEAD_S",
    "BUCKET_S",
    "CATCH_UP_S",
    "KEEP_S",
    "MAX_POINTS",
    "SHIFTS_S",
    "add_parts",
    "tell",
    "trim",
]

BUCKET_S = 300
SHIFTS_S = {"1d": 86_400, "7d": 604_800}  # of fixed length: summer time comes and goes between two of them
KEEP_S = 8 * 86_400  # the longest shift, and a day for what is told late
AHEAD_S = 3_600  # so that a curve does not end before what it is compared with, and outlives a restart
MAX_POINTS = 1000  # by one batch, but whole buckets: about 6 ms, and a day of 20 parts in 12 batches
CATCH_UP_S = 86_400  # back from now, after no agent ran
_KEEP_TRIMMED_S = 86_400  # however little room there is: the shorter shift goes on
_FORGET = 2  # one more than begins: to catch up, and a clock that is wrong for an hour costs two
_NEXT = "baselines.next_ns"  # in the table state: the first bucket that is not told
_SET_NEXT = "INSERT OR REPLACE INTO state (key, value) VALUES (?, ?)"


def add_parts(connection: sqlite3.Connection, batch: Batch, newest_ns: int, retention_s: int) -> None:
    """A bucket that begins lets the oldest go that are past their time, as seen from newest_ns."""
    at_ns = _bucket_ns(batch)
    begins = not has_rows(connection, BUCKETS, at_ns)
    add_rows(connection, BUCKETS, at_ns, batch.parts)
    before_ns = newest_ns - (min(KEEP_S, retention_s) + BUCKET_S) * NS
    for _ in range(_FORGET if begins else 0):
        forget_oldest(connection, BUCKETS, before_ns)


def tell(connection: sqlite3.Connection, batch: Batch) -> Batch:
    """The batch with the baselines that are due, which count as told."""
    found = connection.execute("SELECT value FROM state WHERE key = ?", (_NEXT,)).fetchone()
    due = _due(_bucket_ns(batch), int(found[0]) if found else None)
    told: list[Baseline] = []
    next_ns = due.start
    for next_ns in due:
        if sum(len(one.parts) for one in told) >= MAX_POINTS:
            break
        told += _baselines(connection, next_ns)
    else:
        next_ns = due.stop
    connection.execute(_SET_NEXT, (_NEXT, str(next_ns)))
    return replace(batch, baselines=tuple(told))


def trim(connection: sqlite3.Connection) -> int:
    """The oldest bucket, down to a day of them; how many rows went."""
    return forget_oldest(connection, BUCKETS, newest_start_ns(connection, BUCKETS) - _KEEP_TRIMMED_S * NS)


def _due(now_ns: int, next_ns: Optional[int]) -> range:
    """Starts of buckets. now_ns: of the one that is running. next_ns: of the first that is not told."""
    end_ns = now_ns + AHEAD_S * NS
    if next_ns is None or next_ns > end_ns:  # the clock was set back
        next_ns = now_ns
    first_ns = max(next_ns, now_ns - CATCH_UP_S * NS)
    return range(first_ns, end_ns, BUCKET_S * NS)


def _baselines(connection: sqlite3.Connection, at_ns: int) -> Iterator[Baseline]:
    """Of the bucket that begins then."""
    for shift, shift_s in SHIFTS_S.items():
        parts = rows_at(connection, BUCKETS, at_ns - shift_s * NS)
        if parts:
            yield Baseline(at_ns, shift, parts)


def _bucket_ns(batch: Batch) -> int:
    return batch.start_ns // (BUCKET_S * NS) * (BUCKET_S * NS)
