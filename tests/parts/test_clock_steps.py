"""Clocks that are stepped and slewed: the agent's rounds, the real store and a real InfluxDB agree.

Only the clock and the kernel's counters are made up: a counter that grows with the monotonic time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ipsecmon.account.intervals import Intervals
from ipsecmon.account.ledger import Ledger
from ipsecmon.agent.observe import Counters
from ipsecmon.agent.rounds import STEPS_BACK, Parts, Rounds
from ipsecmon.clock import Moment
from ipsecmon.model import Batch, CounterKey, Direction, ObservationPoint, Packets, Reading
from ipsecmon.sinks.influxdb import Config, Sink
from ipsecmon.store import Spool, Store, report

from .servers import USER, InfluxServer

NS = 10**9
HOUR_S = 3600
START_S = 1_795_323_600
KEY = CounterKey("T1", Direction.IN, ObservationPoint.WIRE)
OCTETS_PER_S = 1000


class SteppedClock:
    """wall_ns runs with monotonic_ns, faster by slew_ppm, and from where step() has set it."""

    def __init__(self) -> None:
        self.monotonic_ns = 0
        self._wall_ns = START_S * NS
        self.slew_ppm = 0

    def now(self) -> Moment:
        return Moment(self._wall_ns, self.monotonic_ns)

    def run_to(self, monotonic_ns: int) -> None:
        passed_ns = monotonic_ns - self.monotonic_ns
        self.monotonic_ns = monotonic_ns
        self._wall_ns += passed_ns + passed_ns * self.slew_ppm // 10**6

    def step(self, seconds: float) -> None:
        self._wall_ns += int(seconds * NS)


@dataclass
class MadeUp:
    """Sources that say what a line of OCTETS_PER_S would have counted."""

    clock: SteppedClock
    generation: int = 1
    missing: tuple[CounterKey, ...] = ()
    readings: tuple[Reading, ...] = ()

    def octets(self) -> int:
        return self.clock.monotonic_ns * OCTETS_PER_S // NS

    def dropped_datagrams(self) -> int:
        return 0


class Copies(MadeUp):
    def poll(self) -> list[Packets]:
        return []


class Rules(MadeUp):
    def poll(self) -> Rules:
        reading = Reading(KEY, self.octets(), self.octets() // 100, "birth-1")
        return Rules(self.clock, readings=(reading,))


class Nics(MadeUp):
    def poll(self) -> list[Reading]:
        return []


class Life:
    """One run of an agent over a store, from start() to stop()."""

    def __init__(self, folder: Path, clock: SteppedClock) -> None:
        self.clock = clock
        self.counts = Counters()
        self.store = Store(folder, 10, 400 * 24 * HOUR_S)
        self.store.start(clock.now())
        saved = [
            Reading(key, one.octets, one.packets, one.birth) for key, one in self.store.readings().items()
        ]
        ledger = Ledger("gw", {}, {}, saved)
        ledger.adopt(Rules(clock).poll().readings, {})
        now = clock.now()
        last_start_ns = self.store.last_start_ns()
        steps_back = int(self.store.state(STEPS_BACK) or 0)
        last = -1 if last_start_ns is None else last_start_ns
        self.intervals = Intervals(10, now.wall_ns, now.monotonic_ns, last, steps_back)
        if self.intervals.steps_back != steps_back:
            self.store.set_state(STEPS_BACK, str(self.intervals.steps_back))
        parts = Parts(
            clock,
            Copies(clock),
            Rules(clock),  # type: ignore[arg-type]  # readings are a tuple here
            Nics(clock),
            ledger,
            self.intervals,
            self.store,
            ["influxdb"],
            self.counts,
            lambda missing: 1,
        )
        self.rounds = Rounds(parts, generation=1)

    def run(self, intervals: int) -> None:
        for _ in range(intervals):
            self.clock.run_to(self.intervals.due_monotonic_ns() + NS // 100)
            self.rounds.close()

    def stop(self) -> None:
        self.store.stop()


def spooled(folder: Path) -> list[Batch]:
    spool = Spool(folder, "influxdb")
    spool.start()
    batches = []
    while found := spool.next_batch():
        batches.append(found[1])
        spool.ack(found[0])
    spool.stop()
    return batches


def of_line(one: Batch) -> int:
    return sum(increment.octets for increment in one.increments)


def check(folder: Path, sink: Sink, influxd: InfluxServer, database: str, clock: SteppedClock) -> list[Batch]:
    """No interval twice, none overwritten, none with a rate that was not there; the sums are the kernel's."""
    batches = spooled(folder)
    starts_ns = [one.start_ns for one in batches]
    assert len(set(starts_ns)) == len(starts_ns)
    for one in batches:
        seconds = (one.end_ns - one.start_ns) / NS
        assert 0 < seconds <= 21
        assert of_line(one) / max(seconds, 1) <= OCTETS_PER_S * 1.03  # as much as the clock is slewed
        sink.send(one)
    (stored,) = influxd.rows("SELECT sum(octets), count(octets) FROM counter", database)
    in_report = report(folder, 0, 2**62).rows[0].octets
    total = Rules(clock).octets()
    assert stored["sum"] == in_report == sum(map(of_line, batches)) == total
    assert stored["count"] == len([one for one in batches if one.increments])
    return batches


