"""A full line before and after the VPN gets its share of it: what `ipsecmon compare` says, held against a
capture behind the queue.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from ipsecmon.cli.main import cli
from ipsecmon.cli.ranges import iso_time
from tests.guest.flows import Flow
from tests.guest.head_office import ACCOUNTING, HOSTS_OF, HeadOffice
from tests.guest.packets import ESP, Packet, decode_frame
from tests.guest.topology import add_esp_tunnel, delete_ipsec
from tests.guest.wire_tap import PACKET_OUTGOING, PACKET_STATISTICS, SOL_PACKET, open_tap, wait_for_silence
from tests.netns.agent import Agent

NS = 10**9
SO_TIMESTAMPNS = 35  # asm-generic/socket.h
TUNNEL = "VPN-to-parent"
ONE_QUEUE = """qdisc add dev wan0 root handle 1: htb default 10
class add dev wan0 parent 1: classid 1:10 htb rate 1544kbit
qdisc add dev wan0 parent 1:10 pfifo limit 30
"""
VPN_FIRST = """qdisc del dev wan0 root
qdisc add dev wan0 root handle 1: htb default 20
class add dev wan0 parent 1: classid 1:1 htb rate 1544kbit
class add dev wan0 parent 1:1 classid 1:10 htb rate 1200kbit ceil 1544kbit
class add dev wan0 parent 1:1 classid 1:20 htb rate 344kbit ceil 1544kbit
qdisc add dev wan0 parent 1:10 pfifo limit 30
qdisc add dev wan0 parent 1:20 pfifo limit 30
filter add dev wan0 parent 1: protocol ip prio 1 u32 match ip protocol 50 0xff flowid 1:10
"""
SECONDS = 54  # of each window, in intervals of 1 s: enough to tell on a busy machine too
SETTLING_S = 2
TICK_S = 0.05
PACKETS = 7.5  # of each flow in a tick, on average: both together are two thirds more than the line takes
OCTETS = 1000


@dataclass
class Captured:
    """Packets that left the queue, and when."""

    packets: list[tuple[int, Packet]]

    def bits_per_s(self, start_ns: int, end_ns: int, in_vpn: bool) -> float:
        there = [one for at_ns, one in self.packets if start_ns <= at_ns < end_ns and one.way == "out"]
        return (
            sum(one.octets for one in there if (one.protocol == ESP) is in_vpn) * 8 * NS / (end_ns - start_ns)
        )


@dataclass(frozen=True)
class Lab:
    """The ends of the time before and of the time after, wall clock."""

    agent: Agent
    captured: Captured
    began_ns: int
    changed_ns: int
    ended_ns: int

    def compare(self, *arguments: str) -> dict[str, Any]:
        result = CliRunner().invoke(cli, ["compare", "-c", str(self.agent.config), "--json", *arguments])
        assert result.exit_code == 0, result.output
        document: dict[str, Any] = json.loads(result.stdout)
        return document


@pytest.fixture(scope="module")
def lab(office: HeadOffice, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Two windows of the same, then the change, then one more."""
    add_esp_tunnel(office, ACCOUNTING)
    office.run("router", "tc", "-batch", "-", text=ONE_QUEUE)
    line = {"name": "T1", "interface": "wan0", "capacity": "1544kbit"}
    counters = [{"name": TUNNEL, "ipsec": {"peer": HOSTS_OF["clear"][1].address}}]
    agent = Agent(office, tmp_path_factory.mktemp("compare"), {"line": line, "counters": counters})
    try:
        agent.start()
        yield competed(office, agent)
    finally:
        agent.end()
        office.run("router", "tc", "qdisc", "del", "dev", "wan0", "root")
        office.run("router", "nft", "delete", "table", "inet", "ipsecmon")
        delete_ipsec(office)


def competed(office: HeadOffice, agent: Agent) -> Lab:
    with (
        Flow(office, *HOSTS_OF["accounting"], 7000) as inside,
        Flow(office, *HOSTS_OF["clear"], 7001) as beside,
        open_tap(office) as tap,
    ):
        tap.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        began_ns = time.time_ns()
        compete(inside, beside, SETTLING_S + 2 * SECONDS)
        changed_ns = time.time_ns()
        office.run("router", "tc", "-batch", "-", text=VPN_FIRST)
        compete(inside, beside, SETTLING_S + SECONDS)
        result = CliRunner().invoke(cli, ["report", "-c", str(agent.config), "--now"])
        assert result.exit_code == 0, result.output
        ended_ns = time.time_ns()
        wait_for_silence(office)
        captured = Captured(stamped(tap))
    return Lab(agent, captured, began_ns + SETTLING_S * NS, changed_ns, ended_ns)


