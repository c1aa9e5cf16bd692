"""The store on real file systems that are full, become read-only, and get better again."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from ipsecmon.errors import StoreError
from ipsecmon.model import Increment
from ipsecmon.store import Store, report
from tests.unit.store.store_cases import (
    DAY_S,
    NS,
    T0_S,
    WEB,
    batch,
    commit,
    moment,
    number_in,
    opened,
    reading,
    spool_of,
)

from .mounts import (
    emergency_read_only,
    fill,
    immutable,
    mount_ext4,
    mount_tmpfs,
    remount,
    unmount,
)

MIB = 2**20
DUMP = Path(__file__).parents[1] / "unit/store/version-1.sql"


pytestmark = pytest.mark.usefixtures("mounts")


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A file system of 4 MiB."""
    mount_tmpfs(tmp_path / "small", 4 * MIB)
    return tmp_path / "small"


@pytest.fixture
def ext4(tmp_path: Path) -> Path:
    mount_ext4(tmp_path / "image", tmp_path / "disk")
    return tmp_path / "disk"


def _octets(folder: Path) -> int:
    return sum(row.octets for row in report(folder, T0_S * NS, (T0_S + DAY_S) * NS).rows)


def _refused_commits(store: Store, first: int, said: str) -> int:
    """Commits that are refused, as an agent tries: the same increments and more, each time."""
    for number in range(first, first + 5):
        with pytest.raises(StoreError, match=said):
            commit(store, batch(10 * first, length_s=10 * (number - first + 1)), sinks=("file",))
    return 5


def test_a_full_disk_refuses_and_takes_everything_when_there_is_room_again(small: Path) -> None:
    folder = small / "store"
    with opened(folder) as store, spool_of(folder, "file") as spool:
        commit(store, *(batch(10 * number) for number in range(5)), sinks=("file",))
        filler = fill(small)
        done = 5
        with pytest.raises(StoreError, match=r"no space left for .*ipsecmon\.sqlite: free some"):
            for done in range(5, 2000):
                commit(store, batch(10 * done), sinks=("file",))
        kept = _refused_commits(store, done, "no space left for")
        assert _octets(folder) == 1000 * done  # a report reads all the time
        filler.unlink()
        commit(store, batch(10 * done, Increment(WEB, 1000 * kept, 10 * kept)), sinks=("file",))
        assert spool.backlog().batches == done + 1
        assert _octets(folder) == 1000 * (done + kept)
        assert number_in(folder, "SELECT count(*) FROM span WHERE resolution_s = 0") == done + 1


def test_a_sink_cannot_acknowledge_on_a_full_disk_and_sends_again(small: Path) -> None:
    folder = small / "store"
    with opened(folder) as store:
        commit(store, *(batch(10 * number) for number in range(60)), sinks=("file",))
    with opened(folder), spool_of(folder, "file") as spool:
        filler = fill(small)
        acknowledged = 0
        with pytest.raises(StoreError, match="no space left"):
            while found := spool.next_batch():
                spool.ack(found[0])
                acknowledged += 1
        waiting = spool.next_batch()
        assert waiting is not None and waiting[1] == batch(10 * acknowledged)
        filler.unlink()
        spool.ack(waiting[0])
        assert spool.backlog().batches == 59 - acknowledged


def test_a_checkpoint_into_a_full_disk_loses_nothing(small: Path) -> None:
    """The log has its room, the file cannot grow: what is committed stays in the log."""
    folder = small / "store"
    store = Store(folder, 10, DAY_S)
    store.start(moment(0))
    commit(store, *(batch(10 * number) for number in range(100)))
    before = (folder / "ipsecmon.sqlite-wal").stat().st_size
    filler = fill(small)
    with pytest.raises(StoreError, match="no space left"):
        store.stop()
    assert (folder / "ipsecmon.sqlite-wal").stat().st_size >= before
    assert _octets(folder) == 100_000
    filler.unlink()
    with opened(folder) as store:
        commit(store, batch(1000))
    assert _octets(folder) == 101_000


