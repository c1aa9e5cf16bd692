"""`rules: manual`: an administrator's rules, of each program, are counted exactly and never touched."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.netns.agent import Agent, volume
from tests.netns.documented import documented_settings, run_documented_commands
from tests.netns.exchange import LINK_HEADER, TRAFFIC, Volume, exchange_udp
from tests.netns.topology import FAR, FAR6, LAN, LAN6, Topology

SIZES = (12, 472, 1372)
SETTINGS: dict[str, Any] = {
    "rules": "manual",
    "counters": [
        {
            "name": "voip",
            "nflog": [
                {"group": 31, "direction": "in"},
                {"group": 32, "direction": "out"},
            ],
        },
        {"name": "rest", "nflog": {"group": 33, "direction": "out"}},
        {"name": "phones", "nflog": {"group": 34, "direction": "out", "observed_at": "inner"}},
    ],
}
IN, OUT = ("voip", "in", "wire"), ("voip", "out", "wire")
REST, INSIDE = ("rest", "out", "wire"), ("phones", "out", "inner")

IPTABLES = """*mangle
-A PREROUTING -i wan0 -p udp --dport 5060 -m comment --comment "a \\"b c" -j NFLOG --nflog-group 31
-A POSTROUTING -o wan0 -p udp --dport 5060 -m mark --mark 0 -j NFLOG --nflog-group 32 --nflog-size 64
-A POSTROUTING -o wan0 -p udp --dport 5060 -j NFLOG --nflog-group 34 --nflog-size 64
-A POSTROUTING -o wan0 -p udp --dport 5060 -j ACCEPT
-A POSTROUTING -o wan0 -j NFLOG --nflog-group 33 --nflog-size 64
COMMIT
"""
NFT = """
flush ruleset
table inet mine {
 counter inside { }
 chain incoming {
  type filter hook prerouting priority -150
  iifname wan0 udp dport 5060 counter log group 31 snaplen 64
 }
 chain leaving {
  type filter hook postrouting priority -150
  oifname wan0 udp dport 5060 log group 32 snaplen 64 counter
  oifname wan0 udp dport 5060 counter name inside log group 34 snaplen 64 accept
  oifname wan0 counter log group 33 snaplen 64
 }
}
"""
FLAVOURS = ("nft", "iptables-nft", "iptables-legacy")


def load(topology: Topology, flavour: str) -> None:
    """An administrator's firewall script: the second time, a reload."""
    if flavour == "nft":
        topology.run("router", "nft", "-f", "-", text=NFT)
        return
    _, _, variant = flavour.partition("-")
    for version in ("iptables", "ip6tables"):
        topology.run("router", f"{version}-{variant}-restore", text=IPTABLES)


def listed(topology: Topology) -> list[str]:
    """Every rule of the router, without what it has counted."""
    said = topology.run("router", "nft", "-s", "list", "ruleset")
    for version in ("iptables", "ip6tables"):
        said += topology.run("router", f"{version}-legacy-save")
    return [line for line in said.splitlines() if not line.startswith((":", "#"))]


@pytest.fixture(params=FLAVOURS)
def flavour(request: pytest.FixtureRequest, topology: Topology) -> str:
    load(topology, request.param)
    return str(request.param)


@pytest.fixture
def agent(topology: Topology, tmp_path: Path) -> Iterator[Agent]:
    made = Agent(topology, tmp_path, SETTINGS)
    yield made
    made.end()


def send(topology: Topology, packets: int, to: str = FAR, port: int = 5060, rate: int = 20_000) -> Volume:
    source, target = ("inet", "lan") if to in (LAN, LAN6) else ("lan", "inet")
    done = exchange_udp(topology, source, target, to, port=port, packets=packets, sizes=SIZES, rate=rate)
    assert done.sent == done.received
    return done.sent


def total(*volumes: Volume) -> Volume:
    return Volume(sum(one.packets for one in volumes), sum(one.octets for one in volumes))


