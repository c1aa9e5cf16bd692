"""Beside a real firewalld: its reloads leave our table, its rules and its counters as they were."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.netns.agent import Agent, volume
from tests.netns.exchange import Volume
from tests.netns.firewalld import firewalld
from tests.netns.topology import FAR, Topology

PINGS = 20


@pytest.fixture
def agent(topology: Topology, tmp_path: Path) -> Iterator[Agent]:
    (tmp_path / "store").mkdir(mode=0o750)  # where `rules install` notes that its counters begin at 0
    made = Agent(topology, tmp_path, {})
    yield made
    made.end()


def ping(topology: Topology) -> None:
    """From the router: firewalld as shipped forwards nothing."""
    topology.run("router", "ping", "-q", "-c", str(PINGS), "-i", "0.01", FAR)


@pytest.mark.parametrize("backend", ["nftables", "iptables"])
def test_a_reload_of_firewalld_leaves_our_rules_and_counters_alone(
    topology: Topology, agent: Agent, tmp_path: Path, backend: str
) -> None:
    agent.call("rules", "install")
    ping(topology)
    with firewalld(topology, "router", tmp_path, backend) as firewall:
        table = listed(topology)
        for reload in ("--reload", "--complete-reload"):
            assert firewall(reload) == "success\n"
            assert listed(topology) == table
        agent.start()
        ping(topology)
        rows = agent.counters()

    both = Volume(2 * PINGS, 2 * PINGS * 84)
    assert [volume(rows["other", way, "wire"]) for way in ("in", "out")] == [both, both]


def listed(topology: Topology) -> str:
    """With counters, and with handles: nothing was taken away and put back."""
    return topology.run("router", "nft", "-a", "list", "table", "inet", "ipsecmon")
