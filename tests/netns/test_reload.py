"""A changed config is taken over under traffic, and not one packet, octet or copy goes astray."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ipsecmon.agent.control import ask
from tests.netns.agent import Agent, volume
from tests.netns.books import counter, csv_file, in_file, sent_by, start_sending, unaccounted
from tests.netns.topology import Topology

PORTS = (5060, 5061, 5062, 5063)
RATE = 5000  # packets a second to each port
PACKETS = 20 * RATE


def files(folder: Path, *names: str) -> list[dict[str, Any]]:
    return [csv_file(folder / name) for name in names]


@pytest.fixture
def agent(topology: Topology, tmp_path: Path) -> Iterator[Agent]:
    settings = {"counters": [counter(5060), counter(5061)], "sinks": files(tmp_path, "kept.csv")}
    made = Agent(topology, tmp_path, settings)
    yield made
    made.end()


def test_twenty_reloads_under_traffic_cost_nothing(topology: Topology, tmp_path: Path, agent: Agent) -> None:
    chance = random.Random(20)
    agent.start()
    senders = [start_sending(topology, port, PACKETS, RATE) for port in PORTS]
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
    assert unaccounted(rows) == []
    line = rows["T1", "out", "wire"]
    assert volume(line) == sent
    assert (line["lost_packets"], line["bridged_packets"], line["nflog_octets"]) == (0, 0, line["octets"])
    for port in PORTS:
        row = rows[f"port {port}", "out", "wire"]
        assert 0 < row["packets"] < PACKETS
    assert agent.stop() == 0
    assert "Traceback" not in agent.log() and agent.log().count("config refused") == 1
    assert in_file(tmp_path / "kept.csv")["T1", "out"] == sent
    for name in ("b.csv", "c.csv"):
        in_file(tmp_path / name)
