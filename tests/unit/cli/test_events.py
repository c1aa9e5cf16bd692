"""`ipsecmon mark` and `ipsecmon events` over a real store, without an agent."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ipsecmon.cli.events import events_command
from ipsecmon.cli.mark import mark_command
from ipsecmon.clock import Moment
from ipsecmon.config import load
from ipsecmon.errors import StoreError
from ipsecmon.qos import MAX_EVENT_TEXT
from ipsecmon.store import Store


@pytest.fixture
def store(config_file: Path) -> Path:
    folder = Path(load(config_file).store.path)
    made = Store(folder, 10, 86400)
    made.start(Moment(time.time_ns(), 0))
    made.stop()
    return folder


def mark(config_file: Path, *arguments: str) -> Result:
    return CliRunner().invoke(mark_command, [*arguments, "-c", str(config_file)])


def listed(config_file: Path, *arguments: str) -> str:
    return CliRunner().invoke(events_command, ["-c", str(config_file), *arguments]).output


@pytest.mark.usefixtures("store")
def test_a_mark_waits_in_the_store_and_is_listed(config_file: Path) -> None:
    before_ns = time.time_ns()
    done = mark(config_file, "VoIP\x1b[31m first")
    assert done.exit_code == 0 and done.output.endswith("mark: VoIP [31m first\n")
    assert listed(config_file) == done.output
    (event,) = json.loads(listed(config_file, "--json"))["events"]
    assert before_ns <= event["start_ns"] == event["end_ns"] <= time.time_ns()
    assert event["kind"] == "mark"


@pytest.mark.usefixtures("store")
def test_what_is_planned_is_listed_too(config_file: Path) -> None:
    assert mark(config_file, "maintenance", "--at", "2099-11-22T14:30").exit_code == 0
    assert "2099-11-22" in listed(config_file) and "maintenance" in listed(config_file)


@pytest.mark.usefixtures("store")
def test_without_events_that_is_said(config_file: Path) -> None:
    assert listed(config_file, "--since", "2d") == "no event in the last 2d\n"


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["\x1b\n"], "is empty"),
        (["x" * (MAX_EVENT_TEXT + 1)], "say it shorter"),
        (["x", "--at", "yesterday"], "is not a time"),
        (["x", "--end", "2020-01-01"], "--at TIME too"),
        (["x", "--at", "2026-01-02", "--end", "2026-01-01"], "later than --at"),
    ],
)
def test_a_mark_that_makes_no_sense_is_refused(config_file: Path, arguments: list[str], said: str) -> None:
    done = mark(config_file, *arguments)
    assert done.exit_code == 2 and said in done.output
    assert "no event" in listed(config_file)


def test_where_there_is_no_store_none_is_made(config_file: Path) -> None:
    done = mark(config_file, "x")
    assert isinstance(done.exception, StoreError)
    assert not Path(load(config_file).store.path).exists()