@pytest.fixture
def sink(influxd: InfluxServer, database: str, password_file: Path) -> Sink:
    settings: dict[str, Any] = {"url": influxd.url, "database": database, "username": USER}
    return Sink(Config.model_validate({**settings, "password_file": password_file}))


@pytest.mark.parametrize(
    "steps_s",
    [
        [HOUR_S],
        [-HOUR_S],
        [-25.0],
        [-5.0],
        [-HOUR_S, HOUR_S],
        [-HOUR_S, -HOUR_S, 2 * HOUR_S],
        [-1.5, -1.5],
        [1.0],
    ],
    ids=str,
)
@pytest.mark.parametrize("restarted", [False, True], ids=["running", "restarted"])
def test_a_stepped_clock_costs_no_octet_and_makes_no_double(
    tmp_path: Path,
    sink: Sink,
    influxd: InfluxServer,
    database: str,
    steps_s: Sequence[float],
    restarted: bool,
) -> None:
    clock = SteppedClock()
    life = Life(tmp_path, clock)
    life.run(8)
    for step_s in steps_s:
        clock.run_to(clock.monotonic_ns + 3 * NS)  # in the middle of an interval
        if restarted:
            life.rounds.close()
            life.stop()
            clock.step(step_s)
            life = Life(tmp_path, clock)
        else:
            clock.step(step_s)
        life.run(8)
    life.rounds.close()
    life.stop()
    check(tmp_path, sink, influxd, database, clock)
    if not restarted:
        told = report(tmp_path, 0, 2**62).clock_steps
        assert [round((one.to_ns - one.from_ns) / NS, 1) for one in told] == steps_s
        assert life.counts.totals()["agent.clock-steps"] == len(steps_s)


@pytest.mark.parametrize("slew_ppm", [500, -500, 20_000, -20_000])
def test_a_slewed_clock_is_followed_and_is_no_step(
    tmp_path: Path, sink: Sink, influxd: InfluxServer, database: str, slew_ppm: int
) -> None:
    clock = SteppedClock()
    life = Life(tmp_path, clock)
    clock.slew_ppm = slew_ppm
    life.run(300)
    life.rounds.close()
    life.stop()
    batches = check(tmp_path, sink, influxd, database, clock)
    assert all(before.end_ns == after.start_ns for before, after in zip(batches, batches[1:]))
    assert report(tmp_path, 0, 2**62).clock_steps == ()


def test_a_clock_that_jumps_over_the_retention_does_not_forget_the_readings(tmp_path: Path) -> None:
    """A router that boots in 1970 and finds a time server: a kill right then must not cost a baseline."""
    clock = SteppedClock()
    clock.step(-START_S)
    life = Life(tmp_path, clock)
    life.run(2)
    clock.step(START_S)
    life.run(1)
    life.stop()
    life = Life(tmp_path, clock)
    assert life.store.readings()[KEY].octets == Rules(clock).octets()
    life.stop()
