"""What a veth counts of each frame: the link header too, or not (ipsecmon/sources/veth.py says when)."""

from __future__ import annotations

import contextlib
import itertools
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ipsecmon.model import CounterKey, Direction, ObservationPoint, Reading
from ipsecmon.sources.interfaces import InterfaceSource
from tests.netns.agent import Agent, in_namespace
from tests.netns.exchange import LINK_HEADER, exchange_udp
from tests.netns.topology import FAR, LAN, Topology

IN, OUT = Direction.IN, Direction.OUT
NIC, HEADERS = ObservationPoint.NIC, ObservationPoint.LINK_HEADERS
PACKETS = 50
NEAR_VETH = """link add near0 type veth peer name near1
link set near0 multicast off addrgenmode none arp off
link set near1 multicast off addrgenmode none arp off
link set near0 up
link set near1 up
addr add 192.0.2.1/24 dev near0
neigh add 192.0.2.2 lladdr 02:00:00:00:00:02 dev near0
"""
SEND_NEAR = f"""import socket
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for _ in range({PACKETS}):
    sender.sendto(bytes(100 - 28), ("192.0.2.2", 9))
"""


def switch(topology: Topology, role: str, interface: str, **to: str) -> None:
    topology.run(role, "ethtool", "-K", interface, *(word for one in to.items() for word in one))


def send(topology: Topology, way: str) -> int:
    """IP octets of PACKETS that pass the line."""
    if way == "in":
        done = exchange_udp(topology, topology.far, "lan", LAN, packets=PACKETS, source_address=FAR)
    else:
        done = exchange_udp(topology, "lan", topology.far, FAR, packets=PACKETS)
    return done.sent.octets


class Meter:
    """An interface of the router, read in place."""

    def __init__(self, topology: Topology, name: str, source: InterfaceSource) -> None:
        self._topology = topology
        self._name = name
        self._source = source
        self._before = self._poll()

    def passed(self, way: Direction) -> tuple[int, int, int]:
        """Since the last time: octets of the interface, of link headers, and frames of which these are."""
        before, self._before = self._before, self._poll()
        keys = [CounterKey(self._name, way, point) for point in (NIC, HEADERS)]
        nic, headers = ((self._before[key], before[key]) for key in keys)
        assert headers[0].birth == headers[1].birth
        octets, header_octets = (now.octets - was.octets for now, was in (nic, headers))
        return octets, header_octets, headers[0].packets - headers[1].packets

    def _poll(self) -> dict[CounterKey, Reading]:
        with in_namespace(self._topology.name("router")):
            return {one.key: one for one in self._source.poll()}


@contextlib.contextmanager
def metered(topology: Topology, name: str) -> Iterator[Meter]:
    source = InterfaceSource([name])
    with in_namespace(topology.name("router")):
        source.start()
    try:
        yield Meter(topology, name, source)
    finally:
        source.stop()


@pytest.fixture
def wan(topology: Topology) -> Iterator[Meter]:
    with metered(topology, "wan0") as made:
        yield made


def test_of_what_comes_in_it_is_known_frame_by_frame(topology: Topology, wan: Meter) -> None:
    """GRO here and no TSO there: without. All four cases, one after the other, in one life of the counter."""
    topology.run(topology.far, "ethtool", "-K", "eth0", "tx", "on", "sg", "on")
    for gro, tso in itertools.product(("on", "off"), repeat=2):
        switch(topology, "router", "wan0", gro=gro)
        switch(topology, topology.far, "eth0", tso=tso)
        ip_octets = send(topology, "in")
        header = 0 if (gro, tso) == ("on", "off") else LINK_HEADER
        assert wan.passed(IN) == (ip_octets + PACKETS * header, PACKETS * header, PACKETS), (gro, tso)


@pytest.mark.parametrize("gro", ["on", "off"])
def test_what_goes_out_with_tso_has_it_whatever_the_other_end_does(
    topology: Topology, wan: Meter, gro: str
) -> None:
    switch(topology, topology.far, "eth0", gro=gro)
    ip_octets = send(topology, "out")

    assert wan.passed(OUT) == (ip_octets + PACKETS * LINK_HEADER, PACKETS * LINK_HEADER, PACKETS)


@pytest.mark.parametrize(("gro", "header"), [("on", 0), ("off", LINK_HEADER)])
def test_of_what_goes_out_without_tso_to_an_end_elsewhere_nothing_is_known(
    topology: Topology, gro: str, header: int
) -> None:
    switch(topology, "router", "wan0", tso="off")
    switch(topology, topology.far, "eth0", gro=gro)
    with metered(topology, "wan0") as wan:
        ip_octets = send(topology, "out")
        assert wan.passed(OUT) == (ip_octets + PACKETS * header, 0, 0)


@pytest.mark.parametrize(("gro", "header"), [("on", 0), ("off", LINK_HEADER)])
def test_of_what_goes_out_to_an_end_that_is_here_it_is_known(
    topology: Topology, gro: str, header: int
) -> None:
    topology.sysctl("router", net__ipv6__conf__default__disable_ipv6=1)
    topology.ip("router", NEAR_VETH)
    switch(topology, "router", "near0", tso="off")
    switch(topology, "router", "near1", gro=gro)
    with metered(topology, "near0") as near:
        topology.run("router", sys.executable, "-c", SEND_NEAR)
        assert near.passed(OUT) == (PACKETS * (100 + header), PACKETS * header, PACKETS)


@pytest.fixture
def agent(topology: Topology, tmp_path: Path) -> Iterator[Agent]:
    made = Agent(topology, tmp_path, {"line": {"name": "T1", "interface": "wan0"}})
    switch(topology, "router", "wan0", tso="off")
    made.start()
    yield made
    made.end()


def outbound(agent: Agent) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(agent.call("line", "--json", "--now"))["out"]
    return found


@pytest.mark.parametrize(("gro", "header"), [("on", 0), ("off", LINK_HEADER)])
def test_where_it_is_not_known_the_line_takes_what_closes_to_the_octet(
    topology: Topology, agent: Agent, gro: str, header: int
) -> None:
    switch(topology, topology.far, "eth0", gro=gro)
    send(topology, "out")
    found = outbound(agent)

    assert (found["agreement"], found["terms"]["link-headers"]) == ("agree", PACKETS * header)


def test_where_nothing_closes_the_line_says_that_it_is_not_known(topology: Topology, agent: Agent) -> None:
    for gro in ("on", "off"):
        switch(topology, topology.far, "eth0", gro=gro)
        send(topology, "out")
    found = outbound(agent)

    assert (found["agreement"], found["terms"]["link-headers"]) == ("explained", None)
    assert found["unexplained_octets"] == PACKETS * LINK_HEADER
    assert found["bounds"]["link-headers"] == {"least": 0, "most": 2 * PACKETS * 18}
    assert f"link headers of {2 * PACKETS} frames are not known" in found["reasons"][0]
