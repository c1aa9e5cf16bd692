"""What SQLite and the file system say, translated once into one line of ours."""

from __future__ import annotations

import contextlib
import errno
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Union

from ipsecmon.errors import StoreError

__all__ = ["says_damaged", "translated"]

# Text, not sqlite_errorcode: Python has that attribute only since 3.11.
_DAMAGE = ("malformed", "not a database")

_SQLITE_FAULTS = (
    ("database or disk is full", "no space left for {file}: free some or shorten store.retention"),
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
    (
        "CHECK constraint failed",
        "a total does not fit {file} (signed 64 bit): nothing of this batch was stored",
    ),
    ("integer overflow", "a sum over {file} does not fit 64 bit: report a shorter range"),
    ("too large to convert", "a number does not fit {file} (signed 64 bit): nothing was stored"),
)

_OS_FAULTS = {
    errno.EACCES: "{file} is not ours to use: check the owner and mode of it and of its folder",
    errno.EPERM: "{file} is not ours to use: check the owner and mode of it and of its folder",
    errno.EROFS: "{file} is on a read-only file system: set store.path to one that can be written",
    errno.ENOSPC: "no space left for {file}: free some or shorten store.retention",
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
    for word, message in _SQLITE_FAULTS:
        if word in str(error):
            return message.replace("{file}", str(file))
    return f"{file}: {error}"
