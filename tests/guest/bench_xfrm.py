"""What a poll of many SAs costs, beside decoding all of a dump, and beside ip(8). In the guest, as root:

    tests/guest/run-guest -t 300 '.venv/bin/python -m tests.guest.bench_xfrm [SAS]...'

First a whole poll by helper and main, and ip(8)'s own CPU, before any parsing (bench_poll.py). Then recv,
decoding and settling in one process, in ms, the best of ROUNDS.
The SAs carry nothing here: to see what changed counters cost, a share of them is changed in the datagrams.
"""

from __future__ import annotations

import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from ipsecmon.account.tunnel_match import TunnelMatcher, TunnelRule
from ipsecmon.account.tunnels import Tunnels
from ipsecmon.ipsec import SecurityAssociation
from ipsecmon.sa_table import SaTable
from ipsecmon.wire.netlink import pull_attributes, pull_messages
from ipsecmon.wire.sa_dumps import DumpDecoder
from ipsecmon.wire.sa_records import encode_dump
from ipsecmon.wire.xfrm import XFRM_MSG_NEWSA, decode_sa
from ipsecmon.wire.xfrm_dump import SaDumpDecoder
from ipsecmon.wire.xfrm_request import encode_sa_dump
from tests.guest.bench_poll import bench_polls
from tests.guest.capture import open_xfrm, receive_dump
from tests.netns.topology import WAN
from tests.netns.topology import topology as make_topology

ROUNDS = 15
PEERS = 100
INFO_OCTETS, COUNTERS_AT = 224, 160  # struct xfrm_usersa_info, its curlft
XFRMA_REPLAY_VAL = 10
GCM = "aead rfc4106(gcm(aes)) 0x{:040x} 128"
Result = TypeVar("Result")


def main(arguments: list[str]) -> None:
    for count in [int(one) for one in arguments] or [2000]:
        bench(count)


def bench(count: int) -> None:
    subprocess.run(["modprobe", "ipv6"], check=True)
    with make_topology("parent") as topology:
        topology.ip("router", "".join(map(state, range(count))))
        asking = open_xfrm(topology)
        rows = {name: min(costs) for name, costs in measure(asking).items()}
        asking.close()
        topology.ip("router", "xfrm state flush\n")
        for name, cost_ms in bench_polls(topology, count):
            print(f"{count} SAs, both processes: {name:32} {cost_ms:8.2f}", flush=True)
    best = rows["poll, nothing changed"]
    for name, cost_ms in rows.items():
        print(f"{count} SAs: {name:32} {cost_ms:8.2f} ms   x {cost_ms / best:.1f}", flush=True)


def state(number: int) -> str:
    """A line for ip(8): in and out by turns."""
    peer = f"198.51.100.{number // 2 % PEERS + 1}"
    source, to = (WAN, peer) if number % 2 else (peer, WAN)
    ends = f"src {source} dst {to} proto esp spi {0x1000 + number:#x} reqid {number // 2 % PEERS + 1}"
    return f"xfrm state add {ends} mode tunnel replay-window 32 {GCM.format(number + 1)}\n"


def measure(asking: socket.socket) -> dict[str, list[float]]:
    """ms of each round. Writing into datagrams is in none of them."""
    costs: dict[str, list[float]] = {}
    for name, every in (("nothing changed", 0), ("a tenth changed", 10), ("all changed", 1)):
        poll = Poll()
        for packets in range(ROUNDS + 1):
            dump, recv_ms = timed(lambda: ask(asking))
            changed = [with_packets(one, packets, every) for one in dump]
            _, plain_ms = timed(partial(plain, changed))
            table, decode_ms = timed(partial(poll.decode, changed))
            _, settle_ms = timed(partial(poll.settle, table))
            if packets:
                costs.setdefault("recv", []).append(recv_ms)
                costs.setdefault("recv, all decoded, no settling", []).append(recv_ms + plain_ms)
                costs.setdefault(f"poll, {name}", []).append(recv_ms + decode_ms + settle_ms)
                costs.setdefault(f"  decoding, {name}", []).append(decode_ms)
                costs.setdefault(f"  settling, {name}", []).append(settle_ms)
    return costs


class Poll:
    """What an agent has."""

    def __init__(self) -> None:
        self._helpers, self._mains = SaDumpDecoder(), DumpDecoder()
        peers = (f"198.51.100.{one + 1}" for one in range(PEERS))
        matcher = TunnelMatcher([TunnelRule(peer, peers=frozenset((peer,))) for peer in peers])
        matcher.learn((), (WAN,))
        self.tunnels = Tunnels(matcher)

    def decode(self, dump: list[bytes]) -> SaTable:
        """By helper and main."""
        return self._mains.decode(encode_dump(self._helpers.decode(dump), None)).sas

    def settle(self, table: SaTable) -> None:
        self.tunnels.dump(table, 1)
        self.tunnels.settle({}, 2)


def ask(asking: socket.socket) -> list[bytes]:
    asking.send(encode_sa_dump(1))
    return receive_dump(asking)


def plain(dump: list[bytes]) -> list[SecurityAssociation]:
    found = ((one, message) for one in dump for message in pull_messages(one))
    return [decode_sa(one, message) for one, message in found if message.kind == XFRM_MSG_NEWSA]


def with_packets(datagram: bytes, packets: int, every: int) -> bytes:
    """As if so many had come in order by one of so many SAs; none by none."""
    octets = bytearray(datagram)
    messages = [one for one in pull_messages(datagram) if one.kind == XFRM_MSG_NEWSA]
    for message in messages[::every] if every else ():
        counters = 1000 * packets, 1000 + packets
        struct.pack_into("=2Q", octets, message.start + COUNTERS_AT, *counters)
        for kind, start, _ in pull_attributes(datagram, message.start + INFO_OCTETS, message.end):
            if kind == XFRMA_REPLAY_VAL:
                struct.pack_into("=3I", octets, start, 0, 1000 + packets, 0xFFFFFFFF)
    return bytes(octets)


def timed(work: Callable[[], Result]) -> tuple[Result, float]:
    began = time.perf_counter()
    result = work()
    return result, (time.perf_counter() - began) * 1000


if __name__ == "__main__":
    main(sys.argv[1:])
