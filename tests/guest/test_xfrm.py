"""SAs of a real kernel: both readers agree on live ones; tunnels stay exact through what becomes of SAs."""

from __future__ import annotations

import itertools
import socket
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from ipsecmon.account.tunnel_match import Place, TunnelMatcher, TunnelRule
from ipsecmon.account.tunnels import Tunnels, Volume
from ipsecmon.ipsec import Policy
from ipsecmon.model import Direction, TunnelIncrement
from ipsecmon.sa_table import SaTable
from ipsecmon.wire.ip_xfrm_text import decode_states
from ipsecmon.wire.netlink import Message, pull_messages
from ipsecmon.wire.xfrm import XFRM_MSG_NEWSA, decode_event, decode_sa
from ipsecmon.wire.xfrm_policy import XFRM_MSG_NEWPOLICY, decode_policy
from ipsecmon.wire.xfrm_request import EVENT_GROUPS, encode_policy_dump, encode_sa_dump
from tests.guest.capture import open_xfrm, print_states, receive_dump, receive_events
from tests.guest.topology import CIPHERS, EspTunnel, add_esp_tunnel, add_sas, delete_sas
from tests.netns.agent import in_namespace
from tests.netns.exchange import exchange_udp
from tests.netns.topology import FAR, FAR_LAN, LAN, WAN, Topology
from tests.unit.wire.both_ends import BothEnds

AWAY, HOME = Place("VPN-to-parent", Direction.OUT), Place("VPN-to-parent", Direction.IN)


class Reader:
    """What an agent would do: ask, listen, account. sent: the ground truth, from the sockets at both ends."""

    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self._listening = open_xfrm(topology, EVENT_GROUPS)
        self._asking = open_xfrm(topology)
        self._rules = Volume(0, 0)
        self._sequence = itertools.count(1)
        self._decoder = BothEnds()
        matcher = TunnelMatcher([TunnelRule("VPN-to-parent", peers=frozenset((FAR,)))])
        matcher.learn(self.policies(), ())
        self.tunnels = Tunnels(matcher)
        self.sent: dict[Place, Counter[str]] = {AWAY: Counter(), HOME: Counter()}
        self.told: dict[Place, Counter[str]] = {AWAY: Counter(), HOME: Counter()}

    def close(self) -> None:
        self._listening.close()
        self._asking.close()

    def policies(self) -> list[Policy]:
        self._asking.send(encode_policy_dump(next(self._sequence)))
        return [decode_policy(*found) for found in _messages(receive_dump(self._asking), XFRM_MSG_NEWPOLICY)]

    def sas(self) -> SaTable:
        """What changed since the last dump is decoded; all of it says what each message says alone."""
        self._asking.send(encode_sa_dump(next(self._sequence)))
        dump = receive_dump(self._asking)
        table = self._decoder.table(dump)
        assert list(table) == [decode_sa(*found) for found in _messages(dump, XFRM_MSG_NEWSA)]
        return table

    def poll(self) -> dict[Place, TunnelIncrement]:
        at_s = int(time.time())
        self.tunnels.dump(self.sas(), at_s)
        for datagram in receive_events(self._listening):
            for found in pull_messages(datagram):
                event = decode_event(datagram, found)
                if event is not None:
                    self.tunnels.event(event)
        rules = {place: Volume(sent["octets"], sent["packets"]) for place, sent in self.sent.items()}
        told = {Place(one.key.tunnel, one.key.direction): one for one in self.tunnels.settle(rules, at_s)}
        for place, one in told.items():
            for name in ("octets", "packets", "error_bound_octets", "unseen_ends", "rekeys", "lost_packets"):
                self.told[place][name] += getattr(one, name)
        return told

    def exchange(self, packets: int = 20) -> None:
        """Both ways through the tunnel."""
        away = exchange_udp(self._topology, "lan", "parent", FAR_LAN, packets=packets)
        home = exchange_udp(self._topology, "parent", "lan", LAN, packets=packets, source_address=FAR_LAN)
        for place, done in ((AWAY, away), (HOME, home)):
            assert done.sent == done.received
            self.sent[place].update(octets=done.sent.octets, packets=done.sent.packets)

    def difference(self) -> dict[Place, int]:
        return {place: self.sent[place]["octets"] - self.told[place]["octets"] for place in self.sent}


def _messages(datagrams: list[bytes], kind: int) -> Iterator[tuple[bytes, Message]]:
    for datagram in datagrams:
        yield from ((datagram, found) for found in pull_messages(datagram) if found.kind == kind)


