"""Clocks that are stepped and slewed: the agent's rounds, the real store and a real InfluxDB agree.

Only the clock and the kernel's counters are made up: a counter that grows with the monotonic time.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ipsecmon.model import Batch
from ipsecmon.sinks.influxdb import Config, Sink
from ipsecmon.store import Spool, report
from tests.unit.agent.made_up import KEY, NS, OCTETS_PER_S, START_S, Life, Rules, SteppedClock

from .servers import USER, InfluxServer

HOUR_S = 3600


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
    spool = spooled(folder)
    batches = [one for one in spool if not one.resolution_s]
    starts_ns = [one.start_ns for one in batches]
    assert len(set(starts_ns)) == len(starts_ns)
    for one in batches:
        seconds = (one.end_ns - one.start_ns) / NS
        assert 0 < seconds <= 21
        assert of_line(one) / max(seconds, 1) <= OCTETS_PER_S * 1.03  # as much as the clock is slewed
        sink.send(one)
    for hour in [one for one in spool if one.resolution_s]:
        sink.send(hour)
    _check_hours(influxd, database)
    (stored,) = influxd.rows("SELECT sum(octets), count(octets) FROM counter", database)
    in_report = report(folder, 0, 2**62).rows[0].octets
    total = Rules(clock).octets()
    assert stored["sum"] == in_report == sum(map(of_line, batches)) == total
    assert stored["count"] == len([one for one in batches if one.increments])
    return batches


def _check_hours(influxd: InfluxServer, database: str) -> None:
    """Each that is over is what its intervals are, though it was sent before all of them had come."""
    hours = influxd.rows("SELECT sum(octets) FROM counter_1h GROUP BY time(1h) fill(none)", database)
    sums = influxd.rows("SELECT sum(octets) FROM counter GROUP BY time(1h) fill(none)", database)
    by_start = {row["time"]: row["sum"] for row in sums}
    running = influxd.rows("SELECT last(octets) FROM counter", database)[0]["time"] // (HOUR_S * NS)
    for row in hours:
        if row["time"] // (HOUR_S * NS) != running:
            assert row["sum"] == by_start[row["time"]]


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
