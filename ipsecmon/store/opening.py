"""Folder and file of the store: made, checked, moved aside when damaged.

A file that was closed in order is not searched for damage: on a big one that takes minutes. After
a kill it is, for CHECK_LIMIT_S at most: SQLite promises that nothing is damaged then. Where SQLite
met damage while the agent ran, the next start searches the whole file.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import sqlite3
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Optional

from ipsecmon.clock import Moment
from ipsecmon.store.faults import says_damaged
from ipsecmon.store.migration import migrate
from ipsecmon.store.schema import check_version, connect, connect_reader, transaction

__all__ = ["Begun", "make_folder", "mark_closed", "mark_suspect", "open_or_begin"]

CHECK_LIMIT_S = 5.0  # about a gigabyte that is in memory already
_CHECK_EVERY = 10_000  # of SQLite's virtual instructions: some milliseconds
_CLOSED = "store.closed_in_order"
_logger = logging.getLogger(__name__)
_COMPANIONS = ("", "-wal", "-shm")


def make_folder(folder: Path) -> None:
    """0750, if it is missing; one that exists keeps its mode."""
    if not folder.is_dir():
        folder.mkdir(parents=True)
        folder.chmod(0o750)


@dataclass(frozen=True)
class Begun:
    """kept_copy: of a file that was of an older version. moved_aside: where a damaged file went."""

    connection: sqlite3.Connection
    kept_copy: Optional[Path] = None
    moved_aside: Optional[Path] = None


def open_or_begin(file: Path, now: Moment) -> Begun:
    """A checked file of our version. Raises what SQLite raises, and StoreError."""
    try:
        return _open_checked(file)
    except sqlite3.DatabaseError as error:
        if not says_damaged(error):
            raise
    aside = _move_aside(file, now)
    return replace(_open_checked(file), moved_aside=aside)


def mark_closed(connection: sqlite3.Connection) -> None:
    """The last word of a run that ends in order: the next one need not look for damage."""
    connection.execute("INSERT OR REPLACE INTO state VALUES (?, '1')", (_CLOSED,))


def mark_suspect(file: Path) -> None:
    """SQLite has met damage: the next start looks for it in the whole file, however long that takes."""
    with contextlib.suppress(OSError):  # as good as the disk allows
        _suspect(file).touch(0o640)


def _open_checked(file: Path) -> Begun:
    _make_file(file)
    with contextlib.closing(connect_reader(file)) as reader:  # before anything is changed in it
        found = check_version(reader, file)
        limit_s = _check_limit_s(reader, file, found)
    connection = connect(file)
    try:
        _check(connection, limit_s)
        kept_copy = migrate(connection, file, found)
        with transaction(connection):
            connection.execute("DELETE FROM state WHERE key = ?", (_CLOSED,))
    except BaseException:
        connection.close()
        raise
    _suspect(file).unlink(missing_ok=True)
    return Begun(connection, kept_copy)


def _check_limit_s(reader: sqlite3.Connection, file: Path, found: int) -> float:
    if _suspect(file).exists():
        return math.inf
    if not found:
        return 0.0
    closed = reader.execute("SELECT count(*) FROM state WHERE key = ?", (_CLOSED,)).fetchone()[0]
    return 0.0 if closed else CHECK_LIMIT_S


def _check(connection: sqlite3.Connection, limit_s: float) -> None:
    """SQLite's own check, given up without a finding when the time is over."""
    if not limit_s:
        return
    until = time.monotonic() + limit_s
    connection.set_progress_handler(lambda: time.monotonic() > until, _CHECK_EVERY)
    try:
        verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.OperationalError as error:
        if "interrupted" not in str(error):
            raise
        _logger.warning("store is too large to be checked whole at this start seconds=%.0f", limit_s)
        return
    finally:
        connection.set_progress_handler(None, 0)
    if verdict != "ok":
        raise sqlite3.DatabaseError(f"malformed: {verdict}")


def _suspect(file: Path) -> Path:
    return file.with_name(f"{file.name}.suspect")


def _make_file(file: Path) -> None:
    """SQLite gives -wal and -shm the mode of the file."""
    if not file.exists():
        descriptor = os.open(file, os.O_CREAT | os.O_WRONLY, 0o640)
        os.fchmod(descriptor, 0o640)  # whatever the umask says
        os.close(descriptor)


def _move_aside(file: Path, now: Moment) -> Path:
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now.wall_ns // 10**9))
    aside = file.with_name(f"{file.name}.corrupt-{stamp}")
    while aside.exists():
        aside = Path(f"{aside}-again")
    for companion in _COMPANIONS:
        source = Path(f"{file}{companion}")
        if source.exists():
            source.rename(f"{aside}{companion}")
    return aside
