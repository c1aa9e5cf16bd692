"""Intervals as they were committed, compressed, so that they can be sent again: exactly what was sent.

They are the first to go where the store has no room.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Optional

from ipsecmon.errors import DecodeError
from ipsecmon.model import Batch
from ipsecmon.store.codec import decode_batch
from ipsecmon.store.sums import MAX_NUMBER
from ipsecmon.store.tunnels import opened_reader

__all__ = ["MAX_KEPT_BATCHES", "first_kept_ns", "forget", "keep", "kept_batches", "make_room"]

MAX_KEPT_BATCHES = 120_960  # two weeks of 10 s, as long as minutes are kept; 20 counters need 70 MB
_FORGET = 8  # by one commit, as history does
_PAGE = 200
_FIRST_WITH_BATCHES = 7  # version of the file
_OLDEST = (
    "DELETE FROM kept_batch WHERE id IN"
    " (SELECT id FROM kept_batch WHERE id <= ? OR start_ns < ? ORDER BY id LIMIT ?)"
)


def keep(connection: sqlite3.Connection, batch: Batch, text: str) -> None:
    """text: the batch, encoded."""
    connection.execute(
        "INSERT INTO kept_batch (start_ns, batch) VALUES (?, ?)",
        (batch.start_ns, zlib.compress(text.encode())),
    )


def forget(connection: sqlite3.Connection, before_ns: int) -> None:
    """What is older or too many goes, a few at a time."""
    (newest,) = connection.execute("SELECT max(id) FROM kept_batch").fetchone()
    connection.execute(_OLDEST, ((newest or 0) - MAX_KEPT_BATCHES, before_ns, _FORGET))


def make_room(connection: sqlite3.Connection, batches: int) -> int:
    """Drops that many of the oldest; how many there were."""
    return connection.execute(_OLDEST, (MAX_NUMBER, 0, batches)).rowcount


def first_kept_ns(folder: Path) -> Optional[int]:
    """Since when batches are kept as they were; None: there is none. Raises StoreError."""
    with opened_reader(folder) as (connection, version):
        if version < _FIRST_WITH_BATCHES:
            return None
        found = connection.execute("SELECT start_ns FROM kept_batch ORDER BY id LIMIT 1").fetchone()
        return int(found[0]) if found else None


def kept_batches(folder: Path, start_ns: int, end_ns: int) -> Iterator[Batch]:
    """Intervals that begin in the range, as they were, oldest first. Raises StoreError."""
    after = -1
    while True:
        page = _page(folder, start_ns, end_ns, after)
        for number, octets in page:
            after = number
            try:
                yield decode_batch(zlib.decompress(octets).decode())
            except (zlib.error, UnicodeDecodeError, DecodeError):
                continue  # damaged on disk: as if it had been forgotten
        if len(page) < _PAGE:
            return


def _page(folder: Path, start_ns: int, end_ns: int, after: int) -> list[tuple[int, bytes]]:
    """A read of its own: one that stays open would keep the write-ahead log from its end."""
    with opened_reader(folder) as (connection, version):
        if version < _FIRST_WITH_BATCHES:
            return []
        return connection.execute(
            "SELECT id, batch FROM kept_batch WHERE id > ? AND start_ns >= ? AND start_ns < ?"
            " ORDER BY id LIMIT ?",
            (after, start_ns, end_ns, _PAGE),
        ).fetchall()
