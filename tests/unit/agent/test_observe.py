"""The agent about itself."""

from __future__ import annotations

import logging
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ipsecmon.agent.observe import Counters, ResourceUse, notify_systemd
from ipsecmon.model import SelfMeasurement


def test_counts_are_totals_by_component_and_kind() -> None:
    counts = Counters()
    counts.add("nflog", "truncated")
    counts.add("nflog", "truncated", 4)
    counts.add("agent", "errors")
    assert counts.totals() == {"agent.errors": 1, "nflog.truncated": 5}


def test_only_what_came_since_the_last_report_is_reported() -> None:
    counts = Counters()
    counts.add("nflog", "truncated", 5)
    counts.add("agent", "errors")
    counts.mark_reported(counts.since_reported())
    assert counts.since_reported() == []
    counts.add("nflog", "truncated", 2)
    assert counts.since_reported() == [SelfMeasurement("nflog", "truncated", 2)]


def test_a_report_that_was_not_taken_is_made_again() -> None:
    counts = Counters()
    counts.add("nflog", "truncated", 5)
    assert counts.since_reported() == counts.since_reported()


def test_what_came_while_a_report_was_under_way_is_in_the_next_one() -> None:
    counts = Counters()
    counts.add("nflog", "truncated", 5)
    reported = counts.since_reported()
    counts.add("nflog", "truncated", 1)
    counts.mark_reported(reported)
    assert counts.since_reported() == [SelfMeasurement("nflog", "truncated", 1)]
    assert counts.totals() == {"nflog.truncated": 6}


def test_counting_from_many_threads_loses_nothing() -> None:
    counts = Counters()

    def count() -> None:
        for _ in range(2000):
            counts.add("a", "b")

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts.totals() == {"a.b": 8000}


def test_cpu_time_is_what_was_spent_since_the_last_call() -> None:
    use = ResourceUse()
    first, memory = use.measure()
    assert (first.kind, memory.kind) == ("cpu-us", "peak-memory-kib")
    assert memory.value > 1000
    assert 0 <= use.measure()[0].value < first.value


@pytest.fixture
def systemd() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.settimeout(5)
        yield listener


def test_systemd_gets_one_datagram(systemd: socket.socket, tmp_path: Path) -> None:
    systemd.bind(str(tmp_path / "notify"))
    notify_systemd("READY=1", str(tmp_path / "notify"))
    assert systemd.recv(100) == b"READY=1"


def test_systemds_address_may_be_abstract(systemd: socket.socket) -> None:
    systemd.bind("")  # the kernel chooses an abstract address: unix(7), autobind
    notify_systemd("WATCHDOG=1", "@" + systemd.getsockname()[1:].decode())
    assert systemd.recv(100) == b"WATCHDOG=1"


def test_systemds_address_comes_from_the_environment(
    systemd: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    systemd.bind(str(tmp_path / "notify"))
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    notify_systemd("STOPPING=1")
    assert systemd.recv(100) == b"STOPPING=1"


def test_without_systemd_nothing_is_sent(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify_systemd("READY=1")
    assert not caplog.records


def test_a_systemd_that_does_not_listen_is_a_line_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    notify_systemd("READY=1", str(tmp_path / "nobody"))
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


@pytest.mark.parametrize(("journal", "begins"), [({}, "2"), ({"JOURNAL_STREAM": "8:1"}, "INFO ")])
def test_log_lines_have_a_time_unless_the_journal_has_its_own(journal: dict[str, str], begins: str) -> None:
    program = "from ipsecmon.agent.observe import *; import logging; set_up_logging(); logging.info('said')"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=journal, check=True
    )
    assert done.stderr.startswith(begins)
    assert done.stderr.endswith("INFO said\n")
