"""What hides traffic from rules, or drops it behind them: merged packets, a flowtable, a full queue.

Line (by its interface) and tunnels (by SAs) stay exact against the capture; what rules have less is explained
to the octet, or said. Each test has an agent of its own, whose words are of nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.guest.flows import Flow, Stream
from tests.guest.head_office import ACCOUNTING, HOSTS_OF, HeadOffice, accounted
from tests.guest.line_meter import WAYS, LineMeter
from tests.guest.packets import volume_of
from tests.guest.places import inner_volumes, parts_of
from tests.guest.proof import Observed, assert_exact, observed
from tests.guest.topology import add_esp_tunnel, delete_ipsec
from tests.guest.wire_tap import wait_for_silence
from tests.netns.agent import Agent
from tests.netns.doctor import Doctor
from tests.netns.exchange import LINK_HEADER, Volume

TUNNEL, WEB = "VPN-to-parent", "web"
OCTETS = 150_000
MERGED_HEADERS = 20 + 20 + 12  # IPv4, TCP, and the timestamps that each segment has
SEGMENTS = ("tx", "sg", "gso", "tso")
# as with real interfaces, nothing larger than the MTU is on the wire: wan0 and the parent's do not do TSO
MERGING = (
    ("lan", "eth0", (*SEGMENTS, "gro")),
    ("router", "lan0", (*SEGMENTS, "gro")),
    ("router", "wan0", ("gro",)),
    ("parent", "eth0", (*SEGMENTS[:3], "gro")),
)
FLOWTABLE = """table inet fast {
 flowtable ft {
  hook ingress priority filter
  devices = { lan0, wan0 }
 }
 chain forward {
  type filter hook forward priority filter
  meta l4proto tcp flow add @ft
 }
}
"""
DELAY = "qdisc {} dev router0 root"
HTB = """qdisc add dev wan0 root handle 1: htb default 10
class add dev wan0 parent 1: classid 1:10 htb rate 1544kbit
qdisc add dev wan0 parent 1:10 pfifo limit 30
"""


@pytest.fixture(autouse=True)
def tunnel(office: HeadOffice) -> Iterator[None]:
    add_esp_tunnel(office, ACCOUNTING)
    yield
    delete_ipsec(office)


@pytest.fixture
def office_agent(office: HeadOffice, tunnel: None, tmp_path: Path) -> Iterator[Agent]:
    with accounted(office, tmp_path) as agent:
        yield agent


@pytest.fixture
def line(office_agent: Agent) -> LineMeter:
    return LineMeter(office_agent)


@pytest.fixture(params=[LINK_HEADER, 0], ids=["far-end-with-tso", "far-end-without-tso"])
def merging(request: pytest.FixtureRequest, office: HeadOffice) -> Iterator[int]:
    """GRO and TSO where packets come in and go out, and a line long enough for some to arrive together.

    The octets of link header that the kernel counts inbound: a veth whose far end does no TSO merges what
    comes in, and has taken its header off before it is counted.
    """
    office.run("wire", "tc", *DELAY.format("add").split(), "netem", "delay", "1ms")
    switch(office, "on")
    if not request.param:
        office.run("wire", "ethtool", "-K", "router0", "tso", "off")
    yield request.param
    switch(office, "off")
    office.run("wire", "ethtool", "-K", "router0", "tso", "on")
    office.run("wire", "tc", *DELAY.format("del").split())


def switch(office: HeadOffice, to: str) -> None:
    for role, interface, names in MERGING:
        office.run(role, "ethtool", "-K", interface, *(word for name in names for word in (name, to)))


@pytest.fixture
def flowtable(office: HeadOffice) -> Iterator[None]:
    office.run("router", "nft", "-f", "-", text=FLOWTABLE)
    yield
    office.run("router", "nft", "delete", "table", "inet", "fast")


@pytest.fixture
def slow_line(office: HeadOffice) -> Iterator[None]:
    office.run("router", "tc", "-batch", "-", text=HTB)
    yield
    office.run("router", "tc", "qdisc", "del", "dev", "wan0", "root")


def bulk(office: HeadOffice, line: LineMeter) -> Observed:
    """TCP both ways through the tunnel and, masqueraded, beside it."""
    with observed(office, line) as seen:
        for hosts in ("accounting", "clear"):
            with Stream(office, *HOSTS_OF[hosts], 443) as stream:
                stream.upload(OCTETS)
                stream.download(OCTETS)
        wait_for_silence(office)
    return seen


def assert_line_and_tunnel_exact(
    seen: Observed, parts: Sequence[str] = (), header_in: int = LINK_HEADER
) -> None:
    """By interface and by SAs; and these parts. header_in: octets that the kernel counts of each frame."""
    for way in WAYS:
        passed, frames = seen.passed[way], seen.frames(way)
        headers = len(frames) * (header_in if way == "in" else LINK_HEADER)
        assert passed.nic == Volume(len(frames), volume_of(frames).octets + headers)
        assert passed.terms["link-headers"] == headers
        assert passed.tunnels == inner_volumes(seen.captured, way)
        assert passed.tunnels[TUNNEL].octets > OCTETS
        expected = parts_of(seen.captured, way)
        assert {name: passed.parts[name] for name in parts} == {name: expected[name] for name in parts}


def short(full: Volume, seen: Volume) -> Volume:
    return Volume(full.packets - seen.packets, full.octets - seen.octets)


def test_bulk_is_exact_where_nothing_is_merged(office: HeadOffice, line: LineMeter) -> None:
    seen = bulk(office, line)

    assert_exact(seen)
    assert_line_and_tunnel_exact(seen, (TUNNEL, WEB))


def test_a_flowtable_hides_packets_from_rules_alone_and_the_doctor_names_it(
    office: HeadOffice, office_agent: Agent, line: LineMeter, flowtable: None
) -> None:
    """What goes into a tunnel passes POSTROUTING all the same, on its way to be encrypted."""
    assert Doctor(office, office_agent).kinds() == {"flowtable": "wrong"}
    seen = bulk(office, line)

    assert_line_and_tunnel_exact(seen, (TUNNEL,))
    for way in WAYS:
        passed = seen.passed[way]
        inside = short(passed.tunnels[TUNNEL], passed.inner[TUNNEL])
        beside = short(parts_of(seen.captured, way)[WEB], passed.parts[WEB])
        assert beside.octets > OCTETS / 2, "nothing took the fast path"
        assert inside.octets > OCTETS / 2 if way == "in" else inside == Volume(0, 0)
        assert (passed.unseen, passed.unexplained) == (beside.packets, beside.octets)
        assert passed.word == "disagree"


def test_what_rules_lack_of_merged_packets_is_their_headers_to_the_octet(
    office: HeadOffice, line: LineMeter, merging: int
) -> None:
    """Where the far end of the line does TSO, nothing in the clear is merged inbound."""
    seen = bulk(office, line)

    assert_line_and_tunnel_exact(seen, (TUNNEL,), header_in=merging)
    for way in WAYS:
        passed = seen.passed[way]
        inside = short(passed.tunnels[TUNNEL], passed.inner[TUNNEL])
        beside = short(parts_of(seen.captured, way)[WEB], passed.parts[WEB])
        is_merged = way == "out" or not merging
        assert inside.packets > 0 and (beside.packets > 0) is is_merged, "not merged as expected"
        for lacking in (inside, beside):
            assert lacking.octets == lacking.packets * MERGED_HEADERS
        assert (passed.unseen, passed.unexplained) == (beside.packets, beside.octets)
        assert passed.word == ("explained" if is_merged else "agree")


def test_a_full_queue_is_offered_less_dropped(office: HeadOffice, line: LineMeter, slow_line: None) -> None:
    with (
        Flow(office, *HOSTS_OF["accounting"], 7000) as inside,
        Flow(office, *HOSTS_OF["clear"], 7001) as beside,
        observed(office, line) as seen,
    ):
        offered = [flow.shout(100, 1000) for _ in range(2) for flow in (inside, beside)]
        wait_for_silence(office)

    passed, frames = seen.passed["out"], seen.frames("out")
    dropped = sum(one.packets for one in offered) - len(frames)
    esp = ACCOUNTING.esp_octets(1028)
    assert passed.parts == {TUNNEL: Volume(200, 200 * esp), "other": Volume(200, 200 * 1028)}
    assert passed.tunnels == passed.inner == {TUNNEL: Volume(200, 200 * 1028)}
    assert passed.nic == Volume(len(frames), sum(one.frame_octets for one in frames))
    carried = volume_of(frames)
    assert dropped > 0 and passed.line.packets - dropped == carried.packets
    assert passed.terms["qdisc-drops"] + passed.unexplained == carried.octets - passed.line.octets
    assert (passed.unseen, passed.word) == (0, "explained")  # to the packet; octets of drops are an estimate
