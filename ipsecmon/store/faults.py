"""What SQLite and the file system say, translated once into one line of ours."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Union

from ipsecmon.errors import StoreError

__all__ = ["says_damaged", "translated"]

# Text, not sqlite_errorcode: Python has that attribute only since 3.11.
_DAMAGE = ("malformed", "not a database")

_SQLITE_FAULTS = (
    ("database or disk is full", "no space left for {file}: free some, or make store.max_size smaller"),
    ("readonly database", "{file} cannot be written: check its owner and mode, and its folder's"),
    ("unable to open database file", "{file} cannot be opened: check its owner and mode, and its folder's"),
    ("locked", "{file} has been locked by another program for 5 s: find it with fuser and end it"),
    (
        "disk I/O error",
        "{file} cannot be read or written (disk I/O error): check the disk and the kernel's log",
    ),
    *(
        (word, "{file} is damaged: restart ipsecmon, which moves it aside and begins anew")
        for word in _DAMAGE
    ),
)

# SQLite has these words also for a file system that is full or read-only.
_VAGUE = ("disk I/O error", "readonly database", "unable to open database file")

_OS_FAULTS = {
    errno.EACCES: "{file} is not ours to use: check the owner and mode of it and of its folder",
    errno.EPERM: "{file} is not ours to use: check the owner and mode of it and of its folder",
    errno.EROFS: "{file} is on a read-only file system: make it writable, or set store.path to one that is",
    errno.ENOSPC: "no space left for {file}: free some, or make store.max_size smaller",
    errno.ENOTDIR: "{file} cannot be made, a part of its path is not a folder: check store.path",
    errno.EEXIST: "{file} cannot be made, a part of its path is not a folder: check store.path",
}


@contextlib.contextmanager
def translated(file: Path) -> Iterator[None]:
    """Raises StoreError for what goes wrong with file; misuse of sqlite3 stays what it is, a bug."""
    try:
        yield
    except sqlite3.ProgrammingError:
        raise
    except (sqlite3.Error, OverflowError, OSError) as error:
        raise StoreError(_message(file, error)) from error


def says_damaged(error: sqlite3.Error) -> bool:
    return any(word in str(error) for word in _DAMAGE)


def _message(file: Path, error: Union[sqlite3.Error, OverflowError, OSError]) -> str:
    if isinstance(error, OSError):
        fallback = f"{{file}} cannot be used ({error.strerror}): check store.path"
        return _OS_FAULTS.get(error.errno or 0, fallback).replace("{file}", str(file))
    state = _state_of_disk(file.parent) if any(word in str(error) for word in _VAGUE) else 0
    if state:
        return _OS_FAULTS[state].replace("{file}", str(file))
    for word, message in _SQLITE_FAULTS:
        if word in str(error):
            return message.replace("{file}", str(file))
    return f"{file}: {error}"


def _state_of_disk(folder: Path) -> int:
    """EROFS or ENOSPC where the file system is in that state, else 0."""
    try:
        state = os.statvfs(folder)
    except OSError:
        return 0
    if state.f_flag & os.ST_RDONLY:
        return errno.EROFS
    return 0 if state.f_bavail else errno.ENOSPC
