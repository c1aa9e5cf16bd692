"""What comes in is shaped by an ifb with HTB on it: `ipsecmon compare` before and after its classes get other
rates, held against what arrived behind it, socket by socket and by the kernel's time of each packet.
"""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from ipsecmon.cli.ranges import iso_time
from tests.netns.agent import Agent
from tests.netns.exchange import LINK_HEADER
from tests.netns.namespaces import in_namespace
from tests.netns.topology import FAR, LAN, Topology
from tests.netns.topology import topology as make_topology

NS = 10**9
SO_TIMESTAMPNS = 35  # asm-generic/socket.h
SHAPER = """qdisc add dev wan0 handle ffff: ingress
filter add dev wan0 parent ffff: protocol ip u32 match u32 0 0 action mirred egress redirect dev ifb0
qdisc add dev ifb0 root handle 1: htb default 20
class add dev ifb0 parent 1: classid 1:1 htb rate 1200kbit
class add dev ifb0 parent 1:1 classid 1:10 htb rate 400kbit ceil 400kbit
class add dev ifb0 parent 1:1 classid 1:20 htb rate 700kbit ceil 700kbit
qdisc add dev ifb0 parent 1:10 handle 10: pfifo limit 5
qdisc add dev ifb0 parent 1:20 handle 20: pfifo limit 5
filter add dev ifb0 parent 1: protocol ip prio 1 u32 match ip dport 7000 0xffff flowid 1:10
"""
CHANGE = """class change dev ifb0 parent 1:1 classid 1:10 htb rate 700kbit ceil 700kbit
class change dev ifb0 parent 1:1 classid 1:20 htb rate 300kbit ceil 300kbit
"""
PORTS = {"1:10": 7000, "1:20": 7001}
PAYLOAD = 972
PACKET = PAYLOAD + 28
OFFERED = 100  # packets a second to each port: 811 kbit/s with link headers
SETTLING_S, SECONDS = 2, 12


@dataclass(frozen=True)
class Lab:
    """windows: [start_ns, end_ns) before and after. arrived_ns: of each packet behind it, by class."""

    agent: Agent
    windows: tuple[tuple[int, int], tuple[int, int]]
    arrived_ns: dict[str, list[int]]

    def compare(self) -> dict[str, Any]:
        before, after = ("..".join(map(iso_time, one)) for one in self.windows)
        arguments = ("compare", "--json", "--before", before, "--after", after)
        document: dict[str, Any] = json.loads(self.agent.call(*arguments))
        return document

    def arrived(self, handle: str, window: tuple[int, int]) -> int:
        return sum(window[0] <= one < window[1] for one in self.arrived_ns[handle])


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with make_topology() as topology:
        topology.ip("router", "link add ifb0 type ifb\nlink set ifb0 up\n")
        topology.run("router", "tc", "-batch", "-", text=SHAPER)
        agent = Agent(topology, tmp_path_factory.mktemp("ingress"), {})
        try:
            agent.start()
            yield shaped(topology, agent)
        finally:
            agent.end()


def shaped(topology: Topology, agent: Agent) -> Lab:
    with ExitStack() as stack:
        with in_namespace(topology.name("lan")):
            behind = {handle: stack.enter_context(_udp((LAN, port))) for handle, port in PORTS.items()}
        for one in behind.values():
            one.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        with in_namespace(topology.name("inet")):
            sender = stack.enter_context(_udp((FAR, 7100)))
        began_ns = _next_second_ns()
        offer(sender, began_ns, SETTLING_S + SECONDS)
        topology.run("router", "tc", "-batch", "-", text=CHANGE)
        changed_ns = _next_second_ns()
        offer(sender, changed_ns, SETTLING_S + SECONDS)
        agent.report()
        arrived = {handle: list(_times(one)) for handle, one in behind.items()}
    begins = (began_ns + SETTLING_S * NS, changed_ns + SETTLING_S * NS)
    before, after = ((one, one + SECONDS * NS) for one in begins)
    return Lab(agent, (before, after), arrived)


def offer(sender: socket.socket, begin_ns: int, seconds: int) -> None:
    """To both ports in turn, at OFFERED from then on."""
    for number in range(OFFERED * seconds):
        left_ns = begin_ns + number * NS // OFFERED - time.time_ns()
        time.sleep(max(0, left_ns) / NS)  # the rate of what is offered
        for port in PORTS.values():
            sender.sendto(bytes(PAYLOAD), (LAN, port))


def _next_second_ns() -> int:
    """Where intervals begin, not yet come."""
    return (time.time_ns() // NS + 2) * NS


def _udp(address: tuple[str, int]) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    made.bind(address)
    made.setblocking(False)
    return made


def _times(behind: socket.socket) -> Iterator[int]:
    """When the kernel got each packet that waits."""
    while True:
        try:
            payload, told, _, _ = behind.recvmsg(2048, 64)
        except BlockingIOError:
            return
        assert len(payload) == PAYLOAD
        seconds, ns = struct.unpack("ll", told[0][2])
        yield seconds * NS + ns


def queue_rows(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(one["direction"], one["name"]): one for one in document["rows"] if one["kind"] == "queue"}


def test_each_class_has_its_true_rate_and_drops_in_both_windows(lab: Lab) -> None:
    found = queue_rows(lab.compare())

    for handle in PORTS:
        row = found["in", f"ifb0 htb {handle}"]
        for side, window in zip(("before", "after"), lab.windows):
            arrived = lab.arrived(handle, window)
            truth = arrived * (PACKET + LINK_HEADER) * 8 / SECONDS
            assert row[side]["mean_bits_per_s"] == pytest.approx(truth, rel=0.02), (handle, side)
            dropped = OFFERED * SECONDS - arrived
            assert row[side]["missing_packets"] == pytest.approx(dropped, abs=0.02 * OFFERED * SECONDS)
            assert dropped > 0.1 * OFFERED * SECONDS


def test_all_classes_together_are_what_the_line_s_rules_counted_behind_them(lab: Lab) -> None:
    """But for link headers; and the ingress in front of them passed on all that was sent."""
    document = lab.compare()
    found = queue_rows(document)
    (line,) = [one for one in document["rows"] if (one["kind"], one["direction"]) == ("line", "in")]

    for side, window in zip(("before", "after"), lab.windows):
        arrived = sum(lab.arrived(handle, window) for handle in PORTS)
        assert found["in", "ifb0 htb 1:"][side]["octets"] == pytest.approx(
            arrived * (PACKET + LINK_HEADER), rel=0.005
        )
        assert line[side]["octets"] == pytest.approx(arrived * PACKET, rel=0.005)
        offered = len(PORTS) * OFFERED * SECONDS * PACKET  # there the kernel counts no link headers
        assert found["in", "ingress ffff:"][side]["octets"] == pytest.approx(offered, rel=0.005)


def test_nothing_of_them_is_in_a_row_of_what_goes_out(lab: Lab) -> None:
    document = lab.compare()
    outbound = [one for one in document["rows"] if one["direction"] == "out"]

    assert not any(name.startswith(("ifb0", "ingress")) for way, name in queue_rows(document) if way == "out")
    assert not any(one[side]["octets"] for one in outbound for side in ("before", "after"))
