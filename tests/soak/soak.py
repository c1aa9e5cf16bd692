"""One soak: influxd directly and behind nginx, faults at moments that nobody chose, and what is stored."""

from __future__ import annotations

import contextlib
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.parts.servers import PASSWORD, TOKEN, USER, FrontServer, InfluxServer, Server, make_authority
from tests.soak.load import COUNTERS, POINTS, Load

__all__ = ["Figures", "soak"]

DRAIN_WITHIN_S = 300.0
MAX_BODY_OCTETS = 20_000  # of nginx: groups of intervals meet a 413, single ones do not
SINKS = ("direct", "front")


@dataclass(frozen=True)
class Figures:
    """points: sent to each of the sinks. faults: by kind. missing, double: of all sinks, after the end."""

    seconds: float
    intervals: int
    points: int
    faults: dict[str, int]
    retries: int
    drained_in_s: float
    dropped: int
    rejected: int
    missing: int
    double: int


def soak(folder: Path, seconds: float, seed: int) -> Figures:
    """Raises RuntimeError when a server does not come back, AssertionError when a backlog does not go."""
    with _servers(folder) as (influxd, front):
        load = Load(folder / "store", _settings(folder, influxd, front))
        load.start()
        try:
            faults = _under_faults(load, influxd, front, seconds, random.Random(seed))
            drained_in_s = _drain(load)
            retries = sum(state.retries for state in load.states())
            rejected = sum(state.rejected_points for state in load.states())
            dropped = load.dropped()
        finally:
            load.stop()
        missing, double = _compared(influxd, load.intervals)
    points = load.intervals * POINTS
    return Figures(
        seconds,
        load.intervals,
        points,
        dict(faults),
        retries,
        drained_in_s,
        dropped,
        rejected,
        missing,
        double,
    )


@contextlib.contextmanager
def _servers(folder: Path) -> Iterator[tuple[InfluxServer, FrontServer]]:
    for name in ("influxd", "nginx"):
        (folder / name).mkdir()
    (folder / "token").write_text(TOKEN)
    (folder / "password").write_text(PASSWORD)
    make_authority(folder / "nginx")
    influxd = InfluxServer(folder / "influxd")
    front = FrontServer(folder / "nginx", influxd, MAX_BODY_OCTETS)
    try:
        influxd.start()
        front.start()
        for name in SINKS:
            influxd.query(f"CREATE DATABASE {name}")
        yield influxd, front
    finally:
        front.stop()
        influxd.stop()


def _settings(folder: Path, influxd: InfluxServer, front: FrontServer) -> dict[str, dict[str, object]]:
    login = {"username": USER, "password_file": folder / "password"}
    token = {"org": "ops", "token_file": folder / "token"}
    return {
        "direct": {"url": influxd.url, "database": "direct", "timeout": "2s", **login},
        "front": {"url": front.url, "bucket": "front", "timeout": "2s", **token},
    }


def _under_faults(
    load: Load, influxd: InfluxServer, front: FrontServer, seconds: float, chance: random.Random
) -> Counter[str]:
    ended = threading.Event()

    def break_servers() -> Counter[str]:
        try:
            return _break_at_random(influxd, front, seconds, chance)
        finally:
            ended.set()

    with ThreadPoolExecutor(1) as pool:
        faults = pool.submit(break_servers)
        load.commit(ended)
        return faults.result()


def _break_at_random(
    influxd: InfluxServer, front: FrontServer, seconds: float, chance: random.Random
) -> Counter[str]:
    """Both servers are up when it returns."""
    faults: Counter[str] = Counter()
    kinds = {
        "influxd killed": lambda: _kill(influxd),
        "influxd frozen": lambda: _freeze(influxd, chance.uniform(0.1, 4)),
        "influxd restarted": lambda: _restart(influxd),
        "nginx killed": lambda: _kill(front),
        "nginx frozen": lambda: _freeze(front, chance.uniform(0.1, 4)),
    }
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(chance.uniform(0.05, 3))
        kind = chance.choice(list(kinds))
        kinds[kind]()
        faults[kind] += 1
    return faults


def _kill(server: Server) -> None:
    server.kill()
    server.start()


def _restart(server: Server) -> None:
    server.stop()
    server.start()


def _freeze(server: Server, seconds: float) -> None:
    """For less and for more than the sinks' timeout."""
    server.signal(signal.SIGSTOP)
    time.sleep(seconds)
    server.signal(signal.SIGCONT)


def _drain(load: Load) -> float:
    began = time.monotonic()
    while load.waiting():
        assert time.monotonic() - began < DRAIN_WITHIN_S, load.states()
        time.sleep(0.1)
    return time.monotonic() - began


def _compared(influxd: InfluxServer, intervals: int) -> tuple[int, int]:
    """Points missing and double, by number and by octets of each counter: batches.py makes n + 1, n + 2, …"""
    missing = double = 0
    for name in SINKS:
        query = "SELECT count(octets), sum(octets) FROM counter GROUP BY counter"
        rows = {row["counter"]: row for row in influxd.rows(query, name)}
        for index in range(COUNTERS):
            row = rows.get(f"tunnel {index}, Büro=1", {"count": 0, "sum": 0})
            missing += max(0, intervals - row["count"])
            double += max(0, row["count"] - intervals)
            expected = sum(number + index + 1 for number in range(intervals))
            assert row["count"] != intervals or row["sum"] == expected, (name, row, expected)
        for series, field in (("meter", "nflog_octets"), ("interface", "octets"), ("agent", "value")):
            (row,) = influxd.rows(f"SELECT count({field}) FROM {series}", name)
            expected = intervals * (COUNTERS if series == "meter" else 1)
            missing += max(0, expected - row["count"])
            double += max(0, row["count"] - expected)
    return missing, double
