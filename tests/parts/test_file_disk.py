"""The file sink on file systems that are full or read-only: every line once, whole, when it is over."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import pytest

from ipsecmon.errors import Unavailable
from ipsecmon.model import Batch
from ipsecmon.sinks import file
from ipsecmon.sinks.delivery import Delivery
from ipsecmon.sinks.encoding import FORMATS
from tests.unit.store.store_cases import commit, opened, spool_of

from .batches import batch
from .mounts import fill, immutable, mount_ext4, mount_tmpfs, remount

pytestmark = pytest.mark.usefixtures("mounts")
MIB = 2**20


def started(path: Path, form: str) -> file.Sink:
    sink = file.Sink(file.Config.model_validate({"path": path, "format": form}))
    sink.start()
    return sink


def expected(form: str, batches: list[Batch]) -> bytes:
    return FORMATS[form].header + b"".join(line for one in batches for line in FORMATS[form].encode(one))


@pytest.mark.parametrize("restarted", [False, True], ids=["running", "restarted"])
@pytest.mark.parametrize("form", list(FORMATS))
@pytest.mark.parametrize("leave_octets", [0, 4096, 12_288])
def test_a_full_disk_leaves_every_line_once_when_there_is_room_again(
    tmp_path: Path, form: str, leave_octets: int, restarted: bool
) -> None:
    mount_tmpfs(tmp_path / "small", MIB)
    path = tmp_path / "small" / "traffic"
    sink = started(path, form)
    sink.send(batch(0))
    filler = fill(path.parent, leave_octets)
    sent = 1
    with pytest.raises(Unavailable, match="no space left on device; make room on the file system"):
        for number in range(1, 200):
            sink.send(batch(number, counters=20))
            sent = number + 1
    for _ in range(3):
        with pytest.raises(Unavailable, match="no space left on device"):
            sink.send(batch(sent, counters=20))
    filler.unlink()
    if restarted:
        sink.stop()
        sink = started(path, form)
    sink.send(batch(sent, counters=20))
    sink.stop()
    sends = [batch(0), *(batch(number, counters=20) for number in range(1, sent + 1))]
    assert path.read_bytes() == expected(form, sends)


def test_a_file_that_cannot_be_made_on_a_full_disk_is_made_later(tmp_path: Path) -> None:
    mount_tmpfs(tmp_path / "small", MIB)
    path = tmp_path / "small" / "traffic.csv"
    filler = fill(path.parent)
    sink = file.Sink(file.Config(path=path))
    with pytest.raises(Unavailable, match="no space left on device"):
        sink.start()
        sink.send(batch(0))
    filler.unlink()
    sink.send(batch(0))
    sink.stop()
    assert path.read_bytes() == expected("csv", [batch(0)])


def test_a_file_that_refuses_writes_for_a_while_is_complete_afterwards(tmp_path: Path) -> None:
    mount_ext4(tmp_path / "image", tmp_path / "disk")
    path = tmp_path / "disk" / "traffic.csv"
    sink = started(path, "csv")
    sink.send(batch(0))
    with immutable(path):
        for _ in range(2):
            with pytest.raises(Unavailable, match="let the agent's user write there"):
                sink.send(batch(1))
    sink.send(batch(1))
    sink.stop()
    remount(path.parent, "ro")
    with pytest.raises(Unavailable, match="read-only file system; choose a place that is writable"):
        started(path, "csv")
    remount(path.parent, "rw")
    sink.send(batch(2))
    sink.stop()
    assert path.read_bytes() == expected("csv", [batch(0), batch(1), batch(2)])


def test_a_full_disk_is_said_once_and_the_spool_keeps_what_comes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The real store, spool, delivery and file; only the waiting between attempts is cut short."""
    mount_tmpfs(tmp_path / "small", MIB)
    path = tmp_path / "small" / "traffic.csv"
    filler = fill(path.parent)
    batches = [batch(number) for number in range(30)]
    attempts = 0

    def wait(event: threading.Event, seconds: object) -> bool:
        nonlocal attempts
        attempts += 1
        if attempts == 4:
            filler.unlink()
        if attempts == 5:
            delivery.stop(0)
        return event.is_set()

    with opened(tmp_path / "store") as store, spool_of(tmp_path / "store", "file") as spool:
        commit(store, *batches, sinks=("file",))
        delivery = Delivery("file", file.Sink(file.Config(path=path)), spool, wait=wait)
        with caplog.at_level(logging.INFO):
            delivery.run()
        assert store.backlog("file").batches == 0
    assert path.read_bytes() == expected("csv", batches)
    assert caplog.text.count("sink unavailable sink=file") == 1
    assert caplog.text.count("sink delivers again sink=file") == 1