def compete(inside: Flow, beside: Flow, seconds: float) -> None:
    """UDP in the tunnel and beside it, at random, more than the line takes."""
    rng = np.random.default_rng(1)
    began = time.monotonic()
    for tick in range(round(seconds / TICK_S)):
        time.sleep(max(0.0, began + tick * TICK_S - time.monotonic()))  # the rate of what is offered
        packets = [inside] * rng.poisson(PACKETS) + [beside] * rng.poisson(PACKETS)
        for place in rng.permutation(len(packets)):
            packets[place].shout(1, OCTETS)


def stamped(tap: socket.socket) -> list[tuple[int, Packet]]:
    """As drain() of wire_tap.py, with the kernel's time of each frame."""
    found = []
    with contextlib.suppress(BlockingIOError):
        while True:
            frame, told, _, sender = tap.recvmsg(2048, 64, socket.MSG_DONTWAIT)
            seconds, ns = struct.unpack("ll", told[0][2])
            found.append(
                (seconds * NS + ns, decode_frame("in" if sender[2] == PACKET_OUTGOING else "out", frame))
            )
    seen, lost = struct.unpack("II", tap.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
    assert (seen, lost) == (len(found), 0)
    return found


def rows(document: Mapping[str, Any], direction: str = "out") -> dict[str, dict[str, Any]]:
    return {
        one["kind"]: one
        for one in document["rows"]
        if one["direction"] == direction and one["kind"] != "part"
    }


def moments(document: Mapping[str, Any], lab: Lab) -> dict[str, tuple[int, int]]:
    """Of the windows that were compared."""
    change_ns = document["event"]["start_ns"]
    length_ns = SECONDS * NS
    return {
        "before": (change_ns - length_ns, change_ns),
        "after": (change_ns, min(change_ns + length_ns, lab.ended_ns)),
    }


def test_the_change_is_found_and_both_sides_have_their_true_rates(lab: Lab) -> None:
    document = lab.compare("--event", "last", "--window", f"{SECONDS}s")

    assert document["event"]["kind"] == "qdisc-changed"
    assert abs(document["event"]["start_ns"] - lab.changed_ns) < 2 * NS
    found = rows(document)
    for kind, in_vpn in (("vpn", True), ("other", False)):
        for side, (start_ns, end_ns) in moments(document, lab).items():
            truth = lab.captured.bits_per_s(start_ns, end_ns, in_vpn)
            said = found[kind][side]
            assert said["mean_bits_per_s"] == pytest.approx(truth, rel=0.02), (kind, side)
            assert said["offered_bits_per_s"] > 1.05 * truth, (kind, side)
    assert found["line"]["before"]["missing_share"] > 0.2
    assert found["line"]["after"]["missing_share"] > 0.2


def test_the_vpn_gained_and_everything_else_lost(lab: Lab) -> None:
    document = lab.compare("--event", "last", "--window", f"{SECONDS}s")

    found = rows(document)
    assert (found["vpn"]["verdict_together"], found["other"]["verdict_together"]) == ("more", "less")
    assert found["line"]["verdict_together"] == "no difference"
    assert (found["vpn"]["before"]["surety"], found["vpn"]["after"]["surety"]) == ("spread", "counted")
    (sentence,) = [one["sentence"] for one in document["summary"] if one["direction"] == "out"]
    assert "the VPN carried more" in sentence and "everything else carried less" in sentence


def test_without_a_change_there_is_no_difference(lab: Lab) -> None:
    middle_ns = lab.began_ns + (lab.changed_ns - lab.began_ns) // 2
    began, middle, changed = (iso_time(one) for one in (lab.began_ns, middle_ns, lab.changed_ns))
    found = rows(lab.compare("--before", f"{began}..{middle}", "--after", f"{middle}..{changed}"))

    told = {kind: found[kind]["verdict"] for kind in ("line", "vpn", "other")}
    assert set(told.values()) == {"no difference"}, found
