"""Keeps the write-ahead log small: SQLite starts it anew only when no reader needs what is in it.

A reader that stays (a shell with an open transaction, a stopped report) would let it grow with each
commit. Beyond WAL_MAX_OCTETS nothing is written any more until that reader is gone: the agent goes
on counting in memory, and the disk stays as full as it was promised.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from ipsecmon.errors import StoreError

__all__ = ["WAL_MAX_OCTETS", "check_wal", "wal_octets"]

WAL_MAX_OCTETS = 64 * 2**20  # sixteen times what SQLite lets come together by itself
_PATIENCE_MS = 200


def wal_octets(file: Path) -> int:
    try:
        return Path(f"{file}-wal").stat().st_size
    except FileNotFoundError:
        return 0


def check_wal(connection: sqlite3.Connection, file: Path, limit: int = WAL_MAX_OCTETS) -> None:
    """Cuts a log that has grown too long. Raises StoreError when a reader is in the way."""
    if wal_octets(file) <= limit:
        return
    (before,) = connection.execute("PRAGMA busy_timeout").fetchone()
    connection.execute(f"PRAGMA busy_timeout = {_PATIENCE_MS}").fetchone()
    try:
        is_busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        connection.execute(f"PRAGMA busy_timeout = {before}").fetchone()
    if is_busy:
        raise StoreError(
            f"{file}-wal has grown to {wal_octets(file) >> 20} MiB because a program has been reading"
            " the store all the time: find it with fuser and end it"
        )
