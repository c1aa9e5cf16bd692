"""Rounds while the store refuses: what is kept is bounded, and nothing of it is lost."""

from __future__ import annotations

import gc
import sqlite3
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest

from ipsecmon.account.carried import NOTHING_CARRIED
from ipsecmon.agent.rounds import Checked
from ipsecmon.errors import RulesRefused, StoreError
from ipsecmon.model import (
    CounterKey,
    Direction,
    How,
    Increment,
    LineCapacity,
    ObservationPoint,
    PartIncrement,
    Reading,
    SelfMeasurement,
)
from ipsecmon.store import report
from tests.unit.agent.made_up import KEY, NS, OCTETS_PER_S, Life, Rules, SteppedClock


def refuse(life: Life, intervals: int) -> None:
    """The store's file is locked by another program all the time."""
    for _ in range(intervals):
        life.clock.run_to(life.intervals.due_monotonic_ns())
        with pytest.raises(StoreError, match="locked by another program"):
            life.rounds.close()
        life.intervals.defer(life.clock.monotonic_ns)


def traced_octets() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


@pytest.fixture
def life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Life:
    monkeypatch.setattr("ipsecmon.store.schema.BUSY_TIMEOUT_S", 0.0)
    made = Life(tmp_path, SteppedClock())
    made.run(3)
    return made


