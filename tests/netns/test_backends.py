"""The promise with each iptables: every packet once, by rule counters and by nfacct, in both flavours."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.netns.agent import Agent, volume
from tests.netns.backends import BACKENDS
from tests.netns.everything import COUNTERS, PACKETS, Key, line_of, send_everything
from tests.netns.exchange import LINK_HEADER, Volume
from tests.netns.topology import topology as make_topology


@dataclass(frozen=True)
class Lab:
    """sent: what each counter must show on the wire, by (name, direction)."""

    agent: Agent
    sent: dict[Key, Volume]


@pytest.fixture(scope="module", params=[name for name in BACKENDS if name != "nft"])
def lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with make_topology() as topology:
        settings = {"counters": COUNTERS, **BACKENDS[request.param]}
        agent = Agent(topology, tmp_path_factory.mktemp("backend"), settings)
        try:
            agent.start()
            sent = send_everything(topology, tcp_octets=1_000_000)
            agent.report()
            yield Lab(agent, sent)
        finally:
            agent.end()


def test_the_store_has_exactly_what_was_sent_and_the_nic_carried(lab: Lab) -> None:
    report = lab.agent.report()
    found = {(row["name"], row["direction"]): volume(row) for row in report["counters"] if row["packets"]}
    nic = {row["direction"]: row for row in report["interfaces"]}

    assert found == {**lab.sent, **{("T1", way): line_of(lab.sent, way) for way in ("in", "out")}}
    for way in ("in", "out"):
        line = line_of(lab.sent, way)
        assert lab.sent["voip", way].packets == 2 * PACKETS
        assert nic[way]["frames"] == line.packets
        assert nic[way]["octets"] == line.octets + line.packets * LINK_HEADER


def test_copies_equal_the_kernel_counters_with_nothing_lost_or_pending(lab: Lab) -> None:
    for row in lab.agent.counters().values():
        assert volume(row) == volume(row, "nflog_")
        assert (row["lost_packets"], row["pending_packets"], row["bridged_packets"]) == (0, 0, 0)