def test_rules_of_each_program_are_counted_exactly_and_left_alone(
    topology: Topology, agent: Agent, flavour: str
) -> None:
    before = listed(topology)
    agent.start()
    sent = {
        IN: total(send(topology, 3000, LAN), send(topology, 2000, LAN6)),
        OUT: total(send(topology, 3000), send(topology, 2000, FAR6)),
        REST: total(send(topology, 700, port=9), send(topology, 300, FAR6, port=9)),
    }
    sent[INSIDE] = sent[OUT]

    report = agent.report()
    rows = {(row["name"], row["direction"], row["observed_at"]): row for row in report["counters"]}
    line = {("T1", "in", "wire"): sent[IN], ("T1", "out", "wire"): total(sent[OUT], sent[REST])}
    assert {key: volume(row) for key, row in rows.items()} == {**sent, **line}
    for key, row in rows.items():
        assert volume(row) == volume(row, "nflog_"), key
        assert (row["lost_packets"], row["pending_packets"], row["bridged_packets"]) == (0, 0, 0)
    for nic in report["interfaces"]:
        carried = line["T1", nic["direction"], "wire"]
        assert (nic["frames"], nic["octets"]) == (
            carried.packets,
            carried.octets + carried.packets * LINK_HEADER,
        )
    assert "installed" in agent.call("status")
    assert agent.stop() == 0
    assert listed(topology) == before


def test_a_kill_and_a_restart_are_bridged_exactly(topology: Topology, agent: Agent, flavour: str) -> None:
    agent.start()
    before = send(topology, 1000)
    agent.kill()
    meanwhile = send(topology, 3000, rate=6000)
    agent.start()
    after = send(topology, 500)

    row = agent.counters()[OUT]
    assert volume(row) == total(before, meanwhile, after)
    assert row["packets"] == row["nflog_packets"] + row["bridged_packets"]
    assert row["lost_packets"] == row["pending_packets"] == 0


def test_a_reload_that_zeroes_the_counters_costs_and_doubles_nothing_at_rest(
    topology: Topology, agent: Agent, flavour: str
) -> None:
    agent.start()
    first = send(topology, 700)
    agent.report()
    load(topology, flavour)
    second = send(topology, 500)

    row = agent.counters()[OUT]
    told = json.loads(agent.call("events", "--json"))["events"]
    # legacy iptables does not tell rules that were loaded anew from those that stood
    assert [one["kind"] for one in told] == ["rules-changed"] * (flavour != "iptables-legacy")
    assert volume(row) == volume(row, "nflog_") == total(first, second)
    assert row["lost_packets"] == row["pending_packets"] == 0


def test_what_a_reload_may_have_cost_has_an_upper_bound(
    topology: Topology, agent: Agent, flavour: str
) -> None:
    """Nothing tells when within the interval it was: at most all that the interface counted in it."""
    agent.configure(interval="60s")
    agent.start()
    before = send(topology, 300)
    agent.report()
    missed = send(topology, 200)
    load(topology, flavour)
    after = send(topology, 100)
    report = agent.report()
    bound = {row["direction"]: row for row in report["rules_gone"]}["out"]
    told = json.loads(agent.call("line", "--json"))["out"]

    row = next(
        row for row in report["counters"] if (row["name"], row["direction"], row["observed_at"]) == OUT
    )
    assert volume(row) == total(before, after)
    assert bound["frames"] == missed.packets + after.packets
    assert bound["octets"] == missed.octets + after.octets + bound["frames"] * LINK_HEADER
    assert told["agreement"] == "explained" and told["bounds"]["rules-gone"]["most"] == bound["octets"]
    assert "rules did not stand all the time" in agent.log()


def test_rules_that_are_gone_for_good_are_told_once_and_bounded(topology: Topology, agent: Agent) -> None:
    load(topology, "nft")
    agent.start()
    send(topology, 100)
    agent.report()
    topology.run("router", "nft", "flush", "ruleset")
    lost = [send(topology, 50), send(topology, 70)]
    report = [agent.report() for _ in range(3)][-1]

    bound = {row["direction"]: row for row in report["rules_gone"]}["out"]
    assert bound["frames"] == sum(one.packets for one in lost)
    assert agent.log().count("rules did not stand all the time") == 1


def test_reloads_under_traffic_cost_at_most_what_passed_since_the_last_poll(
    topology: Topology, agent: Agent, flavour: str
) -> None:
    agent.start()
    amount = ("--packets", "20000", "--rate", "4000", "--sizes", "12,472,1372")
    sender = topology.start("lan", *TRAFFIC, "send", FAR, "5060", *amount)
    for _ in range(3):
        time.sleep(1.3)  # somewhere inside an interval
        agent.report()
        load(topology, flavour)
    sender.communicate(timeout=60)

    row = agent.counters()[OUT]
    # `flush ruleset`: a packet that is in the old chain when the new one is committed goes through both
    passed_twice = row["nflog_packets"] - 20_000
    assert 0 <= passed_twice <= (3 if flavour == "nft" else 0)
    assert 20_000 - 3 * 2000 < row["packets"] <= 20_000 + passed_twice
    assert row["lost_packets"] == row["pending_packets"] == 0


