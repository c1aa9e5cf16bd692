"""A store of an older version becomes one of ours, whole or not at all, and a copy of the old one is kept.

version-1.sql and version-2.sql are dumps of stores that ipsecmon with these schemas wrote: 40 batches,
five of them in the spool.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import ipsecmon
from ipsecmon.errors import StoreError
from ipsecmon.ipsec import SavedSas
from ipsecmon.store import Store, report, tunnel_report
from ipsecmon.store.schema import SCHEMA_VERSION, steps_from
from tests.unit.store.store_cases import (
    DAY_S,
    NS,
    T0_S,
    VPN,
    WEB,
    batch,
    commit,
    moment,
    number_in,
    opened,
    sa,
    save,
    spool_of,
)

PAYLOAD_OCTETS = "SELECT sum(length(CAST(batch AS BLOB)) + 100) FROM payload"
VERSION = "PRAGMA user_version"


@pytest.fixture(params=[1, 2])
def version(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def old(tmp_path: Path, version: int) -> Path:
    """The folder of a store of an older version."""
    folder = tmp_path / "store"
    folder.mkdir()
    with contextlib.closing(sqlite3.connect(folder / "ipsecmon.sqlite")) as connection:
        connection.executescript(Path(__file__).with_name(f"version-{version}.sql").read_text())
    return folder


def _content(file: Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(file)) as connection:
        return list(connection.iterdump())


def _tables(folder: Path) -> set[str]:
    with contextlib.closing(sqlite3.connect(folder / "ipsecmon.sqlite")) as connection:
        return {row[0] for row in connection.execute("SELECT sql FROM sqlite_master WHERE sql NOT NULL")}


def _octets(folder: Path) -> dict[str, int]:
    found = report(folder, T0_S * NS, (T0_S + DAY_S) * NS)
    return {row.key.name: row.octets for row in found.rows}


def test_a_store_of_an_older_version_goes_on_as_one_of_ours(old: Path) -> None:
    before = _octets(old)
    assert before == {"web": sum(1000 + n for n in range(40)), "VPN-to-parent": 280}
    with opened(old) as store:
        assert store.readings()[WEB].octets == 40_000
        assert store.readings()[VPN].octets == 280
        assert store.state("clock.steps_back") == "2"
        assert store.backlog("influxdb").batches == store.backlog("file").batches == 5
        assert store.saved_sas() == SavedSas()
        commit(store, batch(DAY_S // 2), sinks=("file",))
        save(store, DAY_S // 2 + 10, SavedSas((sa(1, 10),), T0_S))
        assert store.saved_sas().sas == (sa(1, 10),)
    assert number_in(old, VERSION) == SCHEMA_VERSION
    assert number_in(old, "SELECT octets FROM spool_size") == number_in(old, PAYLOAD_OCTETS)
    assert _octets(old) == {**before, "web": before["web"] + 1000}


def test_the_number_of_a_batch_that_was_acknowledged_is_not_given_again(old: Path) -> None:
    with opened(old) as store, spool_of(old, "file") as file, spool_of(old, "influxdb") as influxdb:
        for _ in range(5):
            for spool in (file, influxdb):
                waiting = spool.next_batch()
                assert waiting is not None
                spool.ack(waiting[0])
        assert number_in(old, "SELECT octets FROM spool_size") == 0
        commit(store, batch(DAY_S // 2), sinks=("file",))
        newest = file.next_batch()
    assert newest is not None and newest[0] == 6


def test_the_old_store_is_kept_as_it_was(old: Path, version: int, caplog: pytest.LogCaptureFixture) -> None:
    file = old / "ipsecmon.sqlite"
    file.chmod(0o640)
    before = _content(file)
    store = Store(old, 10, DAY_S)
    with caplog.at_level("INFO"):
        kept = store.start(moment(0)).kept_copy
    store.stop()
    assert kept == old / f"ipsecmon.sqlite.version-{version}"
    assert _content(kept) == before
    assert kept.stat().st_mode & 0o777 == 0o640
    assert f"store was migrated version={SCHEMA_VERSION} kept_copy={kept}" in caplog.text
    with opened(old):
        pass
    assert {path.name for path in old.iterdir()} == {"agent.lock", file.name, kept.name}


def test_a_migrated_store_has_the_tables_of_a_new_one(old: Path, tmp_path: Path) -> None:
    for folder in (old, tmp_path / "new"):
        with opened(folder):
            pass
    assert _tables(old) == _tables(tmp_path / "new")


def test_a_report_reads_a_store_that_nobody_has_migrated_yet(old: Path) -> None:
    before = (old / "ipsecmon.sqlite").read_bytes()
    assert _octets(old)["VPN-to-parent"] == 280
    assert tunnel_report(old).rows == ()
    assert (old / "ipsecmon.sqlite").read_bytes() == before


@pytest.mark.parametrize("statement", [0, 1, 3, 5])
def test_a_step_that_fails_leaves_the_old_store_whole(
    old: Path, monkeypatch: pytest.MonkeyPatch, statement: int
) -> None:
    before = _content(old / "ipsecmon.sqlite")

    def broken(found: int) -> list[str]:
        steps = steps_from(found)
        return [*steps[:statement], "SELECT * FROM nowhere", *steps[statement:]]

    with monkeypatch.context() as patched:
        patched.setattr("ipsecmon.store.migration.steps_from", broken)
        with pytest.raises(StoreError, match="nowhere"):
            Store(old, 10, DAY_S).start(moment(0))
    assert _content(old / "ipsecmon.sqlite") == before
    with opened(old):
        pass
    assert _octets(old)["VPN-to-parent"] == 280


_MIGRATING = """
import os, signal, sys
from pathlib import Path
from ipsecmon.store import Store, migration
from tests.unit.store.store_cases import moment

