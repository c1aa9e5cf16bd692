"""kill -9 at any moment, of main and of the helper, costs not one packet anywhere.

Moments are random, seeded, anywhere from the start of the process; some are aimed: into a commit of the
store, into an orderly stop, into a reload. Traffic never rests.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ipsecmon.agent.control import ask
from tests.netns.agent import Agent, in_namespace, volume
from tests.netns.books import Traffic, counter, csv_file, in_file, unaccounted
from tests.netns.topology import Topology
from tests.parts.conftest import require
from tests.parts.servers import PASSWORD, InfluxServer

RATE = 3000  # packets a second
PORTS = (5060, 5061, 5062)
KILLS_OF_MAIN, KILLS_OF_HELPER = 50, 20
RUN_S = 1.9  # the longest life of a main: it has begun to count after about 0.7 s
STOP_S = 0.5
CONFIGS = ([5060, 5061], [5062, 5060], [5061])


@pytest.fixture
def influxd(topology: Topology, tmp_path: Path) -> Iterator[InfluxServer]:
    require("influxd")
    (tmp_path / "influxd").mkdir()
    with in_namespace(topology.name("router")):
        server = InfluxServer(tmp_path / "influxd")
        server.start()
        server.query("CREATE DATABASE direct")
        yield server
        server.stop()


@pytest.fixture
def agent(topology: Topology, tmp_path: Path, influxd: InfluxServer) -> Iterator[Agent]:
    (tmp_path / "password").write_text(PASSWORD)
    login = {"username": "admin", "password_file": str(tmp_path / "password")}
    sinks: list[dict[str, Any]] = [
        csv_file(tmp_path / "all.csv"),
        {"influxdb": {"url": influxd.url, "database": "direct", **login}},
    ]
    made = Agent(topology, tmp_path, {"counters": [counter(port) for port in CONFIGS[0]], "sinks": sinks})
    yield made
    made.end()


def kill_at_random(agent: Agent, chance: random.Random) -> None:
    time.sleep(chance.uniform(0, RUN_S))


def kill_in_a_commit(agent: Agent, chance: random.Random) -> None:
    """As soon as the store's log is written to."""
    time.sleep(1)
    log = agent.store / "ipsecmon.sqlite-wal"
    before, deadline = written(log), time.monotonic() + 3
    while written(log) == before and time.monotonic() < deadline:
        time.sleep(0.0005)
    time.sleep(chance.uniform(0, 0.004))


def kill_in_a_stop(agent: Agent, chance: random.Random) -> None:
    time.sleep(chance.uniform(0.8, RUN_S))
    agent.signal(signal.SIGTERM)
    time.sleep(chance.uniform(0, STOP_S))


def kill_in_a_reload(agent: Agent, chance: random.Random) -> None:
    time.sleep(chance.uniform(1.2, RUN_S))
    agent.configure(counters=[counter(port) for port in chance.choice(CONFIGS)])
    agent.signal(signal.SIGHUP)
    time.sleep(chance.uniform(0, 0.5))


def written(log: Path) -> tuple[int, int]:
    try:
        status = log.stat()
    except FileNotFoundError:
        return 0, 0
    return status.st_size, status.st_mtime_ns


WAYS = 6 * [kill_at_random] + 2 * [kill_in_a_commit] + [kill_in_a_stop, kill_in_a_reload]


def assert_everything_is_exact(
    topology: Topology, agent: Agent, influxd: InfluxServer, sent: Any, folder: Path
) -> dict[str, int]:
    """In store, file and influxd; the line's row."""
    rows = agent.counters()
    assert [(key, rows[key]) for key in unaccounted(rows)] == []
    line = rows["T1", "out", "wire"]
    assert volume(line) == sent
    assert line["lost_packets"] == 0
    assert agent.stop() == 0 and "did not end in time" not in agent.log()
    assert in_file(folder / "all.csv")["T1", "out"] == sent
    query = "SELECT sum(octets) AS octets, sum(packets) AS packets FROM counter GROUP BY counter, direction"
    there = {(row["counter"], row["direction"]): volume(row) for row in influxd.rows(query, "direct")}
    assert there["T1", "out"] == sent
    assert "Traceback" not in agent.log()
    return line


def test_main_killed_fifty_times_under_traffic_costs_nothing(
    topology: Topology, tmp_path: Path, agent: Agent, influxd: InfluxServer
) -> None:
    chance = random.Random(50)
    agent.start()
    traffic = Traffic(topology, PORTS, RATE // len(PORTS))
    for _ in range(KILLS_OF_MAIN):
        traffic.keep_up()
        agent.kill()
        agent.launch()
        chance.choice(WAYS)(agent, chance)
    agent.kill()
    agent.start()
    sent = traffic.sent()

    line = assert_everything_is_exact(topology, agent, influxd, sent, tmp_path)
    assert line["bridged_packets"] > 0 and line["nflog_packets"] > 0


def test_the_helper_killed_twenty_times_under_traffic_costs_nothing(
    topology: Topology, tmp_path: Path, agent: Agent, influxd: InfluxServer
) -> None:
    chance = random.Random(20)
    agent.start()
    traffic = Traffic(topology, PORTS, RATE // len(PORTS))
    killed: set[int] = set()
    while len(killed) < KILLS_OF_HELPER:
        traffic.keep_up()
        if len(killed) % 4 == 3:
            agent.configure(counters=[counter(port) for port in chance.choice(CONFIGS)])
            agent.signal(signal.SIGHUP)
        time.sleep(chance.uniform(0, 0.7))
        with contextlib.suppress(IndexError, ProcessLookupError):  # none is there at this moment
            helper = agent.helper_pid
            os.kill(helper, signal.SIGKILL)
            killed.add(helper)
    sent = traffic.sent()
    restarts = ask(agent.store, "status")["counts"]["helper.restarts"]

    assert restarts == KILLS_OF_HELPER
    line = assert_everything_is_exact(topology, agent, influxd, sent, tmp_path)
    assert line["bridged_packets"] == 0 and line["nflog_octets"] == line["octets"]