def test_rules_changed_while_nobody_looked_are_a_baseline_and_never_counted_twice(
    topology: Topology, agent: Agent, flavour: str
) -> None:
    agent.start()
    before = send(topology, 300)
    agent.report()
    agent.kill()
    load(topology, flavour)
    meanwhile = send(topology, 200)
    agent.start()
    after = send(topology, 100)

    known = total(before, after)
    # legacy iptables names no life of a rule: one that reads less than it was left at has begun at 0
    expected = total(known, meanwhile) if flavour == "iptables-legacy" else known
    assert volume(agent.counters()[OUT]) == expected
    assert "began afresh" in agent.log() or flavour == "iptables-legacy"


def test_rules_loaded_with_the_counters_of_a_dump_are_counted_once(
    topology: Topology, agent: Agent, flavour: str
) -> None:
    agent.start()
    first = send(topology, 500)
    agent.report()
    load_again(topology, flavour)
    second = send(topology, 300)

    row = agent.counters()[OUT]
    assert volume(row) == volume(row, "nflog_") == total(first, second)


def load_again(topology: Topology, flavour: str) -> None:
    """The dump of what is there, with its counters, in one transaction."""
    if flavour == "nft":
        dumped = topology.run("router", "nft", "list", "ruleset")
        topology.run("router", "nft", "-f", "-", text=f"flush ruleset\n{dumped}")
        return
    _, _, variant = flavour.partition("-")
    dumped = topology.run("router", f"iptables-{variant}-save", "-c")
    topology.run("router", f"iptables-{variant}-restore", "-c", text=dumped)


def test_what_is_amiss_with_the_rules_is_said_and_rules_may_come_later(
    topology: Topology, agent: Agent
) -> None:
    topology.run("router", "nft", "-f", "-", text=NFT.replace("counter log group 31", "log group 31"))
    topology.run("router", "nft", "flush", "chain", "inet", "mine", "leaving")
    agent.start()

    assert "group 32 (voip out, wire): no rule logs to it: iptables -t mangle -A POSTROUTING" in agent.log()
    assert "group 31 (voip in, wire): the rule in table inet mine chain incoming handle" in agent.log()
    assert "has no counter beside its log statement: write counter before log group 31" in agent.log()
    topology.run("router", "nft", "-f", "-", text=NFT)
    sent = send(topology, 100)
    row = agent.counters()[OUT]
    assert volume(row) == volume(row, "nflog_") == sent
    assert "every group has a rule with a counter again" in agent.log()
    said = agent.call("rules", "status")
    assert f"group 32 (voip out, wire): rules=1 packets={sent.packets} octets={sent.octets}" in said


def test_with_rules_off_the_interface_alone_is_counted(topology: Topology, tmp_path: Path) -> None:
    agent = Agent(topology, tmp_path, {"rules": "off"})
    try:
        agent.start()
        sent = send(topology, 300)
        report = agent.report()
        assert report["counters"] == []
        out = next(nic for nic in report["interfaces"] if nic["direction"] == "out")
        assert (out["frames"], out["octets"]) == (sent.packets, sent.octets + sent.packets * LINK_HEADER)
        assert topology.run("router", "nft", "list", "ruleset") == ""
    finally:
        agent.end()


def test_rules_are_neither_installed_nor_removed(topology: Topology, agent: Agent) -> None:
    load(topology, "nft")
    before = listed(topology)
    for verb in ("install", "remove"):
        with pytest.raises(AssertionError, match="the rules are your own"):
            agent.call("rules", verb)
    assert "# group 31 (voip in, wire)" in agent.call("rules", "show")
    assert listed(topology) == before


@pytest.mark.parametrize("variant", ["nft", "legacy"])
def test_the_documented_rules_count_clear_traffic_exactly(
    topology: Topology, tmp_path: Path, variant: str
) -> None:
    run_documented_commands(topology, variant)
    agent = Agent(topology, tmp_path, documented_settings())
    try:
        agent.start()
        out, back = send(topology, 500), send(topology, 400, LAN)
        rows = agent.counters()
        for direction, sent in (("out", out), ("in", back)):
            assert volume(rows["rest", direction, "wire"]) == volume(rows["T1", direction, "wire"]) == sent
            assert volume(rows["VPN-to-parent", direction, "wire"]).packets == 0
        assert agent.call("rules", "status").count("rules=1 ") == 6
    finally:
        agent.end()
