"""The file sink: nothing twice, nothing half, whatever happens to the agent or the disk."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ipsecmon.errors import Unavailable
from ipsecmon.sinks import file
from ipsecmon.sinks.encoding import FORMATS

from .samples import batch

FORMAT_NAMES = tuple(FORMATS)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "traffic.log"


def started(path: Path, **settings: Any) -> file.Sink:
    sink = file.Sink(file.Config(path=path, **settings))
    sink.start()
    return sink


def send(path: Path, *numbers: int, **settings: Any) -> None:
    """What one life of the agent does."""
    sink = started(path, **settings)
    for number in numbers:
        sink.send(batch(number))
    sink.stop()


def expected(format_name: str, *numbers: int) -> bytes:
    chosen = FORMATS[format_name]
    return chosen.header + b"".join(line for number in numbers for line in chosen.encode(batch(number)))


@pytest.mark.parametrize("name", FORMAT_NAMES)
def test_batches_are_appended_through_restarts(path: Path, name: str) -> None:
    send(path, 0, 1, format=name)
    send(path, 2, format=name)
    assert path.read_bytes() == expected(name, 0, 1, 2)


@pytest.mark.parametrize("name", FORMAT_NAMES)
def test_a_kill_at_any_moment_of_a_write_leaves_every_line_once(path: Path, name: str) -> None:
    before, whole = expected(name, 0), expected(name, 0, 1)
    for length in range(len(before), len(whole) + 1):
        path.write_bytes(whole[:length])
        send(path, 1, 2, format=name)
        assert path.read_bytes() == expected(name, 0, 1, 2), length


def test_a_kill_while_the_header_was_written_leaves_one_header(path: Path) -> None:
    for length in range(len(expected("csv", 0)) + 1):
        path.write_bytes(expected("csv", 0)[:length])
        send(path, 0, format="csv")
        assert path.read_bytes() == expected("csv", 0), length


def test_a_batch_whose_acknowledgement_failed_is_not_written_twice(path: Path) -> None:
    send(path, 0, 1, 1, 2, format="csv")
    assert path.read_bytes() == expected("csv", 0, 1, 2)


def test_nothing_is_touched_before_start(path: Path) -> None:
    file.Sink(file.Config(path=path))
    assert not path.exists()


def test_a_new_file_is_not_for_everybody_to_read(path: Path) -> None:
    started(path).stop()
    assert path.stat().st_mode & 0o007 == 0


def test_a_renamed_file_is_followed_by_a_new_one(path: Path) -> None:
    sink = started(path, format="csv")
    sink.send(batch(0))
    rotated = path.rename(path.with_suffix(".1"))
    sink.send(batch(1))
    sink.stop()
    assert rotated.read_bytes() == expected("csv", 0)
    assert path.read_bytes() == expected("csv", 1)


def test_reopen_opens_the_file_at_the_next_batch(path: Path) -> None:
    sink = started(path)
    sink.send(batch(0))
    path.write_bytes(expected("csv", 0) + b"torn")
    sink.reopen()
    sink.send(batch(1))
    sink.stop()
    assert path.read_bytes() == expected("csv", 0, 1)


def test_a_file_cut_to_nothing_gets_its_header_again(path: Path) -> None:
    sink = started(path, format="csv")
    sink.send(batch(0))
    os.truncate(path, 0)
    sink.send(batch(1))
    sink.stop()
    assert path.read_bytes() == expected("csv", 1)


def test_only_the_tail_of_a_large_file_is_read(path: Path) -> None:
    with path.open("wb") as opened:
        opened.seek(3 * file.TAIL_OCTETS)
        opened.write(b"\n" + expected("json", 0) + b"torn")
    size = path.stat().st_size
    send(path, 0, 1, format="json")
    with path.open("rb") as opened:
        opened.seek(3 * file.TAIL_OCTETS)
        assert opened.read() == b"\n" + expected("json", 0, 1)
    assert size > file.TAIL_OCTETS


def test_a_large_file_without_lines_is_refused_and_left_alone(path: Path) -> None:
    with path.open("wb") as opened:
        opened.truncate(file.TAIL_OCTETS + 1)
    with pytest.raises(Unavailable, match="not text of ipsecmon's"):
        started(path)
    assert path.stat().st_size == file.TAIL_OCTETS + 1


def test_a_missing_folder_is_named_and_waited_for(path: Path) -> None:
    inside = path / "traffic.csv"
    sink = file.Sink(file.Config(path=inside))
    with pytest.raises(Unavailable, match=r"no such file or directory; create its folder") as caught:
        sink.start()
    assert str(inside) in str(caught.value)
    path.mkdir()
    sink.start()
    sink.send(batch())
    sink.stop()
    assert inside.read_bytes() == expected("csv", 0)


def test_a_folder_and_a_pipe_are_no_files(path: Path) -> None:
    with pytest.raises(Unavailable, match="name a file in that folder"):
        started(path.parent)
    os.mkfifo(path)
    with pytest.raises(Unavailable, match="not a regular file"):
        started(path)


@pytest.fixture
def nobody() -> Iterator[None]:
    """Root may write anywhere, so a test run by root is somebody else for a moment."""
    user = os.geteuid()
    os.seteuid(65534 if user == 0 else user)
    yield
    os.seteuid(user)


def test_a_folder_that_refuses_us_says_what_to_do(path: Path, request: pytest.FixtureRequest) -> None:
    path.parent.chmod(0o500)
    request.getfixturevalue("nobody")
    with pytest.raises(Unavailable, match="permission denied; let the agent's user write there"):
        started(path)


@pytest.fixture
def size_limit() -> Iterator[None]:
    """Writes beyond 64 KiB of a file fail half way, as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (65536, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.usefixtures("size_limit")
def test_a_write_that_failed_half_way_is_completed_later(path: Path) -> None:
    sink = started(path, format="json")
    sent = 0
    with pytest.raises(Unavailable, match="file too large"):
        for number in range(1000):
            sink.send(batch(number))
            sent = number + 1
    assert 0 < sent < 1000
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limits[1], limits[1]))
    sink.send(batch(sent))
    sink.stop()
    assert path.read_bytes() == expected("json", *range(sent + 1))
