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
from ipsecmon.helper.netfilter import open_nflog
from tests.netns.agent import Agent, in_namespace, volume
from tests.netns.books import Traffic, counter, csv_file, in_file, unaccounted
from tests.netns.exchange import Volume, exchange_udp
from tests.netns.test_restart import both
from tests.netns.topology import FAR, Topology

PORTS = (5060, 5061, 5062, 5063)
RATE = 5000  # packets a second to each port


def files(folder: Path, *names: str) -> list[dict[str, Any]]:
    return [csv_file(folder / name) for name in names]


@pytest.fixture
def agent(topology: Topology, tmp_path: Path) -> Iterator[Agent]:
    settings = {"counters": [counter(5060), counter(5061)], "sinks": files(tmp_path, "kept.csv")}
    made = Agent(topology, tmp_path, settings)
    yield made
    made.end()


def wait_for(agent: Agent, words: str) -> None:
    """Until they are in the log: a signal is taken when the agent's loop comes to it."""
    deadline = time.monotonic() + 30
    while words not in agent.log():
        assert time.monotonic() < deadline, agent.log()
        time.sleep(0.02)


def test_twenty_reloads_under_traffic_cost_nothing(topology: Topology, tmp_path: Path, agent: Agent) -> None:
    chance = random.Random(20)
    agent.start()
    traffic = Traffic(topology, PORTS, RATE)
    for number in range(20):
        traffic.keep_up()
        chosen = chance.sample(PORTS, chance.randint(0, len(PORTS)))
        some = chance.sample(["b.csv", "c.csv"], chance.randint(0, 2))
        sinks = files(tmp_path, *chance.sample(["kept.csv", *some], len(some) + 1))
        agent.configure(counters=[counter(port) for port in chosen], sinks=sinks)
        ask(agent.store, "reload")
        if number == 10:
            agent.configure(counters=[{"name": "wrong", "match": {"proto": "udp", "prt": 1}}])
            assert "did you mean port" in agent.refused("reload")
            os.kill(agent.pid, signal.SIGHUP)
            wait_for(agent, "config refused")
        time.sleep(chance.uniform(0, 0.4))
    sent = traffic.sent()

    rows = agent.counters()
    assert [(key, rows[key]) for key in unaccounted(rows)] == []
    line = rows["T1", "out", "wire"]
    assert volume(line) == sent
    assert (line["lost_packets"], line["bridged_packets"], line["nflog_octets"]) == (0, 0, line["octets"])
    for port in PORTS:
        row = rows[f"port {port}", "out", "wire"]
        assert 0 < row["packets"] < sent.packets // len(PORTS)
    assert agent.stop() == 0
    assert "Traceback" not in agent.log() and agent.log().count("config refused") == 1
    assert in_file(tmp_path / "kept.csv")["T1", "out"] == sent
    for name in ("b.csv", "c.csv"):
        in_file(tmp_path / name)


def send(topology: Topology, port: int, packets: int) -> Volume:
    return exchange_udp(topology, "lan", "inet", FAR, port=port, packets=packets, sizes=(12, 472)).sent


def test_a_counter_that_comes_back_goes_on_where_it_stood(topology: Topology, agent: Agent) -> None:
    agent.start()
    send(topology, 5060, 300)
    for counters, line in (([], "counter port 5060 removed"), ([counter(5060)], "counter port 5060 added")):
        agent.configure(counters=counters)
        assert line in agent.call("reload")
        send(topology, 5060, 70)
        agent.report()

    rows = agent.counters()
    assert (
        rows["port 5060", "out", "wire"]["packets"]
        == rows["port 5060", "out", "wire"]["nflog_packets"]
        == 370
    )
    assert rows["other", "out", "wire"]["packets"] == 70
    assert rows["T1", "out", "wire"]["packets"] == 440 and unaccounted(rows) == []


