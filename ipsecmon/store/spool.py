"""Batches on their way: kept until the far side has them, in order, for each sink on its own.

The agent's commit puts a batch in, once, with one delivery for each sink; a sink's thread takes
the oldest, sends it, and acknowledges. The payload goes with its last delivery. In a full spool the
oldest intervals go first; sums of their hours wait on, for a sink that takes such.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from ipsecmon.errors import DecodeError, StoreError
from ipsecmon.model import Batch
from ipsecmon.store.codec import decode_batch, encode_batch
from ipsecmon.store.faults import translated
from ipsecmon.store.schema import FILE, connect, transaction
from ipsecmon.store.turns import Turns
from ipsecmon.store.wal import check_wal

__all__ = [
    "GROUP_OCTETS",
    "MAX_SPOOL_BATCHES",
    "MAX_SPOOL_HOURS",
    "Backlog",
    "Spool",
    "backlog",
    "drop_oldest",
    "dropped_batches",
    "enqueue",
    "enqueue_hour",
    "forget_sinks_except",
    "octets",
]

# 23 days of 10 s: a far side that died before somebody's holidays. 20 counters need 0.3 GB of disk.
MAX_SPOOL_BATCHES = 200_000
MAX_SPOOL_HOURS = 8784  # a year

GROUP_OCTETS = 256 * 2**10  # as they are stored: some 5,000 points, and some MB in memory

_DROPPED = "spool_dropped:"  # + sink, in the table state
_OF_KIND = "SELECT id FROM payload WHERE id <= ? AND is_hour = ?"
_WAITING = (
    "SELECT id, batch FROM delivery JOIN payload ON id = payload_id"
    " WHERE sink = ? ORDER BY payload_id LIMIT ?"
)


@dataclass(frozen=True)
class Backlog:
    """Batches that a sink has not acknowledged, and the start of the oldest (None: there is none)."""

    batches: int
    oldest_start_ns: Optional[int]


class Spool:
    """One sink's view. Everything from start() to stop() is for the one thread that called start().

    turns: of the store, where one of this process writes to the same file.
    """

    def __init__(self, folder: Path, sink: str, turns: Optional[Turns] = None) -> None:
        self._file = folder / FILE
        self._turns = turns or Turns()
        self._sink = sink
        self._connection: Optional[sqlite3.Connection] = None

    def start(self) -> None:
        with translated(self._file), self._turns.turn(self._file):  # it looks for WAL as if to write
            self._connection = connect(self._file)

    def stop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def next_batch(self) -> Optional[tuple[int, Batch]]:
        """The oldest batch not acknowledged, and its number for ack(); None: all is acknowledged."""
        found = self.next_batches(1)
        return found[0] if found else None

    def next_batches(self, at_most: int) -> list[tuple[int, Batch]]:
        """The oldest not acknowledged, in order, about GROUP_OCTETS of them together."""
        found: list[tuple[int, Batch]] = []
        with translated(self._file):
            for batch_id, text in self._texts(at_most):
                try:
                    found.append((batch_id, decode_batch(text)))
                except DecodeError:  # can never be sent: drop it, or nothing after it ever will be
                    self._take([batch_id], dropped=1)
                    return found or self.next_batches(at_most)
            return found

    def _texts(self, at_most: int) -> list[tuple[int, str]]:
        found = []
        octets = 0
        # closed: a SELECT that is left in the middle would keep the write-ahead log from its end
        with contextlib.closing(self._opened.execute(_WAITING, (self._sink, at_most))) as rows:
            for batch_id, text in rows:
                found.append((batch_id, text))
                octets += len(text)
                if octets >= GROUP_OCTETS:
                    break
        return found

    def ack(self, *batch_ids: int) -> None:
        """The far side has them. Twice is as good as once."""
        with translated(self._file):
            self._take(batch_ids, dropped=0)

    def backlog(self) -> Backlog:
        with translated(self._file):
            return backlog(self._opened, self._sink)

    @property
    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StoreError(f"the spool of sink {self._sink} in {self._file} is not open")
        return self._connection

    def _take(self, batch_ids: Sequence[int], dropped: int) -> None:
        connection = self._opened
        with self._turns.turn(self._file):
            check_wal(connection, self._file)
            self._take_out(connection, batch_ids, dropped)

    def _take_out(self, connection: sqlite3.Connection, batch_ids: Sequence[int], dropped: int) -> None:
        with transaction(connection):
            for batch_id in batch_ids:
                connection.execute(
                    "DELETE FROM delivery WHERE sink = ? AND payload_id = ?", (self._sink, batch_id)
                )
                connection.execute(
                    "DELETE FROM payload WHERE id = ?"
                    " AND NOT EXISTS (SELECT 1 FROM delivery WHERE payload_id = payload.id)",
                    (batch_id,),
                )
            if dropped:
                _count_dropped(connection, self._sink, dropped)


def enqueue(
    connection: sqlite3.Connection, start_ns: int, text: str, sinks: Sequence[str], limit: int
) -> dict[str, int]:
    """Puts a batch, as text, in for each sink; drops, and counts, what is more than limit batches old."""
    if not sinks:
        return {}
    newest = _insert(connection, start_ns, text, sinks, is_hour=False)
    return _drop_up_to(connection, newest - limit, are_hours=False)


def enqueue_hour(connection: sqlite3.Connection, hour: Batch, sinks: Sequence[str]) -> None:
    """Sums of an hour; they stay when intervals are dropped, up to MAX_SPOOL_HOURS of them."""
    if not sinks:
        return
    _insert(connection, hour.start_ns, encode_batch(hour), sinks, is_hour=True)
    surplus = connection.execute(
        "SELECT id FROM payload WHERE is_hour ORDER BY id DESC LIMIT 1 OFFSET ?", (MAX_SPOOL_HOURS,)
    ).fetchone()
    if surplus:
        _drop_up_to(connection, surplus[0], are_hours=True)


def _insert(
    connection: sqlite3.Connection, start_ns: int, text: str, sinks: Sequence[str], is_hour: bool
) -> int:
    inserted = connection.execute(
        "INSERT INTO payload (start_ns, batch, is_hour) VALUES (?, ?, ?)", (start_ns, text, is_hour)
    )
    newest = inserted.lastrowid or 0
    connection.executemany("INSERT INTO delivery VALUES (?, ?)", [(sink, newest) for sink in sinks])
    return newest


def octets(connection: sqlite3.Connection) -> int:
    """What all the batches that wait take up, about."""
    (found,) = connection.execute("SELECT octets FROM spool_size").fetchone()
    return int(found)


def drop_oldest(connection: sqlite3.Connection, batches: int) -> dict[str, int]:
    """Drops, and counts, that many of the oldest that wait, hours last; how many deliveries, by sink."""
    for are_hours in (False, True):
        newest = connection.execute(
            "SELECT max(id) FROM (SELECT id FROM payload WHERE is_hour = ? ORDER BY id LIMIT ?)",
            (are_hours, batches),
        ).fetchone()[0]
        if newest:
            return _drop_up_to(connection, newest, are_hours)
    return {}


def backlog(connection: sqlite3.Connection, sink: str) -> Backlog:
    count, oldest = connection.execute(
        "SELECT count(*), min(payload_id) FROM delivery WHERE sink = ?", (sink,)
    ).fetchone()
    start = connection.execute("SELECT start_ns FROM payload WHERE id = ?", (oldest,)).fetchone()
    return Backlog(count, start[0] if start else None)


def dropped_batches(connection: sqlite3.Connection) -> dict[str, int]:
    """By sink: batches that were dropped unsent since the store began."""
    rows = connection.execute(
        "SELECT substr(key, ?), value FROM state WHERE substr(key, 1, ?) = ?",
        (len(_DROPPED) + 1, len(_DROPPED), _DROPPED),
    )
    return {sink: int(value) for sink, value in rows}


def forget_sinks_except(connection: sqlite3.Connection, names: Collection[str]) -> dict[str, int]:
    """Drops what waits for any other sink; how many batches, by sink."""
    waiting = connection.execute("SELECT sink, count(*) FROM delivery GROUP BY sink").fetchall()
    forgotten = {sink: count for sink, count in waiting if sink not in names}
    connection.executemany("DELETE FROM delivery WHERE sink = ?", [(sink,) for sink in forgotten])
    if forgotten:
        connection.execute("DELETE FROM payload WHERE id NOT IN (SELECT payload_id FROM delivery)")
    return forgotten


def _drop_up_to(connection: sqlite3.Connection, batch_id: int, are_hours: bool) -> dict[str, int]:
    # Numbers are given without gaps, so this bounds the payloads without counting them.
    waiting = connection.execute(
        f"SELECT sink, count(*) FROM delivery WHERE payload_id IN ({_OF_KIND}) GROUP BY sink",
        (batch_id, are_hours),
    ).fetchall()
    for sink, count in waiting:
        _count_dropped(connection, sink, count)
    if waiting:
        connection.execute(f"DELETE FROM delivery WHERE payload_id IN ({_OF_KIND})", (batch_id, are_hours))
        connection.execute("DELETE FROM payload WHERE id <= ? AND is_hour = ?", (batch_id, are_hours))
    return dict(waiting)


def _count_dropped(connection: sqlite3.Connection, sink: str, batches: int) -> None:
    connection.execute(
        "INSERT INTO state (key, value) VALUES (?, ?)"
        " ON CONFLICT (key) DO UPDATE SET value = CAST(value AS INTEGER) + excluded.value",
        (_DROPPED + sink, str(batches)),
    )
