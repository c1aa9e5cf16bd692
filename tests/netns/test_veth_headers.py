"""What a veth counts of each frame: with GRO it counts what comes in behind the link header."""

from __future__ import annotations

import pytest

from ipsecmon.model import CounterKey, Direction, ObservationPoint, Reading
from ipsecmon.sources.interfaces import InterfaceSource
from tests.netns.agent import in_namespace
from tests.netns.exchange import exchange_udp
from tests.netns.topology import FAR, LAN, Topology

IN = Direction.IN
PACKETS = 50


def octets(readings: list[Reading], point: ObservationPoint) -> int:
    (found,) = (one.octets for one in readings if one.key == CounterKey("wan0", IN, point))
    return found


@pytest.mark.parametrize("gro", ["off", "on"])
def test_octets_less_link_headers_are_those_of_ip(topology: Topology, gro: str) -> None:
    topology.run("router", "ethtool", "-K", "wan0", "gro", gro)
    with in_namespace(topology.name("router")):
        source = InterfaceSource(["wan0"])
        source.start()
        before = source.poll()
        done = exchange_udp(topology, topology.far, "lan", LAN, packets=PACKETS, source_address=FAR)
        after = source.poll()
        source.stop()
    topology.run("router", "ethtool", "-K", "wan0", "gro", "off")

    nic, headers = (
        octets(after, point) - octets(before, point)
        for point in (ObservationPoint.NIC, ObservationPoint.LINK_HEADERS)
    )
    assert nic - headers == done.sent.octets
    assert headers == (0 if gro == "on" else 14 * PACKETS)
