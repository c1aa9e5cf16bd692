"""Qdiscs of many kinds: they count what tc(8) shows, and adding one again in the same way is no change."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from ipsecmon.account.tc_changes import differences
from ipsecmon.sources.tc import TcSource
from tests.netns.agent import in_namespace
from tests.netns.exchange import exchange_udp
from tests.netns.topology import FAR, LAN, Topology

PACKETS = 200
SHOWN = {"octets": "bytes", "packets": "packets", "drops": "drops", "overlimits": "overlimits"}
EXTRAS = {
    "fq_codel": {"new_flows": "new_flow_count", "ecn_marks": "ecn_mark", "memory_drops": "drop_overmemory"},
}
QDISCS = (
    "fq_codel limit 600 flows 32 memory_limit 1mb ecn",
    "cake bandwidth 100mbit",
    "sfq perturb 10 limit 60 redflowlimit 100000 min 8000 max 60000 probability 0.1",
    "red limit 400000 min 30000 max 90000 avpkt 1000 burst 55 adaptive bandwidth 10mbit",
    "netem delay 1ms",
    "prio",
)


@pytest.fixture
def source(topology: Topology) -> Iterator[TcSource]:
    with in_namespace(topology.name("router")):
        made = TcSource()
        made.start()
        yield made
        made.stop()


def tc(topology: Topology, *words: str) -> str:
    return topology.run("router", "tc", *words)


def test_what_a_policer_drops_is_told_of_the_ingress(topology: Topology, source: TcSource) -> None:
    police = "action police rate 400kbit burst 4kb conform-exceed drop"
    tc(topology, "qdisc", "add", "dev", "wan0", "ingress")
    try:
        tc(topology, *f"filter add dev wan0 parent ffff: protocol ip matchall {police}".split())
        source.configuration(["wan0"])
        source.poll(["wan0"])
        assert source.last is not None and source.last.ingress["wan0"].drops == 0
        passed = exchange_udp(topology, "parent", "lan", LAN, packets=PACKETS, rate=5000)
        source.poll(["wan0"])
        assert source.last.ingress["wan0"].drops == passed.sent.packets - passed.received.packets > 0
    finally:
        tc(topology, "qdisc", "del", "dev", "wan0", "ingress")


@pytest.mark.parametrize("qdisc", QDISCS, ids=lambda text: text.split()[0])
def test_a_qdisc_counts_as_tc_shows_it_and_is_the_same_when_added_again(
    topology: Topology, source: TcSource, qdisc: str
) -> None:
    add = ("qdisc", "add", "dev", "wan0", "root", *qdisc.split())
    tc(topology, *add)
    before = source.configuration(["wan0"])["wan0"]
    exchange_udp(topology, "lan", "parent", FAR, packets=PACKETS, rate=5000)
    source.poll(["wan0"])
    assert source.last is not None, source.error
    shown: list[dict[str, Any]] = json.loads(tc(topology, "-s", "-j", "qdisc", "show", "dev", "wan0"))
    mine = {one.key.handle: one for one in source.last.readings}
    for row in shown:
        names = {**SHOWN, **EXTRAS.get(row["kind"], {})}
        assert {name: mine[row["handle"]].numbers[name] for name in names} == {
            name: row.get(names[name], 0) for name in names
        }
    assert differences(before, source.configuration(["wan0"])["wan0"]) == []
    source.hear()
    tc(topology, "qdisc", "del", "dev", "wan0", "root")
    (end,) = source.hear().ends
    assert end.numbers["packets"] == shown[0]["packets"] > 0
    tc(topology, *add)
    assert differences(before, source.configuration(["wan0"])["wan0"]) == []
    tc(topology, "qdisc", "del", "dev", "wan0", "root")
    assert differences(before, source.configuration(["wan0"])["wan0"]) != []
