"""A changed config is taken over under traffic, and not one packet, octet or copy goes astray."""

from __future__ import annotations

import csv
import json
import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from ipsecmon.agent.control import ask
from tests.netns.agent import Agent, volume
from tests.netns.exchange import TRAFFIC, exchange_udp
from tests.netns.topology import FAR, Topology

PORTS = (5060, 5061, 5062, 5063)
SIZES = (12, 472, 1372)
RATE = 5000  # packets a second to each port
PACKETS = 20 * RATE
Match = Mapping[str, Any]


def counter(port: int) -> dict[str, Any]:
    return {"name": f"port {port}", "match": {"proto": "udp", "port": port}}


def files(folder: Path, *names: str) -> list[dict[str, Any]]:
    return [{"file": {"path": str(folder / name), "format": "csv"}} for name in names]


@pytest.fixture
def agent(topology: Topology, tmp_path: Path) -> Iterator[Agent]:
    settings = {"counters": [counter(5060), counter(5061)], "sinks": files(tmp_path, "kept.csv")}
    made = Agent(topology, tmp_path, settings)
    yield made
    made.end()


def start_sending(topology: Topology, port: int, packets: int) -> subprocess.Popen[str]:
    sizes = ",".join(map(str, SIZES))
    amount = ("--packets", str(packets), "--rate", str(RATE), "--sizes", sizes)
    return topology.start("lan", *TRAFFIC, "send", FAR, str(port), *amount)


def sent_by(senders: Sequence[subprocess.Popen[str]]) -> tuple[int, int]:
    """Packets and octets."""
    said = [json.loads(sender.communicate(timeout=120)[0]) for sender in senders]
    return sum(one["packets"] for one in said), sum(one["octets"] for one in said)


def assert_copies_are_accounted_for(rows: Mapping[tuple[str, str, str], Mapping[str, int]]) -> None:
    for key, row in rows.items():
        copies = row["nflog_packets"] + row["lost_packets"] + row["pending_packets"] + row["bridged_packets"]
        assert row["packets"] == copies, key
        assert row["pending_packets"] == 0, key


def in_file(path: Path) -> dict[tuple[str, str], tuple[int, int]]:
    """Packets and octets by counter and direction; no row may stand there twice."""
    with path.open() as file:
        rows = list(csv.DictReader(file))
    places = Counter((row["start"], row["counter"], row["direction"], row["observed_at"]) for row in rows)
    assert not [place for place, times in places.items() if times > 1]
    found: dict[tuple[str, str], tuple[int, int]] = {}
    for row in rows:
        packets, octets = found.get((row["counter"], row["direction"]), (0, 0))
        found[row["counter"], row["direction"]] = packets + int(row["packets"]), octets + int(row["octets"])
    return found


def test_twenty_reloads_under_traffic_cost_nothing(topology: Topology, tmp_path: Path, agent: Agent) -> None:
    chance = random.Random(20)
    agent.start()
    senders = [start_sending(topology, port, PACKETS) for port in PORTS]
    for number in range(20):
        chosen = chance.sample(PORTS, chance.randint(0, len(PORTS)))
        some = chance.sample(["b.csv", "c.csv"], chance.randint(0, 2))
        sinks = files(tmp_path, *chance.sample(["kept.csv", *some], len(some) + 1))
        agent.configure(counters=[counter(port) for port in chosen], sinks=sinks)
        ask(agent.store, "reload")
        if number == 10:
            agent.configure(counters=[{"name": "wrong", "match": {"proto": "udp", "prt": 1}}])
            assert "did you mean port" in agent.refused("reload")
            os.kill(agent.pid, signal.SIGHUP)
        time.sleep(chance.uniform(0, 0.4))
    assert any(sender.poll() is None for sender in senders), "the reloads were not all under traffic"
    sent = sent_by(senders)

    rows = agent.counters()
    assert_copies_are_accounted_for(rows)
    line = rows["T1", "out", "wire"]
    assert (line["packets"], line["octets"]) == sent
    assert (line["lost_packets"], line["bridged_packets"], line["nflog_octets"]) == (0, 0, line["octets"])
    for port in PORTS:
        row = rows[f"port {port}", "out", "wire"]
        assert 0 < row["packets"] < PACKETS
    assert agent.stop() == 0
    assert "Traceback" not in agent.log() and agent.log().count("config refused") == 1
    assert in_file(tmp_path / "kept.csv")["T1", "out"] == sent
    for name in ("b.csv", "c.csv"):
        in_file(tmp_path / name)
