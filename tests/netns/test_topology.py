"""The network that other tests measure in is itself exact: no frame but those sent, and none lost."""

from __future__ import annotations

import subprocess
import time

import pytest

from tests.netns.exchange import Volume, carried, exchange_tcp, exchange_udp
from tests.netns.topology import FAR, FAR6, FAR_LAN, LAN, LAN6, Topology
from tests.netns.topology import topology as make_topology

MLD_REPORTS_WITHIN_S = 2.5  # RFC 3810 9.11: an interface reports itself within 1 s, twice


def test_nothing_is_sent_that_no_test_sends(topology: Topology) -> None:
    time.sleep(MLD_REPORTS_WITHIN_S)  # the kernel's own timers: no clock of ours to move

    for role, interface in topology.interfaces():
        nic = topology.nic(role, interface)
        assert (nic.in_packets, nic.out_packets) == (0, 0), (role, interface)


def test_twenty_thousand_udp_packets_arrive_and_the_nics_counted_just_them(topology: Topology) -> None:
    done = exchange_udp(topology, "lan", "inet", FAR, packets=20_000, sizes=(12, 472, 1372), rate=40_000)

    assert done.sent == done.received
    assert done.sent.octets == sum((40, 500, 1400)[number % 3] for number in range(20_000))
    assert carried(topology.nic("router", "lan0")) == (done.sent, Volume(0, 0))
    assert carried(topology.nic("router", "wan0")) == (Volume(0, 0), done.sent)


@pytest.mark.parametrize(
    ("source", "target", "to"),
    [("inet", "lan", LAN), ("inet", "lan", LAN6), ("lan", "inet", FAR6), ("lan", "inet", FAR_LAN)],
)
def test_udp_passes_both_ways_in_both_families(topology: Topology, source: str, target: str, to: str) -> None:
    done = exchange_udp(topology, source, target, to, packets=100)

    header = 48 if ":" in to else 28
    assert done.sent == done.received == Volume(100, 100 * (100 + header))


@pytest.mark.parametrize(("source", "target", "to"), [("lan", "inet", FAR), ("inet", "lan", LAN6)])
def test_both_nics_of_the_router_agree_on_a_tcp_transfer(
    topology: Topology, source: str, target: str, to: str
) -> None:
    done = exchange_tcp(topology, source, target, to, octets=1_000_000)

    lan_in, lan_out = carried(topology.nic("router", "lan0"))
    wan_in, wan_out = carried(topology.nic("router", "wan0"))
    assert done.sent == done.received == Volume(0, 1_000_000)
    assert (lan_in, lan_out) == (wan_out, wan_in)
    assert (wan_out if source == "lan" else wan_in).octets > 1_000_000


def test_with_offloads_a_frame_holds_many_segments() -> None:
    with make_topology(offloads=True) as made:
        exchange_tcp(made, "lan", "inet", FAR, octets=1_000_000)

        assert made.nic("router", "lan0").in_packets < 1_000_000 / 1500


def test_its_namespaces_are_gone_after_a_failure() -> None:
    with pytest.raises(ZeroDivisionError), make_topology() as made:
        names = [made.name(role) for role in ("lan", "router", "inet")]
        made.start("router", "sleep", "100")
        raise ZeroDivisionError

    left = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    assert not [name for name in names if name in left]