@pytest.fixture
def reader(topology: Topology) -> Iterator[Reader]:
    add_esp_tunnel(topology, EspTunnel())
    made = Reader(topology)
    made.poll()
    yield made
    made.close()


def test_netlink_and_ip_say_the_same_of_live_sas(topology: Topology, reader: Reader) -> None:
    add_sas(topology, EspTunnel(spi=0x200, cipher="cbc"))
    add_sas(topology, EspTunnel(spi=0x300, outer=6))
    reader.exchange()

    said = reader.sas()
    assert list(said) == decode_states(print_states(topology))
    assert len(said) == 6 and sum(sa.packets for sa in said) == 40


def test_a_direction_is_told_by_the_policies_and_not_by_addresses(reader: Reader) -> None:
    reader.exchange()
    told = reader.poll()

    assert set(told) == {AWAY, HOME}
    assert reader.difference() == {AWAY: 0, HOME: 0}


def test_totals_are_exact_through_rekeys_deletions_and_polls_at_any_moment(
    topology: Topology, reader: Reader
) -> None:
    for number in range(1, 7):
        reader.exchange()
        add_sas(topology, EspTunnel(spi=0x100 + 0x10 * number))
        if number % 2:
            reader.poll()
        reader.exchange()
        delete_sas(topology, EspTunnel(spi=0x100 + 0x10 * (number - 1)))
    told = reader.poll()

    assert reader.difference() == {AWAY: 0, HOME: 0}
    assert [reader.told[place]["rekeys"] for place in (AWAY, HOME)] == [6, 6]
    assert not any(total["unseen_ends"] or total["lost_packets"] for total in reader.told.values())
    assert told[AWAY].sas == told[HOME].sas == 1


def test_a_hard_expiry_takes_no_octet_along(topology: Topology, reader: Reader) -> None:
    reader.exchange()
    limit = f"limit time-hard 1 {CIPHERS['gcm'].algorithms.format(0x100)}"  # since they were added
    for source, to, spi in ((WAN, FAR, 0x100), (FAR, WAN, 0x101)):
        state = f"src {source} dst {to} proto esp spi {spi:#x} reqid 1 mode tunnel flag af-unspec"
        topology.ip("router", f"xfrm state update {state} replay-window 64 {limit}\n")
    deadline = time.monotonic() + 10
    while reader.sas() and time.monotonic() < deadline:
        time.sleep(0.2)
    reader.poll()

    assert not reader.sas()
    assert reader.difference() == {AWAY: 0, HOME: 0}
    assert not any(total["unseen_ends"] for total in reader.told.values())


def test_after_a_flush_the_error_is_within_the_bound_that_is_told(topology: Topology, reader: Reader) -> None:
    reader.exchange()
    reader.poll()
    reader.exchange()
    topology.ip("router", "xfrm state flush\n")
    reader.poll()

    for place, missing in reader.difference().items():
        assert missing == reader.sent[place]["octets"] / 2
        assert missing <= reader.told[place]["error_bound_octets"]
        assert reader.told[place]["unseen_ends"] == 1


def test_an_agent_that_starts_again_goes_on_where_the_last_one_left(reader: Reader) -> None:
    reader.exchange()
    reader.poll()
    saved = reader.tunnels.saved()
    reader.exchange()
    matcher = TunnelMatcher([TunnelRule("VPN-to-parent", peers=frozenset((FAR,)))])
    matcher.learn(reader.policies(), ())
    reader.tunnels = Tunnels(matcher, saved)
    told = reader.poll()

    assert reader.difference() == {AWAY: 0, HOME: 0}
    assert told[AWAY].bridged_packets == told[HOME].bridged_packets == 20


def test_esp_that_is_dropped_before_decryption_is_the_path_loss(topology: Topology, reader: Reader) -> None:
    chain = "chain drops { type filter hook prerouting priority -300; meta l4proto esp drop; }"
    topology.run("router", "nft", "-f", "-", text=f"table inet lossy {{\n {chain}\n}}\n".replace("; ", ";\n"))
    with in_namespace(topology.name("parent")), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.bind((FAR_LAN, 0))
        for _ in range(7):
            sender.sendto(b"lost", (LAN, 7000))
    topology.run("router", "nft", "delete", "table", "inet", "lossy")
    reader.exchange()
    told = reader.poll()

    assert told[HOME].lost_packets + told[HOME].open_packets == 7
    assert reader.difference() == {AWAY: 0, HOME: 0}
