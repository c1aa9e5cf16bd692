"""Folder and file of the store: made, checked, moved aside when damaged."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from pathlib import Path
from typing import Optional

from ipsecmon.clock import Moment
from ipsecmon.store.faults import says_damaged
from ipsecmon.store.schema import check_version, connect, connect_reader, migrate

__all__ = ["make_folder", "open_or_begin"]

_COMPANIONS = ("", "-wal", "-shm")


def make_folder(folder: Path) -> None:
    """0750, if it is missing; one that exists keeps its mode."""
    if not folder.is_dir():
        folder.mkdir(parents=True)
        folder.chmod(0o750)


def open_or_begin(file: Path, now: Moment) -> tuple[sqlite3.Connection, Optional[Path]]:
    """A checked file of our version, and where a damaged one went. Raises what SQLite raises."""
    try:
        return _open_checked(file), None
    except sqlite3.DatabaseError as error:
        if not says_damaged(error):
            raise
    aside = _move_aside(file, now)
    return _open_checked(file), aside


def _open_checked(file: Path) -> sqlite3.Connection:
    _make_file(file)
    with contextlib.closing(connect_reader(file)) as reader:  # before anything is changed in it
        found = check_version(reader, file)
    connection = connect(file)
    try:
        verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if verdict != "ok":
            raise sqlite3.DatabaseError(f"malformed: {verdict}")
        migrate(connection, found)
    except BaseException:
        connection.close()
        raise
    return connection


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
