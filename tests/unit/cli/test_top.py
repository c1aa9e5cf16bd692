"""top against a real control socket: once, as JSON, and without an agent."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ipsecmon.agent.control import Totals, ask_totals, describe_totals
from ipsecmon.cli.top import top_command
from ipsecmon.errors import IpsecmonError, SourceError
from ipsecmon.model import CounterKey, Direction, Increment, ObservationPoint
from tests.unit.agent.test_control import Agent

KEY = CounterKey("T1", Direction.OUT, ObservationPoint.WIRE)
EVERYTHING = Increment(KEY, 1, 2, 3, 4, 5, 6, 7, 8)


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    (tmp_path / "store").mkdir()
    made = Agent(tmp_path / "store")
    yield made
    made.stop()


def answers(agent: Agent, *octets: int) -> None:
    """The agent's totals, one after the other, a second apart."""
    given = iter(
        [describe_totals(Totals(at * 10**9, {KEY: Increment(KEY, one, 1)})) for at, one in enumerate(octets)]
    )
    agent.control._verbs = {"totals": lambda reply: reply(next(given))}


def run(monkeypatch: pytest.MonkeyPatch, agent: Agent, config_file: Path, arguments: Sequence[str]) -> Result:
    monkeypatch.setattr("ipsecmon.cli.top._EVERY_S", 0.0)

    def client() -> Any:
        return CliRunner().invoke(top_command, ["-c", str(config_file), *arguments])

    result = agent.serve(client)
    assert isinstance(result, Result)
    return result


def test_totals_arrive_as_they_were_sent(agent: Agent) -> None:
    agent.control._verbs = {
        "totals": lambda reply: reply(describe_totals(Totals(7, {EVERYTHING.key: EVERYTHING})))
    }
    totals = agent.serve(lambda: ask_totals(agent.folder))
    assert (totals.monotonic_ns, totals.by_key) == (7, {KEY: EVERYTHING})


def test_numbers_of_another_version_do_no_harm(agent: Agent) -> None:
    answer = describe_totals(Totals(7, {EVERYTHING.key: EVERYTHING}))
    answer["totals"][0].update(of_a_later_version=1)
    del answer["totals"][0]["bridged_packets"]
    agent.control._verbs = {"totals": lambda reply: reply(answer)}
    assert agent.serve(lambda: ask_totals(agent.folder)).by_key[KEY].bridged_packets == 0


def test_json_is_of_one_second(monkeypatch: pytest.MonkeyPatch, agent: Agent, config_file: Path) -> None:
    answers(agent, 1000, 2000)
    answer = json.loads(run(monkeypatch, agent, config_file, ["--json"]).stdout)
    assert (answer["seconds"], answer["counters"][0]["bits_per_s"]) == (1.0, 8000.0)


@pytest.mark.parametrize("arguments", [["--once"], []])
def test_without_a_terminal_it_prints_once(
    monkeypatch: pytest.MonkeyPatch, agent: Agent, config_file: Path, arguments: list[str]
) -> None:
    answers(agent, 1000, 2000)
    printed = run(monkeypatch, agent, config_file, arguments).stdout
    assert "8.0 kbit/s of 1 Mbit/s" in printed
    assert "q quits" not in printed and "\x1b" not in printed


def test_an_agent_that_was_started_again_in_between_is_said(
    monkeypatch: pytest.MonkeyPatch, agent: Agent, config_file: Path
) -> None:
    answers(agent, 2000, 1000)
    raised = run(monkeypatch, agent, config_file, ["--json"]).exception
    assert isinstance(raised, SourceError) and "started again" in str(raised)


def test_without_an_agent_it_says_so(config_file: Path) -> None:
    raised = CliRunner().invoke(top_command, ["-c", str(config_file)]).exception
    assert isinstance(raised, IpsecmonError) and "start it with ipsecmon run" in str(raised)
