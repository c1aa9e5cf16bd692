"""What the agent sends through outages of a real InfluxDB, and counts through outages of its own disk.

influxd runs in the router's namespace, so that none of its packets is on the line.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.netns.agent import IPSECMON, Agent, in_namespace, volume
from tests.netns.exchange import TRAFFIC, exchange_udp
from tests.netns.topology import FAR, Topology
from tests.parts.conftest import require
from tests.parts.mounts import emergency_read_only, fill, mount_ext4, mount_tmpfs, own_mounts, unmount
from tests.parts.servers import PASSWORD, USER, InfluxServer

COUNTERS = [{"name": "voip", "match": {"proto": "udp", "port": 5060}}]
OUT = ("voip", "out", "wire")
DATABASE = "traffic"
PHASE_S = 21.0  # killed, frozen, killed again: more than a minute in all
BACK_WITHIN_S = 100.0  # the longest wait between two attempts is a minute


@pytest.fixture
def influxd(topology: Topology, tmp_path: Path) -> Iterator[InfluxServer]:
    require("influxd")
    folder = tmp_path / "influxd"
    folder.mkdir()
    server = InfluxServer(folder)
    with in_namespace(topology.name("router")):
        server.start()
        server.query(f"CREATE DATABASE {DATABASE}")
        yield server
        server.stop()


def influxdb_sink(influxd: InfluxServer, tmp_path: Path) -> dict[str, Any]:
    password = tmp_path / "password"
    password.write_text(PASSWORD)
    settings = {"url": influxd.url, "database": DATABASE, "timeout": "2s"}
    return {"influxdb": {**settings, "username": USER, "password_file": str(password)}}


def start_sending(topology: Topology, packets: int, rate: int) -> subprocess.Popen[str]:
    amount = ("--packets", str(packets), "--rate", str(rate), "--sizes", "12,472,1372")
    return topology.start("lan", *TRAFFIC, "send", FAR, "5060", *amount)


def until(true: Callable[[], bool], within_s: float, what: str) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.2)


def status(agent: Agent) -> dict[str, Any]:
    command = [*IPSECMON, "status", "--json", "-c", str(agent.config)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def stored(influxd: InfluxServer) -> dict[tuple[str, str, str], tuple[int, int]]:
    """Octets and packets by counter, direction and observation point."""
    text = "SELECT sum(octets) AS octets, sum(packets) AS packets FROM counter"
    rows = influxd.rows(f"{text} GROUP BY counter, direction, observed_at", DATABASE)
    return {
        (row["counter"], row["direction"], row["observed_at"]): (row["octets"], row["packets"])
        for row in rows
    }


def outage(influxd: InfluxServer) -> None:
    """Killed, started and frozen at once, thawed and killed at once, started."""
    influxd.kill()
    time.sleep(PHASE_S)
    influxd.start()
    influxd.signal(signal.SIGSTOP)
    time.sleep(PHASE_S)
    influxd.signal(signal.SIGCONT)
    influxd.kill()
    time.sleep(PHASE_S)
    influxd.start()


def test_nothing_is_missing_and_nothing_double_after_a_minute_without_the_server(
    topology: Topology, tmp_path: Path, influxd: InfluxServer
) -> None:
    agent = Agent(topology, tmp_path, {"counters": COUNTERS, "sinks": [influxdb_sink(influxd, tmp_path)]})
    try:
        agent.start()
        sender = start_sending(topology, 16_000, rate=200)  # 80 s
        until(lambda: bool(stored(influxd)), 20, "nothing arrives")
        outage(influxd)
        sent, _ = sender.communicate(timeout=60)
        agent.report(now=True)
        until(lambda: not status(agent)["sinks"][0]["backlog_batches"], BACK_WITHIN_S, agent.log())
        assert agent.stop() == 0

        own = agent.counters(now=False)
        assert own[OUT]["packets"] == 16_000
        assert f'"octets": {own[OUT]["octets"]}' in sent
        own_sums = {key: (row["octets"], row["packets"]) for key, row in own.items()}
        assert {key: sums for key, sums in stored(influxd).items() if any(sums)} == {
            key: sums for key, sums in own_sums.items() if any(sums)
        }
        assert agent.log().count("sink unavailable sink=influxdb") >= 1
        assert agent.log().count("sink delivers again") == agent.log().count("sink unavailable")
        assert "dropped" not in agent.log()
    finally:
        agent.end()


@pytest.fixture
def _mounts() -> Iterator[None]:
    require("mkfs.ext4")
    with own_mounts():
        yield


@pytest.mark.usefixtures("_mounts")
def test_a_full_disk_under_a_running_agent_costs_nothing_and_is_said_once(
    topology: Topology, tmp_path: Path
) -> None:
    mount_tmpfs(tmp_path / "store", 3 << 20)
    agent = Agent(topology, tmp_path, {"counters": COUNTERS})
    try:
        agent.start()
        filler = fill(tmp_path / "store")
        sender = start_sending(topology, 8000, rate=1000)
        until(lambda: "store refuses" in agent.log(), 60, agent.log())
        sent, _ = sender.communicate(timeout=60)
        assert "no space left" in status(agent)["store"]["refusal"]
        assert any("no space left" in said for said in status(agent)["troubles"])
        time.sleep(3)  # intervals that are refused
        filler.unlink()
        until(lambda: "store takes intervals again" in agent.log(), 20, agent.log())
        assert status(agent)["troubles"] == []

        row = agent.counters()[OUT]
        assert row["packets"] == row["nflog_packets"] == 8000
        assert f'"octets": {row["octets"]}' in sent
        errors = [line for line in agent.log().splitlines() if " ERROR " in line]
        assert len(errors) == 1 and "counting goes on and is kept in memory" in errors[0], errors
        assert agent.stop() == 0
    finally:
        agent.end()


@pytest.mark.usefixtures("_mounts")
def test_an_agent_that_starts_on_a_full_disk_says_so_and_the_next_one_bridges(
    topology: Topology, tmp_path: Path
) -> None:
    mount_tmpfs(tmp_path / "store", 3 << 20)
    agent = Agent(topology, tmp_path, {"counters": COUNTERS})
    try:
        agent.start()
        assert agent.stop() == 0
        filler = fill(tmp_path / "store")
        said = agent.fails()
        assert "ipsecmon: no space left for" in said and "Traceback" not in said
        exchange_udp(topology, "lan", "inet", FAR, port=5060, packets=500)
        filler.unlink()
        agent.start()
        assert agent.counters()[OUT]["packets"] == agent.counters()[OUT]["bridged_packets"] == 500
    finally:
        agent.end()


@pytest.mark.usefixtures("_mounts")
def test_a_disk_that_becomes_read_only_costs_nothing(topology: Topology, tmp_path: Path) -> None:
    """What ext4 does on an error of the disk; it stays until the file system is mounted anew."""
    disk, image = tmp_path / "store", tmp_path / "image"
    mount_ext4(image, disk)
    agent = Agent(topology, tmp_path, {"counters": COUNTERS})
    try:
        agent.start()
        sent = exchange_udp(topology, "lan", "inet", FAR, port=5060, packets=1000).sent
        emergency_read_only(disk)
        until(lambda: "store refuses" in agent.log(), 20, agent.log())
        sent_after = exchange_udp(topology, "lan", "inet", FAR, port=5060, packets=700).sent
        assert status(agent)["store"]["refusal"]
        agent.stop()
        assert "counters will bridge it" in agent.log()
        unmount(disk)
        mount_ext4(image, disk)
        agent.start()
        both = (sent.packets + sent_after.packets, sent.octets + sent_after.octets)
        found = volume(agent.counters()[OUT])
        assert (found.packets, found.octets) == both
    finally:
        agent.end()
        os.sync()
