"""Opening a store: what is made, what is refused, what is moved aside."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ipsecmon.errors import NewerStore, StoreError
from ipsecmon.store import Opened, Store
from tests.unit.store.store_cases import NS, T0_S, WEB, batch, commit, moment, opened, reading

RETENTION_S = 400 * 86400


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def _fails_to_start(folder: Path) -> str:
    store = Store(folder, 10, RETENTION_S)
    with pytest.raises(StoreError) as caught:
        store.start(moment(0))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def _sql(file: Path, *statements: str) -> None:
    with contextlib.closing(sqlite3.connect(file)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def test_a_constructor_touches_nothing(tmp_path: Path) -> None:
    Store(tmp_path / "store", 10, RETENTION_S)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_a_new_store_is_for_owner_and_group_only(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        with opened(tmp_path / "a" / "store") as store:
            commit(store, batch(0))
            assert _mode(tmp_path / "a" / "store") == 0o750
            assert _mode(tmp_path / "a" / "store" / "ipsecmon.sqlite") == 0o640
            assert _mode(tmp_path / "a" / "store" / "ipsecmon.sqlite-wal") == 0o640
    finally:
        os.umask(before)


def test_a_folder_that_exists_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    with opened(tmp_path):
        assert _mode(tmp_path) == 0o700


def test_a_new_store_knows_nothing(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        assert store.readings() == {}
        assert store.last_end_ns() is None
        assert store.last_start_ns() is None
        assert store.state("mark") is None


def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        store.commit(batch(0), [reading(1000)], [], moment(10))
        store.set_state("mark", "before QoS")
    store = Store(tmp_path, 10, RETENTION_S)
    assert store.start(moment(20)) == Opened(moved_aside=None)
    assert store.readings()[WEB].octets == 1000
    assert store.last_end_ns() == (T0_S + 10) * NS
    assert store.state("mark") == "before QoS"
    store.stop()


def test_a_stopped_store_is_one_file(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        commit(store, batch(0))
    assert {path.name for path in tmp_path.iterdir()} == {"agent.lock", "ipsecmon.sqlite"}


def test_a_store_that_is_not_open_says_so(tmp_path: Path) -> None:
    store = Store(tmp_path, 10, RETENTION_S)
    with pytest.raises(StoreError, match="is not open"):
        store.readings()
    store.stop()


def test_a_second_agent_is_refused_and_told_the_first_ones_pid(tmp_path: Path) -> None:
    with opened(tmp_path):
        said = _fails_to_start(tmp_path)
    assert said == f"another ipsecmon agent (pid {os.getpid()}) is using {tmp_path}"


def test_a_longer_pid_of_an_earlier_agent_is_not_told(tmp_path: Path) -> None:
    (tmp_path / "agent.lock").write_text("4194304999")
    with opened(tmp_path):
        assert f"(pid {os.getpid()})" in _fails_to_start(tmp_path)


def test_the_folder_is_free_after_stop_and_after_a_failed_start(tmp_path: Path) -> None:
    with opened(tmp_path):
        pass
    _sql(tmp_path / "ipsecmon.sqlite", "PRAGMA user_version = 9")
    assert "newer" in _fails_to_start(tmp_path)
    assert "newer" in _fails_to_start(tmp_path)


def test_a_newer_store_is_refused_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "ipsecmon.sqlite"
    with opened(tmp_path):
        pass
    _sql(file, "PRAGMA user_version = 9")
    content = file.read_bytes()
    with pytest.raises(NewerStore) as caught:
        Store(tmp_path, 10, RETENTION_S).start(moment(0))
    assert str(caught.value) == (
        f"store {file} was written by a newer ipsecmon (schema 9, this one knows 8):"
        " install that version or move the file away"
    )
    assert file.read_bytes() == content


def test_a_database_of_another_program_is_refused_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "ipsecmon.sqlite"
    _sql(file, "CREATE TABLE flows (a)")
    content = file.read_bytes()
    assert "another program" in _fails_to_start(tmp_path)
    assert file.read_bytes() == content


def test_an_empty_file_becomes_a_store(tmp_path: Path) -> None:
    (tmp_path / "ipsecmon.sqlite").touch()
    with opened(tmp_path) as store:
        commit(store, batch(0))


def _garbage(file: Path) -> None:
    file.write_bytes(b"this is no database " * 500)


def _cut_short(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def _overwritten_in_the_middle(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[4096 : len(content) : 7] = b"\xa5" * len(range(4096, len(content), 7))
    file.write_bytes(content)


@pytest.mark.parametrize("damage", [_garbage, _cut_short, _overwritten_in_the_middle])
def test_a_damaged_store_is_moved_aside_and_a_fresh_one_begun(tmp_path: Path, damage: object) -> None:
    file = tmp_path / "ipsecmon.sqlite"
    with opened(tmp_path) as store:
        commit(store, *(batch(10 * number) for number in range(20)))
    assert callable(damage)
    damage(file)
    content = file.read_bytes()
    store = Store(tmp_path, 10, RETENTION_S)
    aside = store.start(moment(0)).moved_aside
    assert aside == tmp_path / "ipsecmon.sqlite.corrupt-20241004T000000Z"
    assert aside.read_bytes() == content
    assert store.last_end_ns() is None
    commit(store, batch(0))
    store.stop()
    with opened(tmp_path) as store:
        assert store.last_end_ns() == (T0_S + 10) * NS


def test_two_damaged_stores_of_one_second_are_both_kept(tmp_path: Path) -> None:
    for _ in range(2):
        _garbage(tmp_path / "ipsecmon.sqlite")
        with opened(tmp_path):
            pass
    assert len(list(tmp_path.glob("ipsecmon.sqlite.corrupt-*"))) == 2


def test_a_path_through_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "a part of its path is not a folder" in _fails_to_start(tmp_path / "file")
    assert "a part of its path is not a folder" in _fails_to_start(tmp_path / "file" / "store")


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    assert "/proc/ipsecmon" in _fails_to_start(Path("/proc/ipsecmon"))


def test_a_folder_of_somebody_else_is_refused() -> None:
    with tempfile.TemporaryDirectory() as name, _not_as_root():
        folder = Path(name)
        if folder.stat().st_uid == os.geteuid():
            folder.chmod(0o500)
        assert "check the owner and mode" in _fails_to_start(folder)


@contextlib.contextmanager
def _not_as_root() -> Iterator[None]:
    """Root may write anywhere: as root, be nobody for a moment."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_folder_may_have_signs_that_mean_something_in_a_uri(tmp_path: Path) -> None:
    with opened(tmp_path / "50% ?mode=ro #1") as store:
        commit(store, batch(0))