@pytest.mark.parametrize("leave_octets", [0, 4096, 8192, 40_960])
def test_a_store_on_a_full_disk_starts_or_says_why_and_is_whole_afterwards(
    small: Path, leave_octets: int
) -> None:
    folder = small / "store"
    with opened(folder) as store:
        store.commit(batch(0), [reading(1000)], [], moment(10))
    filler = fill(small, leave_octets)
    store = Store(folder, 10, DAY_S)
    with pytest.raises(StoreError, match="no space left"):
        store.start(moment(0))
        for number in range(1, 200):
            commit(store, batch(10 * number, Increment(WEB, 0, 0)))
    with contextlib.suppress(StoreError):
        store.stop()
    filler.unlink()
    with opened(folder) as store:
        assert store.readings()[WEB].octets == 1000
    assert _octets(folder) == 1000


def test_a_store_that_cannot_be_made_on_a_full_disk_says_why(small: Path) -> None:
    filler = fill(small)
    with pytest.raises(StoreError, match="no space left"):
        Store(small / "store", 10, DAY_S).start(moment(0))
    filler.unlink()
    with opened(small / "store") as store:
        commit(store, batch(0))


def test_a_migration_without_room_for_the_copy_changes_nothing(small: Path) -> None:
    folder = small / "store"
    folder.mkdir()
    with contextlib.closing(sqlite3.connect(folder / "ipsecmon.sqlite")) as connection:
        connection.executescript(DUMP.read_text())
    before = (folder / "ipsecmon.sqlite").read_bytes()
    filler = fill(small, leave_octets=100_000)
    with pytest.raises(StoreError, match="no space left"):
        Store(folder, 10, DAY_S).start(moment(0))
    assert (folder / "ipsecmon.sqlite").read_bytes() == before
    assert not list(folder.glob("*.version-1*"))
    filler.unlink()
    with opened(folder) as store:
        assert store.backlog("file").batches == 5


def test_files_that_refuse_writes_for_a_while_cost_nothing(ext4: Path) -> None:
    folder = ext4 / "store"
    with opened(folder) as store, spool_of(folder, "file") as spool:
        commit(store, batch(0), batch(10), sinks=("file",))
        with immutable(*(folder / f"ipsecmon.sqlite{end}" for end in ("", "-wal", "-shm"))):
            kept = _refused_commits(store, 2, "disk I/O error|cannot be written")
            first = spool.next_batch()
            assert first is not None
            with pytest.raises(StoreError):
                spool.ack(first[0])
            assert _octets(folder) == 2000
            assert store.condition().refusal
        commit(store, batch(20, Increment(WEB, 1000 * kept, 10)), sinks=("file",))
        spool.ack(first[0])
        assert spool.backlog().batches == 2
        assert store.condition().refusal is None
    assert _octets(folder) == 1000 * (2 + kept)


def test_a_disk_that_fails_under_the_store_is_whole_when_it_is_mounted_again(
    ext4: Path, tmp_path: Path
) -> None:
    folder = ext4 / "store"
    store = Store(folder, 10, DAY_S)
    store.start(moment(0))
    store.commit(batch(0), [reading(1000)], [], moment(10))
    emergency_read_only(ext4)
    _refused_commits(store, 1, "disk I/O error|read-only file system")
    with pytest.raises(StoreError):
        store.stop()
    unmount(ext4)
    mount_ext4(tmp_path / "image", ext4)
    with opened(folder) as store:
        assert store.readings()[WEB].octets == 1000
        commit(store, batch(10))
    assert _octets(folder) == 2000


def test_a_read_only_disk_at_start_is_named_and_the_report_works(ext4: Path) -> None:
    folder = ext4 / "store"
    with opened(folder) as store:
        commit(store, batch(0))
    remount(ext4, "ro")
    said = r"is on a read-only file system: make it writable, or set store\.path to one that is"
    for place in (folder, ext4 / "new"):
        with pytest.raises(StoreError, match=said):
            Store(place, 10, DAY_S).start(moment(0))
    assert _octets(folder) == 1000
    remount(ext4, "rw")
    with opened(folder) as store:
        commit(store, batch(10))
    assert _octets(folder) == 2000
