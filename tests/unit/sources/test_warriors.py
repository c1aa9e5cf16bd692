"""Names of road warriors: from a file that changes, and from programs that behave in every way."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ipsecmon.agent.observe import Counters
from ipsecmon.sources import warriors
from ipsecmon.sources.warriors import WarriorNames

FAILED = "links.failed-names"


def asking(program: str, limit_s: float = 20.0) -> tuple[WarriorNames, Counters]:
    counts = Counters()
    return WarriorNames(None, [sys.executable, "-I", "-S", "-c", program], counts, limit_s), counts


def test_a_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "names"
    file.write_text("10.9.0.2 anna\n")
    source = WarriorNames(file, (), Counters())
    assert source.names() == {"10.9.0.2": "anna"}
    file.write_text("10.9.0.2 bert the second\n")
    assert source.names() == {"10.9.0.2": "bert the second"}


def test_the_last_names_hold_while_a_file_cannot_be_read(tmp_path: Path) -> None:
    file = tmp_path / "names"
    file.write_text("10.9.0.2 anna\n")
    counts = Counters()
    source = WarriorNames(file, (), counts)
    source.names()
    file.write_text("half a line")
    assert source.names() == {"10.9.0.2": "anna"}
    file.unlink()
    assert source.names() == {"10.9.0.2": "anna"}
    assert counts.totals() == {FAILED: 2}


def test_a_program_is_asked_without_a_shell_and_not_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    source, counts = asking("import sys; print('10.9.0.2 $HOME;', sys.stdin.read(1) or 'empty')")
    assert source.names() == {"10.9.0.2": "$HOME; empty"}
    monkeypatch.setattr(warriors, "_output", None)
    assert source.names() == {"10.9.0.2": "$HOME; empty"}
    assert counts.totals() == {}


@pytest.mark.parametrize(
    ("program", "limit_s"),
    [
        ("raise SystemExit(3)", 20.0),
        ("print('no address')", 20.0),
        ("import time; time.sleep(60)", 0.2),
        ("import os\nwhile True: os.write(1, b'10.9.0.2 anna' * 4096)", 20.0),
    ],
    ids=["fails", "says something else", "does not end", "says too much"],
)
def test_what_a_program_does_wrong_is_counted_and_harms_nothing(program: str, limit_s: float) -> None:
    source, counts = asking(program, limit_s)
    assert source.names() == {}
    assert counts.totals() == {FAILED: 1}


def test_a_program_that_is_not_there_is_counted() -> None:
    counts = Counters()
    assert WarriorNames(None, ["/nonexistent/warriors"], counts).names() == {}
    assert counts.totals() == {FAILED: 1}
