"""Qdiscs and classes of a real kernel: what they count, and their changes as events in store and sinks."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ipsecmon.qos import QUEUE_SUMS
from tests.netns.agent import Agent
from tests.netns.exchange import LINK_HEADER, Volume, carried, exchange_udp
from tests.netns.topology import FAR, LAN, Topology
from tests.unit.store.queue_cases import queue_intervals

FRAME = 100 + 28 + LINK_HEADER  # octets of a packet with 100 octets of payload, as a qdisc counts it
WITHIN_S = 30.0
TBF = "qdisc replace dev wan0 root handle 9: tbf rate 100mbit burst 100kb limit 1mb"
HTB = """qdisc replace dev wan0 root handle 1: htb default 20
class add dev wan0 parent 1: classid 1:1 htb rate 100mbit
class add dev wan0 parent 1:1 classid 1:10 htb rate 60mbit ceil 100mbit
class add dev wan0 parent 1:1 classid 1:20 htb rate 40mbit ceil 100mbit
qdisc add dev wan0 parent 1:10 handle 10: tbf rate 100mbit burst 100kb limit 1mb
filter add dev wan0 parent 1: protocol ip prio 1 u32 match ip dport 7000 0xffff flowid 1:10
"""

BOTTLENECK = """qdisc add dev wan0 root handle 1: htb default 20
class add dev wan0 parent 1: classid 1:1 htb rate 1544kbit
class add dev wan0 parent 1:1 classid 1:10 htb rate 1mbit ceil 1544kbit
class add dev wan0 parent 1:1 classid 1:20 htb rate 500kbit ceil 1544kbit
qdisc add dev wan0 parent 1:10 handle 10: pfifo limit 20
qdisc add dev wan0 parent 1:20 handle 20: pfifo limit 20
filter add dev wan0 parent 1: protocol ip prio 1 u32 match ip dport 7000 0xffff flowid 1:10
"""
SHOWN = {
    "octets": "bytes",
    "packets": "packets",
    "drops": "drops",
    "overlimits": "overlimits",
    "requeues": "requeues",
}
CLASS = re.compile(
    r"^class htb (\S+) .*\n Sent (\d+) bytes (\d+) pkt \(dropped (\d+), overlimits (\d+) requeues (\d+)\)",
    re.M,
)


@pytest.fixture
def agent(topology: Topology, tmp_path: Path) -> Iterator[Agent]:
    sinks = [{"file": {"path": str(tmp_path / "points"), "format": "line-protocol"}}]
    made = Agent(topology, tmp_path, {"sinks": sinks})
    yield made
    made.end()


def tc(topology: Topology, script: str) -> None:
    topology.run("router", "tc", "-batch", "-", text=script + "\n")


def shown(topology: Topology, what: str, interface: str = "wan0") -> dict[str, dict[str, Any]]:
    """What tc(8) says, by handle."""
    rows = json.loads(topology.run("router", "tc", "-s", "-j", what, "show", "dev", interface))
    return {row["handle"]: row for row in rows}


def sums(agent: Agent, interface: str = "wan0") -> dict[str, dict[str, int]]:
    """What history says, by handle, of all intervals."""
    agent.report()
    found: dict[str, dict[str, int]] = {}
    for one in queue_intervals(agent.store):
        if one.increment.key.interface == interface:
            total = found.setdefault(one.increment.key.handle, dict.fromkeys(QUEUE_SUMS, 0))
            for name in QUEUE_SUMS:
                total[name] += getattr(one.increment, name)
    return found


def events(agent: Agent) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(agent.call("events", "--json"))["events"]
    return found


def awaited(agent: Agent, number: int) -> list[dict[str, Any]]:
    """Events, as soon as there are so many: a change is looked at two seconds after it was heard of."""
    deadline = time.monotonic() + WITHIN_S
    while len(found := events(agent)) < number:
        assert time.monotonic() < deadline, (found, agent.log())
        time.sleep(0.3)
    return found


def send(topology: Topology, packets: int, port: int = 7000) -> None:
    exchange_udp(topology, "lan", "inet", FAR, port=port, packets=packets, rate=5000)


def test_counters_are_what_tc_shows_and_what_was_sent(topology: Topology, agent: Agent) -> None:
    tc(topology, HTB)
    agent.start()
    send(topology, 300)
    send(topology, 200, port=9999)
    found = sums(agent)

    assert (found["1:10"]["packets"], found["1:10"]["octets"]) == (300, 300 * FRAME)
    assert (found["1:20"]["packets"], found["1:20"]["octets"]) == (200, 200 * FRAME)
    for handle, row in {**shown(topology, "qdisc"), **_classes(topology)}.items():
        assert {name: found[handle][name] for name in SHOWN} == {name: row[SHOWN[name]] for name in SHOWN}


def _classes(topology: Topology) -> dict[str, dict[str, int]]:
    """What tc(8) says of classes, which this iproute2 has no JSON for."""
    text = topology.run("router", "tc", "-s", "class", "show", "dev", "wan0")
    return {handle: dict(zip(SHOWN.values(), map(int, numbers))) for handle, *numbers in CLASS.findall(text)}


def test_nothing_is_lost_or_doubled_when_a_qdisc_is_replaced(topology: Topology, agent: Agent) -> None:
    """Also by one of the same name that has counted more than the old one by the next reading."""
    tc(topology, TBF)
    agent.configure(interval="60s")
    agent.start()
    send(topology, 100)
    tc(topology, "qdisc del dev wan0 root")
    tc(topology, TBF)
    send(topology, 300)
    tc(topology, HTB)
    send(topology, 50)
    found = sums(agent)

    assert (found["9:"]["packets"], found["9:"]["octets"]) == (400, 400 * FRAME)
    assert found["1:"]["packets"] == found["1:10"]["packets"] == found["10:"]["packets"] == 50


def test_a_restart_goes_on_where_the_last_run_ended(topology: Topology, agent: Agent) -> None:
    tc(topology, HTB)
    send(topology, 10)
    agent.start()
    send(topology, 100)
    agent.stop()
    send(topology, 70)
    agent.start()
    send(topology, 30)
    found = sums(agent)["1:10"]

    assert (found["packets"], found["bridged_packets"]) == (200, 70)


def test_a_full_queue_s_drops_and_backlog_are_told_by_class(topology: Topology, agent: Agent) -> None:
    tc(topology, "qdisc add dev wan0 root handle 9: tbf rate 1544kbit burst 2kb limit 20kb")
    agent.start()
    exchange_udp(topology, "lan", "inet", FAR, packets=300, sizes=(972,), rate=20_000)
    found = sums(agent)["9:"]

    assert found["drops"] == shown(topology, "qdisc")["9:"]["drops"] > 0


def test_of_a_bottleneck_each_class_tells_what_arrived_and_what_did_not(
    topology: Topology, agent: Agent
) -> None:
    tc(topology, BOTTLENECK)
    agent.start()
    arrived = {handle: squeezed(topology, port) for handle, port in (("1:10", 7000), ("1:20", 9999))}
    found = sums(agent)

    for handle, behind in arrived.items():
        told = found[handle]
        assert 0 < told["drops"] == 300 - behind.packets
        assert Volume(told["packets"], told["octets"] - LINK_HEADER * told["packets"]) == behind
    assert found["1:"]["drops"] == sum(found[handle]["drops"] for handle in arrived)


def squeezed(topology: Topology, port: int) -> Volume:
    """Of 300 packets, much faster than the line: what the far end got by the time all had left."""
    before, _ = carried(topology.nic("inet", "eth0"))
    exchange_udp(topology, "lan", "inet", FAR, port, packets=300, sizes=(972,), rate=5000)
    deadline = time.monotonic() + WITHIN_S
    while shown(topology, "qdisc")["1:"]["qlen"]:
        assert time.monotonic() < deadline
    after, _ = carried(topology.nic("inet", "eth0"))
    return Volume(after.packets - before.packets, after.octets - before.octets)


def test_ingress_that_is_redirected_to_an_ifb_is_followed_there_and_is_the_line_s(
    topology: Topology, agent: Agent, tmp_path: Path
) -> None:
    topology.ip("router", "link add ifb7 type ifb\nlink set ifb7 up\n")
    tc(
        topology,
        "qdisc add dev wan0 handle ffff: ingress\n"
        "filter add dev wan0 parent ffff: protocol ip u32 match u32 0 0"
        " action mirred egress redirect dev ifb7\n"
        "qdisc add dev ifb7 root handle 7: tbf rate 100mbit burst 100kb limit 1mb",
    )
    agent.start()
    exchange_udp(topology, "inet", "lan", LAN, packets=200, rate=5000)

    behind, ingress = sums(agent, "ifb7")["7:"], sums(agent)["ffff:"]
    assert (behind["packets"], behind["octets"]) == (200, 200 * FRAME)
    assert (ingress["packets"], ingress["octets"]) == (200, 200 * (FRAME - LINK_HEADER))
    agent.stop()
    tags = {one.partition(" ")[0] for one in (tmp_path / "points").read_text().splitlines()}
    assert {one for one in tags if one.startswith("qdisc,")} == {
        "qdisc,direction=in,handle=7:,interface=ifb7,kind=tbf,line=T1,parent=root,router=lab",
        "qdisc,direction=in,handle=ffff:,interface=wan0,kind=ingress,line=T1,parent=ffff:fff1,router=lab",
    }


def test_clsact_counts_what_comes_in_and_what_goes_out_in_one_number(
    topology: Topology, agent: Agent
) -> None:
    """So that it is of neither direction."""
    tc(topology, "qdisc add dev wan0 clsact")
    for way in ("ingress", "egress"):
        tc(topology, f"filter add dev wan0 {way} protocol ip u32 match u32 0 0 flowid 1:1")
    agent.start()
    exchange_udp(topology, "inet", "lan", LAN, packets=50, rate=5000)
    send(topology, 30)

    assert sums(agent)["ffff:"]["packets"] == 80


def test_a_changed_qdisc_is_one_event_in_store_and_sink(
    topology: Topology, agent: Agent, tmp_path: Path
) -> None:
    tc(topology, TBF)
    agent.start()
    before_ns = time.time_ns()
    tc(topology, HTB)
    after_ns = time.time_ns()
    (event,) = awaited(agent, 1)

    assert event["text"] == "wan0: root tbf 9: replaced by htb 1: with 3 classes"
    assert (event["kind"], event["interface"]) == ("qdisc-changed", "wan0")
    assert before_ns <= event["start_ns"] == event["end_ns"] <= after_ns + 10**9
    tc(topology, "class change dev wan0 parent 1:1 classid 1:10 htb rate 70mbit ceil 100mbit")
    change = awaited(agent, 2)[1]
    assert change["text"] == "wan0: class 1:10 (htb) rate 60Mbit -> 70Mbit"
    agent.report()
    agent.stop()
    lines = [one for one in (tmp_path / "points").read_text().splitlines() if one.startswith("event,")]
    assert [one for one in lines if one.endswith(f" {event['start_ns']}")] == [
        "event,interface=wan0,kind=qdisc-changed,router=lab "
        f'count=1i,end_ms={event["end_ns"] // 10**6}i,text="{event["text"]}" {event["start_ns"]}'
    ]
    assert len(lines) == 2


def test_queues_and_changes_of_every_line_and_each_of_its_interfaces_are_told(
    topology: Topology, agent: Agent
) -> None:
    """Also of a line that a reload adds."""
    agent.configure(line={"name": "T1", "interface": ["wan0", "lan0"]})
    for name in ("wan0", "lan0", "lo"):
        tc(topology, TBF.replace("wan0", name))
    agent.start()
    send(topology, 100)
    exchange_udp(topology, "inet", "lan", LAN, packets=70, rate=5000)
    lines = [{"name": "T1", "interface": ["wan0", "lan0"]}, {"name": "T2", "interface": "lo"}]
    agent.configure(line=lines)
    agent.call("reload")
    before = len(events(agent))
    for name in ("wan0", "lan0", "lo"):
        tc(topology, TBF.replace("wan0", name).replace("100mbit", "50mbit"))
    changes = awaited(agent, before + 3)[before:]

    assert sums(agent)["9:"]["packets"] == 100 and sums(agent, "lan0")["9:"]["packets"] == 70
    assert sorted((one["interface"], one["text"]) for one in changes) == [
        (name, f"{name}: qdisc tbf 9: at root rate 100Mbit -> 50Mbit") for name in ("lan0", "lo", "wan0")
    ]


def test_what_is_added_again_in_the_same_way_is_no_change(topology: Topology, agent: Agent) -> None:
    tc(topology, HTB)
    agent.start()
    tc(topology, "qdisc del dev wan0 root")
    tc(topology, HTB)
    tc(topology, "filter add dev wan0 parent 1: protocol ip prio 1 u32 match ip dport 80 0xffff flowid 1:20")
    (event,) = awaited(agent, 1)

    assert event["text"] == "wan0: filters of 1: (1 -> 2)"


def test_a_change_while_no_agent_ran_is_found_at_start(topology: Topology, agent: Agent) -> None:
    tc(topology, TBF)
    agent.start()
    agent.stop()
    tc(topology, HTB)
    agent.start()
    (event,) = awaited(agent, 1)

    assert event["text"] == "wan0: root tbf 9: replaced by htb 1: with 3 classes (while no agent ran)"
    assert event["start_ns"] < event["end_ns"]
    agent.stop()
    tc(topology, "qdisc del dev wan0 root")
    tc(topology, HTB)
    agent.start()
    assert len(events(agent)) == 1


def test_marks_are_kept_with_their_times_with_an_agent_and_without(
    topology: Topology, agent: Agent, tmp_path: Path
) -> None:
    agent.start()
    agent.call("mark", "VoIP first\x1b\n", "--at", "2026-11-22T14:30Z", "--end", "2026-11-22T15:00Z")
    agent.stop()
    agent.call("mark", "while nobody ran", "--at", "2026-11-23T10:00Z")
    agent.start()
    agent.report()

    found = json.loads(agent.call("report", "--json", "--since", "52w"))["events"]
    assert [(one["kind"], one["text"], one["start"], one["end"]) for one in found] == [
        ("mark", "VoIP first", "2026-11-22T14:30:00.000Z", "2026-11-22T15:00:00.000Z"),
        ("mark", "while nobody ran", "2026-11-23T10:00:00.000Z", "2026-11-23T10:00:00.000Z"),
    ]
    agent.stop()
    lines = [one for one in (tmp_path / "points").read_text().splitlines() if one.startswith("event,")]
    assert [one.rpartition(" ")[2] for one in lines] == ["1795357800000000000", "1795428000000000000"]
    assert 'end_ms=1795359600000i,text="VoIP first"' in lines[0]


def test_changed_and_repaired_rules_are_events(topology: Topology, agent: Agent) -> None:
    agent.start()
    agent.configure(counters=[{"name": "web", "match": {"proto": "tcp", "port": 443}}])
    agent.call("reload")
    topology.run("router", "nft", "flush", "table", "inet", "ipsecmon")
    agent.report()
    agent.report()
    found = [(one["kind"], one["text"]) for one in events(agent)]
    assert found == [
        ("rules-changed", "rules: counter web (wire) added"),
        ("rules-repaired", "rules: ours were changed or removed, put back"),
    ]
    agent.stop()
    agent.configure(counters=[])
    agent.start()
    assert events(agent)[-1]["text"] == "rules: counter web (wire) removed (while no agent ran)"
