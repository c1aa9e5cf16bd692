"""Brings a file of an older version to ours: first a copy that is kept, then one transaction.

Whenever it is killed or the disk runs full, the file is wholly of the old version or wholly of the
new one. The copy is made under another name and renamed when it is safe on disk, so a copy that
has its name is whole; what an earlier attempt left half is made anew.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from pathlib import Path
from typing import Optional

from ipsecmon.store.schema import SCHEMA_VERSION, steps_from, transaction

__all__ = ["migrate"]

_logger = logging.getLogger(__name__)


def migrate(connection: sqlite3.Connection, file: Path, found: int) -> Optional[Path]:
    """The connection's file from version found to ours; where the copy of the old one is."""
    if found == SCHEMA_VERSION:
        return None
    kept = _keep_copy(connection, file, found) if found else None
    with transaction(connection):
        for step in steps_from(found):
            connection.execute(step)
    if kept:
        _logger.info("store was migrated version=%d kept_copy=%s", SCHEMA_VERSION, kept)
    return kept


def _keep_copy(connection: sqlite3.Connection, file: Path, found: int) -> Path:
    kept = file.with_name(f"{file.name}.version-{found}")
    half = file.with_name(f"{kept.name}.half")
    half.unlink(missing_ok=True)
    os.close(os.open(half, os.O_CREAT | os.O_WRONLY, file.stat().st_mode & 0o777))
    try:
        with contextlib.closing(sqlite3.connect(half)) as copy:
            connection.backup(copy)
        _sync(half)
        half.rename(kept)
        _sync(file.parent)
    except BaseException:
        half.unlink(missing_ok=True)
        raise
    return kept


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