def test_groups_stay_with_their_counters_over_reload_and_restart(topology: Topology, agent: Agent) -> None:
    agent.start()
    agent.configure(counters=[counter(5063), counter(5061), counter(5060)])
    assert agent.call("reload").splitlines() == ["counter port 5063 added", "counters stand in another order"]
    assert "rules stand" in agent.call("rules", "status")
    shown = agent.call("rules", "show")
    send(topology, 5063, 10)
    assert agent.stop() == 0
    agent.start()
    assert agent.call("rules", "show") == shown
    row = agent.counters()["port 5063", "out", "wire"]
    assert (row["packets"], row["nflog_packets"]) == (10, 10)


def test_line_interface_and_interval_change_without_a_spike(topology: Topology, agent: Agent) -> None:
    agent.start()
    before = send(topology, 5060, 100)
    agent.configure(line={"name": "second", "interface": "lan0"}, interval="2s")
    said = agent.call("reload")
    assert "line: T1 on wan0 -> second on lan0" in said and "interval: 1 s -> 2 s" in said
    after = send(topology, 5060, 50)
    report = agent.report()

    rows = {(row["name"], row["direction"]): row for row in report["counters"]}
    assert volume(rows["T1", "out"]) == before
    assert volume(rows["second", "in"]) == after and rows["second", "out"]["packets"] == 0
    nics = {(nic["name"], nic["direction"]): nic["frames"] for nic in report["interfaces"]}
    assert nics["wan0", "out"] == 100 and nics["lan0", "in"] == 50
    assert ask(agent.store, "status")["interval_s"] == 2


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"router": "other"}, "router is lab in the running agent and other in the file: restart needed"),
        ({"nfmark": {"mask": 0xFF}}, "restart needed"),
        ({"nflog": {"groups": "7000-7100"}}, "was not in the config at start: restart needed"),
        ({"line": {"name": "T1", "interface": "ppp7"}}, "no such interface: ppp7"),
        ({"counters": [{"name": "x", "match": {"prt": 1}}]}, "did you mean port"),
        ({"counters": [{"name": "x", "ipsec": {"peer": "no.such.host.invalid"}}]}, "does not resolve"),
    ],
)
def test_a_config_that_cannot_be_taken_is_said_and_all_goes_on(
    topology: Topology, agent: Agent, settings: dict[str, Any], why: str
) -> None:
    agent.start()
    first = send(topology, 5060, 100)
    before = agent.config.read_text()
    agent.configure(**settings)
    assert why in agent.refused("reload")
    agent.config.write_text(before)  # what the next command reads
    second = send(topology, 5060, 50)
    assert volume(agent.counters()["port 5060", "out", "wire"], "nflog_") == both(first, second)
    assert ask(agent.store, "status")["rules_stand"]


def test_a_group_that_somebody_else_took_leaves_the_old_config_standing(
    topology: Topology, agent: Agent
) -> None:
    agent.start()
    used = {
        int(line.split()[2].rstrip(":"))
        for line in agent.call("rules", "show").splitlines()
        if line[0] == "#"
    }
    with in_namespace(topology.name("router")), open_nflog([max(used) + 1], 65536):
        agent.configure(counters=[counter(5060), counter(5061), counter(5062)])
        assert "is in use by process" in agent.refused("reload")
        assert ask(agent.store, "status")["rules_stand"]
    assert "counter port 5062 added" in agent.call("reload")
    sent = send(topology, 5062, 20)
    assert volume(agent.counters()["port 5062", "out", "wire"], "nflog_") == sent


def test_a_sink_that_moves_up_in_the_file_keeps_what_waits_for_it(
    topology: Topology, tmp_path: Path, agent: Agent
) -> None:
    agent.configure(sinks=files(tmp_path, "gone.csv", "nowhere/late.csv"))
    agent.start()
    sent = send(topology, 5060, 100)
    agent.report()
    agent.configure(sinks=files(tmp_path, "nowhere/late.csv"))
    assert agent.call("reload").splitlines() == ["sink file removed"]
    agent.kill()
    (tmp_path / "nowhere").mkdir()
    agent.start()
    assert agent.stop() == 0
    assert in_file(tmp_path / "nowhere/late.csv")["T1", "out"] == sent
