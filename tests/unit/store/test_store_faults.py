"""What SQLite and the file system really raise becomes one line that says what to do."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
from pathlib import Path

import pytest

from ipsecmon.errors import StoreError
from ipsecmon.store.faults import translated

FILE = Path("/var/lib/ipsecmon/ipsecmon.sqlite")


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.EACCES, "check the owner and mode"),
        (errno.EROFS, "read-only file system"),
        (errno.ENOSPC, "no space left"),
        (errno.ENOTDIR, "not a folder"),
        (errno.EMFILE, "Too many open files"),
    ],
)
def test_errors_of_the_file_system_are_translated(number: int, expected: str) -> None:
    with pytest.raises(StoreError, match=expected) as caught, translated(FILE):
        raise OSError(number, os.strerror(number))
    assert str(FILE) in str(caught.value)
    assert isinstance(caught.value.__cause__, OSError)


def _refused(connection: sqlite3.Connection, statement: str) -> StoreError:
    with pytest.raises(StoreError) as caught, translated(FILE):
        connection.execute(statement)
    assert isinstance(caught.value.__cause__, sqlite3.Error)
    return caught.value


def test_a_file_opened_for_reading_cannot_be_written(tmp_path: Path) -> None:
    file = tmp_path / "some.sqlite"
    file.touch()
    with contextlib.closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as connection:
        said = _refused(connection, "CREATE TABLE some (a)")
    assert str(said) == f"{FILE} cannot be written: check its owner and mode, and its folder's"


def test_what_is_not_in_the_table_is_passed_on_in_sqlites_words() -> None:
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        said = _refused(connection, "SELECT * FROM missing")
    assert str(said) == f"{FILE}: no such table: missing"


def test_misuse_of_a_connection_is_a_bug_and_stays_one() -> None:
    connection = sqlite3.connect(":memory:")
    connection.close()
    with pytest.raises(sqlite3.ProgrammingError), translated(FILE):
        connection.execute("SELECT 1")
