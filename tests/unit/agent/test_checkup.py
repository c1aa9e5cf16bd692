"""The doctor inside the agent: what is logged and when, what is a level, what grows between two looks."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ipsecmon.agent import checkup
from ipsecmon.agent.checkup import Checkup
from ipsecmon.agent.doctor_facts import AgentFacts, Facts, Flowtable, Offloaded, Ruleset
from ipsecmon.agent.doctor_machine import Fragments
from ipsecmon.agent.observe import Counters
from ipsecmon.errors import HelperAway, HelperGone
from ipsecmon.helper.rules import Condition
from ipsecmon.model import SelfMeasurement
from tests.unit.agent.doctor_cases import GOOD
from tests.unit.agent.made_up import NS, SteppedClock


class World:
    """A machine whose facts are good but for those in `changed`, and the agent's own parts."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.changed: dict[str, Any] = {}
        self.fragments = Fragments(7, 2)
        self.counts = Counters()
        self.trouble: Exception | None = None
        self.condition = Condition(stand=True, whole=True)
        self.checked = 0
        self.clock = SteppedClock()
        monkeypatch.setattr(checkup, "read_facts", self._read)
        monkeypatch.setattr(checkup, "count_fragments", lambda: self.fragments)
        wired = SimpleNamespace(
            config=None,
            folder=Path(),
            router="hq",
            clock=self.clock,
            helper=SimpleNamespace(rules_condition=self._rules_condition),
            copies=SimpleNamespace(receive_buffer=lambda: 32 << 20, ports=lambda: [77]),
            tunnels=SimpleNamespace(describe=lambda: {"sas": 2}, offloaded=Offloaded(), ends=["192.0.2.1"]),
            counts=self.counts,
        )
        keeper = SimpleNamespace(nfmarks_refused=[], check=self._check)
        self.checkup = Checkup(wired, keeper)  # type: ignore[arg-type]

    def _read(self, config: object, agent: AgentFacts, folder: Path) -> Facts:
        return replace(GOOD, agent=agent, **self.changed)

    def _rules_condition(self) -> Condition:
        if self.trouble:
            raise self.trouble
        return self.condition

    def _check(self, missing: object) -> None:
        self.checked += 1


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> World:
    caplog.set_level(logging.INFO)
    return World(monkeypatch)


def test_a_finding_is_logged_when_it_appears_and_when_it_is_over(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.changed = {"is_clock_synchronised": False}
    world.checkup.look()
    world.checkup.look()
    world.changed = {}
    world.checkup.look()

    said = [record.message for record in caplog.records]
    assert [line.partition(" what")[0] for line in said] == [
        "doctor kind=clock severity=risk",
        "doctor kind=clock is over",
    ]


def test_a_finding_that_gets_worse_is_logged_again(world: World, caplog: pytest.LogCaptureFixture) -> None:
    fast = Flowtable("ft", frozenset(("wan0",)), has_counter=True, is_used=False)
    for is_used in (False, True):
        world.changed = {"ruleset": Ruleset([fast._replace(is_used=is_used)], [])}
        world.checkup.look()

    assert [record.message.partition(" what")[0] for record in caplog.records] == [
        "doctor kind=flowtable severity=risk",
        "doctor kind=flowtable severity=wrong",
    ]


def test_each_kind_that_stands_is_a_level_and_notes_are_not(world: World) -> None:
    assert list(world.checkup.levels()) == []
    world.changed = {"is_clock_synchronised": False, "has_conntrack_accounting": False}
    world.checkup.look()

    assert list(world.checkup.levels()) == [SelfMeasurement("doctor", "clock", 1)]


def test_fragments_are_counted_from_the_last_hourly_look(world: World) -> None:
    assert world.checkup.facts().fragments is None
    world.checkup.look()
    world.fragments = Fragments(157, 103)
    world.clock.run_to(600 * NS)

    assert world.checkup.describe()["facts"]["fragments"] == (150, 600.0)
    assert world.checkup.describe()["facts"]["too_big"] == 101
    assert [one.kind for one in world.checkup.standing] == ["path-mtu", "fragmentation"]
    world.checkup.look()
    assert world.checkup.facts().fragments == (0, 0.0)


def test_a_helper_that_is_away_leaves_the_rules_unknown_and_one_that_is_gone_is_told(world: World) -> None:
    world.trouble = HelperAway("away")
    assert world.checkup.facts().rules_stand is None
    world.trouble = HelperGone("gone")
    with pytest.raises(HelperGone):
        world.checkup.look()


def test_gaps_of_the_rules_are_counted_from_the_last_hourly_look(world: World) -> None:
    world.counts.add("rules", "gaps", 2)
    world.counts.add("rules", "gap-ms", 3100)

    assert world.checkup.describe()["facts"]["gaps"] == (2, 3100)
    assert [one.kind for one in world.checkup.standing] == ["rules-reloaded"]
    assert "2 times" in world.checkup.standing[0].what and "3.1 s at most" in world.checkup.standing[0].what
    world.checkup.look()
    assert world.checkup.facts().gaps == (0, 0)


def test_rules_that_are_whole_but_do_not_fit_this_router_any_more_are_fitted_by_a_look(world: World) -> None:
    world.condition = Condition(stand=False, whole=True)
    world.checkup.look()

    assert world.checked == 1 and world.checkup.standing == []


def test_rules_that_are_not_whole_are_told_and_left_to_the_next_round(world: World) -> None:
    world.condition = Condition(stand=False, whole=False)
    world.checkup.look()

    assert world.checked == 0
    assert [(one.kind, one.severity.value) for one in world.checkup.standing] == [("rules-missing", "wrong")]