steps = migration.steps_from

def killed(found):
    for step in steps(found)[:int(sys.argv[2])]:
        yield step
    os.kill(os.getpid(), signal.SIGKILL)

migration.steps_from = killed
Store(Path(sys.argv[1]), 10, 86400).start(moment(0))
"""


@pytest.mark.parametrize("statements", [0, 3, 6])
def test_a_kill_in_the_middle_leaves_the_old_store_whole(old: Path, statements: int) -> None:
    before = _content(old / "ipsecmon.sqlite")
    done = subprocess.run(
        [sys.executable, "-c", _MIGRATING, str(old), str(statements)],
        env={**os.environ, "PYTHONPATH": str(Path(ipsecmon.__file__).parents[1])},
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    assert _content(old / "ipsecmon.sqlite") == before
    with opened(old) as store:
        assert store.backlog("file").batches == 5
    assert _octets(old)["VPN-to-parent"] == 280


def test_a_copy_that_was_cut_short_is_made_anew(old: Path, version: int) -> None:
    half = old / f"ipsecmon.sqlite.version-{version}.half"
    half.write_bytes(b"half")
    before = _content(old / "ipsecmon.sqlite")
    with opened(old):
        pass
    assert not half.exists()
    assert _content(old / f"ipsecmon.sqlite.version-{version}") == before


@pytest.fixture
def _no_more_files(old: Path, version: int) -> Iterator[None]:
    (old / f"ipsecmon.sqlite.version-{version}.half").mkdir()
    yield
    (old / f"ipsecmon.sqlite.version-{version}.half").rmdir()


@pytest.mark.usefixtures("_no_more_files")
def test_without_a_copy_nothing_is_migrated(old: Path) -> None:
    before = _content(old / "ipsecmon.sqlite")
    with pytest.raises(StoreError):
        Store(old, 10, DAY_S).start(moment(0))
    assert _content(old / "ipsecmon.sqlite") == before


def test_a_new_store_has_no_copy(tmp_path: Path) -> None:
    store = Store(tmp_path, 10, DAY_S)
    assert store.start(moment(0)).kept_copy is None
    store.stop()