def test_what_is_kept_while_the_store_refuses_does_not_grow_with_time(life: Life, tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "ipsecmon.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    tracemalloc.start()
    refuse(life, 50)
    before = traced_octets()
    refuse(life, 1000)
    after = traced_octets()
    tracemalloc.stop()
    other.close()
    assert after - before < 20_000  # 20 octets an interval
    life.run(1)
    life.stop()
    row = report(tmp_path, 0, 2**62).rows[0]
    assert row.octets == Rules(life.clock).octets() >= 1050 * 10 * OCTETS_PER_S
    assert life.counts.totals()["store.failed-commits"] == 1050


def test_refused_intervals_are_one_long_one_that_is_said_once(
    life: Life, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = sqlite3.connect(tmp_path / "ipsecmon.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    life.clock.step(-3600)
    refuse(life, 20)
    assert life.store.condition().refusal
    other.close()
    life.run(2)
    assert life.store.condition().refusal is None
    life.stop()
    assert caplog.text.count("store refuses, counting goes on and is kept in memory") == 1
    assert caplog.text.count("the wall clock was stepped") == 1
    found = report(tmp_path, 0, 2**62)
    assert found.rows[0].octets == Rules(life.clock).octets()
    assert [round((step.to_ns - step.from_ns) / NS) for step in found.clock_steps] == [-3600]


class Watched:
    """What a round tells the meter of tunnels."""

    def __init__(self) -> None:
        self.told: list[tuple[set[CounterKey], set[CounterKey]]] = []
        self.carried = NOTHING_CARRIED

    def read(self) -> bool:
        return False

    def settle(self, first: list[Increment], last: list[Increment], broken: set[CounterKey]) -> None:
        self.told.append(({one.key for one in last}, set(broken)))

    def spis(self) -> None:
        """Nobody's are known."""


def test_counters_that_are_missing_or_have_left_bound_no_tunnel(life: Life) -> None:
    gone, left = (CounterKey(name, Direction.IN, ObservationPoint.WIRE) for name in ("gone", "left"))
    watched = Watched()
    parts = life.rounds.parts
    parts.ledger.change({1: KEY, 2: gone, 3: left}, {})
    parts.ledger.retire({1: KEY, 2: gone})
    rules = Rules(life.clock)
    rules.gone = (gone,)
    life.rounds.change(replace(parts, tunnels=watched, rules=rules), 1)  # type: ignore[arg-type]

    life.rounds.read_all()

    assert watched.told == [({KEY, gone}, {gone})]
    life.stop()


def test_what_else_the_agent_says_of_itself_is_in_every_batch(life: Life) -> None:
    level = SelfMeasurement("doctor", "clock", 1)
    life.rounds.change(replace(life.rounds.parts, more_levels=lambda: [level]), 1)
    life.run(2)

    assert life.rounds.last_closed is not None
    assert level in life.rounds.last_closed.self_measurements
    life.stop()


def test_what_waits_for_a_sink_and_for_how_long_is_in_every_batch(life: Life) -> None:
    found = []
    for _ in range(4):
        life.run(1)
        assert life.rounds.last_closed is not None
        own = {one.kind: one.value for one in life.rounds.last_closed.self_measurements}
        found.append((own["waiting-batches"], own["oldest-waiting-s"]))
    assert found == [(3, 40), (4, 50), (5, 60), (6, 70)]  # three of 10 s were there before
    life.stop()


NIC = CounterKey("wan0", Direction.IN, ObservationPoint.NIC)
GONE = CounterKey("wan0", Direction.IN, ObservationPoint.RULES_GONE)


class Wan:
    """An interface that counts 1000 octets, in one frame, between any two readings."""

    def __init__(self) -> None:
        self.frames = 0

    def poll(self) -> list[Reading]:
        self.frames += 1
        return [Reading(NIC, 1000 * self.frames, self.frames, "boot/2")]

    def skew(self) -> list[Reading]:
        return []


def gone_in(life: Life, tmp_path: Path) -> list[int]:
    return [row.octets for row in report(tmp_path, 0, 2**62).rows if row.key == GONE]


def test_rules_that_were_put_back_leave_a_gap_with_what_the_interface_counted(
    life: Life, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rules = Rules(life.clock)
    answers = [Checked(1, repaired=True)]
    life.rounds.change(
        replace(
            life.rounds.parts,
            interfaces=Wan(),
            rules=rules,  # type: ignore[arg-type]
            check_rules=lambda missing: answers.pop(),
        ),
        1,
    )
    life.run(1)
    assert gone_in(life, tmp_path) == []
    rules.gone = (KEY,)
    life.run(1)
    rules.gone = ()
    life.run(1)

    assert answers == [] and gone_in(life, tmp_path) == [2000]  # up to the round's reading, and to the repair
    assert life.counts.totals()["rules.gaps"] == 1
    assert life.counts.totals()["rules.gap-ms"] == 10_000
    assert caplog.text.count("uncounted at most seconds=10.0 octets_in=2000 octets_out=0") == 1
    life.stop()


def test_rules_that_cannot_be_put_back_are_a_gap_each_round(life: Life) -> None:
    def refused(missing: object) -> Checked:
        raise RulesRefused("nft refused our rules")

    rules = Rules(life.clock)
    rules.gone = (KEY,)
    parts = replace(life.rounds.parts, interfaces=Wan(), rules=rules, check_rules=refused)  # type: ignore[arg-type]
    life.rounds.change(parts, 1)
    for _ in range(2):
        with pytest.raises(RulesRefused):
            life.rounds.read()

    assert life.counts.totals()["rules.gaps"] == 2
    life.stop()


def test_every_batch_has_the_parts_of_its_lines(life: Life) -> None:
    line = CounterKey("line", Direction.IN, ObservationPoint.WIRE)
    life.rounds.parts.ledger.change({1: KEY}, {line: [KEY]})
    life.run(1)

    assert life.rounds.last_closed is not None
    assert life.rounds.last_closed.parts == (
        PartIncrement("line", KEY.name, Direction.IN, 10 * OCTETS_PER_S, 100, How.COUNTED),
    )
    life.stop()


def test_the_lines_capacity_is_in_every_batch(life: Life) -> None:
    capacity = LineCapacity("T1", Direction.IN, 1_544_000)
    life.rounds.change(replace(life.rounds.parts, capacities=(capacity,)), 1)
    life.run(2)

    assert life.rounds.last_closed is not None
    assert life.rounds.last_closed.capacities == (capacity,)
    life.stop()
