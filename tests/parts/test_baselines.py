"""Baselines in a real influxd: what `part` has a day or a week before, through an outage and restarts."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ipsecmon.model import Batch, Direction, How, PartIncrement
from ipsecmon.sinks.delivery import Delivery
from ipsecmon.sinks.influxdb import Config, Sink
from ipsecmon.store import BUCKET_S, SHIFTS_S, kept_batches
from tests.unit.store.store_cases import DAY_S, NS, T0_S, batch, commit, opened, spool_of

from .servers import USER, InfluxServer

DAYS = (0, 6, 7)
WINDOW_S = 2 * 3600
STEP_S = 60
PARTS = ("web", "esp", "Büro, 2")
NOW_S = T0_S + 7 * DAY_S

Sums = dict[tuple[str, str, int], int]


def intervals(day: int, first_s: int = 0, last_s: int = WINDOW_S) -> Iterator[Batch]:
    """Of the window of a day: no two parts, directions or intervals carried the same."""
    for after_s in range(first_s, last_s, STEP_S):
        parts = tuple(
            PartIncrement("T1", part, way, 10**6 * (day + 1) + 100 * after_s + number, 7, How.COUNTED)
            for number, (part, way) in enumerate(
                (part, way) for part in PARTS for way in (Direction.IN, Direction.OUT)
            )
        )
        yield replace(batch(day * DAY_S + after_s, length_s=STEP_S), parts=parts)


@pytest.fixture
def sink(influxd: InfluxServer, database: str, password_file: Path) -> Sink:
    settings = {"url": influxd.url, "database": database, "username": USER, "password_file": password_file}
    return Sink(Config.model_validate(settings))


def deliver(folder: Path, sink: Sink) -> None:
    """All that waits."""

    def stop(event: threading.Event, _: object) -> bool:
        delivery.stop(5)
        return event.is_set()

    with spool_of(folder, "influxdb") as spool:
        delivery = Delivery("influxdb", sink, spool, wait=stop)
        delivery.run()
    with spool_of(folder, "influxdb") as spool:
        assert spool.backlog().batches == 0


@pytest.fixture
def week(tmp_path: Path, sink: Sink) -> Path:
    """A store whose agent was restarted in the last window, while the server was away for half an hour."""
    for day in DAYS[:-1]:
        with opened(tmp_path, interval_s=STEP_S) as store:
            commit(store, *intervals(day), sinks=("influxdb",))
        deliver(tmp_path, sink)
    for first_s, last_s in ((0, 1500), (1500, 3300), (3300, WINDOW_S)):
        with opened(tmp_path, interval_s=STEP_S) as store:
            commit(store, *intervals(DAYS[-1], first_s, last_s), sinks=("influxdb",))
    deliver(tmp_path, sink)
    return tmp_path


def sums(rows: list[dict[str, Any]], later_s: int = 0) -> Sums:
    """By part, direction and time, so much later."""
    return {
        (row["part"], row["direction"], row["time"] // NS + later_s): row["octets"]
        for row in rows
        if row["octets"] is not None
    }


def told(influxd: InfluxServer, database: str, shift: str) -> Sums:
    query = (
        f"SELECT octets FROM baseline WHERE shift = '{shift}' AND time >= {NOW_S}s GROUP BY part, direction"
    )
    rows = influxd.rows(query, database)
    found = sums(rows)
    assert len(rows) == len(found), "a part has one point a bucket"
    return found


@pytest.mark.usefixtures("week")
@pytest.mark.parametrize("shift", ["1d", "7d"])
def test_a_baseline_is_the_sum_of_the_part_in_the_same_bucket_before(
    influxd: InfluxServer, database: str, shift: str
) -> None:
    start_s = NOW_S - SHIFTS_S[shift]
    before = influxd.rows(
        f"SELECT sum(octets) AS octets FROM part WHERE time >= {start_s}s AND time < {start_s + WINDOW_S}s"
        f" GROUP BY time({BUCKET_S}s), part, direction",
        database,
    )
    assert len(before) == 2 * len(PARTS) * WINDOW_S // BUCKET_S
    assert told(influxd, database, shift) == sums(before, SHIFTS_S[shift])


@pytest.mark.parametrize("shift", ["1d", "7d"])
def test_what_is_sent_again_changes_no_baseline(
    week: Path, sink: Sink, influxd: InfluxServer, database: str, shift: str
) -> None:
    before = told(influxd, database, shift)
    sink.start()
    sink.send_all(list(kept_batches(week, T0_S * NS, (NOW_S + DAY_S) * NS)))
    sink.stop()
    assert told(influxd, database, shift) == before