def _spoil_a_row(folder: Path) -> None:
    """Damage that only a search through the whole file finds: an index entry without its row."""
    file = folder / "ipsecmon.sqlite"
    content = file.read_bytes()
    place = content.rindex(b"birth-1")
    file.write_bytes(content[:place] + b"birth-2" + content[place + 7 :])
    _sql(file, "PRAGMA writable_schema = ON", "DELETE FROM sqlite_master WHERE name = 'delivery_by_payload'")


def _close_out_of_order(folder: Path) -> None:
    _sql(folder / "ipsecmon.sqlite", "DELETE FROM state WHERE key = 'store.closed_in_order'")


def _starts(folder: Path) -> Opened:
    store = Store(folder, 10, RETENTION_S)
    found = store.start(moment(0))
    store.stop()
    return found


def test_a_store_that_was_closed_in_order_is_not_searched_for_damage(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        store.commit(batch(0), [reading(1000)], ["file"], moment(10))
    _spoil_a_row(tmp_path)
    assert _starts(tmp_path).moved_aside is None
    _close_out_of_order(tmp_path)
    assert _starts(tmp_path).moved_aside is not None


def test_a_store_that_was_killed_is_searched_for_a_bounded_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("ipsecmon.store.opening.CHECK_LIMIT_S", 1e-9)
    monkeypatch.setattr("ipsecmon.store.opening._CHECK_EVERY", 1)
    with opened(tmp_path) as store:
        store.commit(batch(0), [reading(1000)], ["file"], moment(10))
    _spoil_a_row(tmp_path)
    _close_out_of_order(tmp_path)
    assert _starts(tmp_path).moved_aside is None
    assert "store is too large to be checked whole at this start" in caplog.text


def test_a_store_in_which_damage_was_met_is_searched_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ipsecmon.store.opening.CHECK_LIMIT_S", 1e-9)
    with opened(tmp_path) as store:
        commit(store, *(batch(10 * number) for number in range(50)))
    _overwritten_from(tmp_path / "ipsecmon.sqlite", "history")
    store = Store(tmp_path, 10, RETENTION_S)
    assert store.start(moment(0)).moved_aside is None
    with pytest.raises(StoreError, match="is damaged: restart ipsecmon"):
        commit(store, *(batch(10 * number) for number in range(40, 60)))
    store.stop()
    suspect = tmp_path / "ipsecmon.sqlite.suspect"
    assert suspect.exists()
    assert _starts(tmp_path).moved_aside is not None
    assert not suspect.exists()


def _overwritten_from(file: Path, table: str) -> None:
    """The table's own page holds something else."""
    with contextlib.closing(sqlite3.connect(file)) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
    with file.open("r+b") as opened_file:
        opened_file.seek((page - 1) * 4096)
        opened_file.write(b"\xa5" * 4096)
