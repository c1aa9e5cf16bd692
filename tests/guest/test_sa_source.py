"""SAs as main gets them from a real helper, while ip(8) rekeys, flushes, and the helper is killed."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from ipsecmon.account.tunnel_match import Place, TunnelMatcher, TunnelRule
from ipsecmon.account.tunnels import Tunnels
from ipsecmon.agent.observe import Counters
from ipsecmon.helper import xfrm
from ipsecmon.helper.client import Helper
from ipsecmon.ipsec import SaEnd, SaEvent, SaFlush, SaNews, SecurityAssociation
from ipsecmon.model import Direction
from ipsecmon.sources.xfrm import XfrmSource
from ipsecmon.wire.netlink import pull_messages
from ipsecmon.wire.xfrm import XFRM_MSG_NEWSA, decode_sa
from ipsecmon.wire.xfrm_request import encode_sa_dump
from tests.guest.capture import open_xfrm, receive_dump
from tests.guest.topology import EspTunnel, add_esp_tunnel, add_sas, delete_sas
from tests.netns.agent import in_namespace
from tests.netns.exchange import exchange_udp
from tests.netns.topology import FAR, FAR_LAN, LAN, Topology
from tests.unit.ruleset.plans import small_plan
from tests.unit.wire.both_ends import listed

AWAY, HOME = Place("VPN-to-parent", Direction.OUT), Place("VPN-to-parent", Direction.IN)


@pytest.fixture
def helper(topology: Topology) -> Iterator[Helper]:
    add_esp_tunnel(topology, EspTunnel())
    made = Helper(small_plan("ipsecmon_test_of_sas"))
    with in_namespace(topology.name("router")):
        made.start()
    yield made
    made.stop()


@pytest.fixture
def source(helper: Helper) -> XfrmSource:
    made = XfrmSource(helper, "netlink", Counters())
    made.start()
    return made


def kernel_sas(topology: Topology) -> list[SecurityAssociation]:
    """As a dump of our own says them."""
    with open_xfrm(topology) as asking:
        asking.send(encode_sa_dump(1))
        dump = receive_dump(asking)
    found = ((one, message) for one in dump for message in pull_messages(one))
    return [decode_sa(one, message) for one, message in found if message.kind == XFRM_MSG_NEWSA]


def exchange(topology: Topology, packets: int = 10) -> None:
    assert exchange_udp(topology, "lan", "parent", FAR_LAN, packets=packets).received.packets == packets
    home = exchange_udp(topology, "parent", "lan", LAN, packets=packets, source_address=FAR_LAN)
    assert home.received.packets == packets


def told(events: list[SaEvent]) -> list[tuple[type[SaEvent], int]]:
    return [(type(event), getattr(event, "sa").spi) for event in events if hasattr(event, "sa")]  # noqa: B009


def test_a_dump_says_what_the_kernel_says_with_as_few_new_objects_as_possible(
    topology: Topology, source: XfrmSource
) -> None:
    add_sas(topology, EspTunnel(spi=0x300, outer=6))
    first, policies = source.dump()
    assert list(first) == kernel_sas(topology) and len(first) == 4
    assert policies is not None
    assert {policy.direction for policy in policies if not policy.is_socket} == {"in", "out", "fwd"}

    again, policies = source.dump()
    assert policies is None and all(one is other for one, other in zip(first, again))

    exchange(topology)
    moved, policies = source.dump()
    assert policies is None and list(moved) == kernel_sas(topology)
    assert [one is other for one, other in zip(first, moved)].count(True) == 2


def test_policies_are_told_again_when_and_only_when_they_changed(
    topology: Topology, source: XfrmSource
) -> None:
    assert source.dump().policies is not None
    topology.ip("router", "xfrm policy add src 10.9.0.0/16 dst 0.0.0.0/0 dir in action block\n")
    changed = source.dump().policies
    assert changed is not None and [policy.is_blocking for policy in changed].count(True) == 1
    add_sas(topology, EspTunnel(spi=0x200))
    assert source.dump().policies is None


def test_rekeys_and_a_flush_are_heard_in_order_and_ends_carry_the_last_counters(
    topology: Topology, source: XfrmSource
) -> None:
    assert source.hear() == ([], False)
    add_sas(topology, EspTunnel(spi=0x200))
    delete_sas(topology, EspTunnel(spi=0x100))
    exchange(topology, 3)
    delete_sas(topology, EspTunnel(spi=0x200))
    topology.ip("router", "xfrm state flush\n")
    add_sas(topology, EspTunnel(spi=0x400))
    topology.ip("router", "xfrm state flush\n")
    events, has_missed = source.hear()

    news, end = ([(kind, spi) for spi in (0x200, 0x201)] for kind in (SaNews, SaEnd))
    assert told(events)[:6] == [*news, (SaEnd, 0x100), (SaEnd, 0x101), *end]
    assert [event.sa.packets for event in events if isinstance(event, SaEnd)] == [0, 0, 3, 3]
    assert isinstance(events[-1], SaFlush) and not has_missed


def test_more_events_than_one_answer_holds_are_heard_at_once(topology: Topology, source: XfrmSource) -> None:
    state = "xfrm state {} src 192.0.2.1 dst 192.0.2.2 proto esp spi {:#x} {}\n"
    rest = f"mode tunnel aead rfc4106(gcm(aes)) 0x{7:040x} 128"
    spis = range(0x2000, 0x2000 + 1200)
    topology.ip("router", "".join(state.format("add", spi, rest) for spi in spis))
    events, has_missed = source.hear()

    assert told(events) == [(SaNews, spi) for spi in spis] and not has_missed
    assert list(source.dump().sas) == kernel_sas(topology)


def test_tunnels_are_exact_through_rekeys_and_a_helper_that_was_killed_at_rest(
    topology: Topology, helper: Helper, source: XfrmSource
) -> None:
    matcher = TunnelMatcher([TunnelRule("VPN-to-parent", peers=frozenset((FAR,)))])
    tunnels = Tunnels(matcher)
    packets: Counter[Place] = Counter()
    missed = []

    def poll() -> None:
        sas, policies = source.dump()
        if policies is not None:
            matcher.learn(policies, ())
        tunnels.dump(sas, int(time.time()))
        heard = source.hear()
        missed.append(heard.has_missed)
        for event in heard.events:
            tunnels.event(event)
        if heard.has_missed:
            tunnels.miss_events()
        for one in tunnels.settle({}, int(time.time())):
            packets[Place(one.key.tunnel, one.key.direction)] += one.packets

    poll()
    for number in range(1, 5):
        exchange(topology)
        add_sas(topology, EspTunnel(spi=0x100 + 0x10 * number))
        exchange(topology)
        if number == 3:
            poll()
            os.kill(helper.pid, signal.SIGKILL)
            poll()
        delete_sas(topology, EspTunnel(spi=0x100 + 0x10 * (number - 1)))
    poll()

    assert packets == {AWAY: 80, HOME: 80}
    assert missed == [False, False, True, False]


def test_after_a_helper_was_killed_all_is_told_again_and_events_were_missed(
    topology: Topology, helper: Helper, source: XfrmSource
) -> None:
    before = source.dump()
    assert before.policies is not None
    add_sas(topology, EspTunnel(spi=0x200))
    os.kill(helper.pid, signal.SIGKILL)

    assert source.hear() == ([], True)
    assert source.hear() == ([], False)
    assert listed(source.dump()) == (kernel_sas(topology), None)
    os.kill(helper.pid, signal.SIGKILL)
    assert list(source.dump().sas) == kernel_sas(topology)
    assert source.hear().has_missed


def test_an_overrun_says_that_events_were_missed_until_all_were_read(
    topology: Topology, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(xfrm, "_EVENT_BUFFER", 1 << 14)
    with in_namespace(topology.name("router")):
        reader = xfrm.NetlinkSaReader()
        assert reader.changes(True).total == 0
    for number in range(20):
        add_sas(topology, EspTunnel(spi=0x100 + 0x10 * number))
    first = reader.events(2)
    second = reader.events(1000)
    assert first.has_missed and first.has_more and second.has_missed and not second.has_more
    assert 0 < len(first.events + second.events) < 40
    assert reader.events(1000) == ([], False, False)
    assert reader.changes(True).total == 40
    reader.close()


def test_no_record_holds_a_key(topology: Topology, helper: Helper) -> None:
    helper.sa_events("netlink")
    key = "0123456789abcdef" * 2 + "01234567"
    state = "src 192.0.2.1 dst 192.0.2.2 proto esp spi 0x2001"
    algorithms = f"mode tunnel aead rfc4106(gcm(aes)) 0x{key} 128"
    topology.ip("router", f"xfrm state add {state} {algorithms}\nxfrm state delete {state}\n")
    topology.ip("router", f"xfrm state add {state} {algorithms}\n")
    records = helper.sa_dump("netlink", 0).records + helper.sa_events("netlink").records

    assert records.count(b"192.0.2.2") == 4
    assert bytes.fromhex(key)[:8] not in records and key[:8].encode() not in records
