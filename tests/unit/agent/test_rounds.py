"""Rounds while the store refuses: what is kept is bounded, and nothing of it is lost."""

from __future__ import annotations

import gc
import sqlite3
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest

from ipsecmon.errors import StoreError
from ipsecmon.model import CounterKey, Direction, Increment, LineCapacity, ObservationPoint, SelfMeasurement
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

    def read(self) -> bool:
        return False

    def settle(self, first: list[Increment], last: list[Increment], broken: set[CounterKey]) -> None:
        self.told.append(({one.key for one in last}, set(broken)))


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


def test_the_lines_capacity_is_in_every_batch(life: Life) -> None:
    capacity = LineCapacity("T1", Direction.IN, 1_544_000)
    life.rounds.change(replace(life.rounds.parts, capacities=(capacity,)), 1)
    life.run(2)

    assert life.rounds.last_closed is not None
    assert life.rounds.last_closed.capacities == (capacity,)
    life.stop()
