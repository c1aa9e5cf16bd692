"""A fast packet maker, run as a script inside a namespace; standard library only.

    sender.py INTERFACE LINK_ADDRESS_OF_THE_ROUTER lan|inet PACKETS RATE

Sends at least PACKETS packets, RATE a second at most, and prints {"packets": …} of what it sent. Lengths,
families, protocols and ports are mixed as on an office's line, the same in every run. Packets come in trains
of one flow, as real ones do: the kernel cuts a train into its packets (packet(7) PACKET_VNET_HDR,
linux/virtio_net.h), so that Python can make more of them than a reader can take. Needs Linux 6.2.

A train is cut where it leaves an interface without offloads: each packet passes netfilter by itself.
"""

from __future__ import annotations

import itertools
import json
import random
import socket
import struct
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple

SOL_PACKET, PACKET_VNET_HDR = 263, 15
NEEDS_CHECKSUM = 1
GSO_NONE, GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4 = 0, 1, 4, 5
TCP, UDP, ESP = 6, 17, 50
TRAINS = 600  # different ones; then they begin again
LARGEST_TRAIN = 60_000  # octets: an IP length has 16 bits
TICK_S = 0.002

ADDRESSES = {  # the far ends are no host's, so that nobody answers; the topology has neighbours for them
    "lan": (("10.1.0.2", "203.0.113.9"), ("fd01::2", "2001:db8:203::9")),
    "inet": (("203.0.113.2", "10.1.0.9"), ("2001:db8:203::2", "fd01::9")),
}


class Kind(NamedTuple):
    """A kind of traffic. octets: of payload, from and to. train: packets at most. share: of all trains."""

    protocol: int
    ports: tuple[int, ...]
    octets: tuple[int, int]
    train: int
    share: int


KINDS = (
    Kind(TCP, (80, 443), (1200, 1420), 16, 6),
    Kind(TCP, (443,), (1, 400), 3, 5),
    Kind(UDP, (53,), (30, 300), 1, 5),
    Kind(UDP, (5060,), (160, 172), 4, 6),
    Kind(UDP, (4500,), (90, 1400), 8, 4),
    Kind(ESP, (), (80, 1400), 1, 8),
    Kind(UDP, (123, 1194, 8801, 3478), (20, 1420), 12, 6),
)


class Train(NamedTuple):
    """What one send() takes, and how many packets become of it."""

    frame: bytes
    packets: int


def main(arguments: Sequence[str]) -> None:
    interface, router, side, packets, rate = arguments
    print(json.dumps({"packets": send(interface, trains(router, side), int(packets), int(rate))}))


def send(interface: str, prepared: Sequence[Train], packets: int, rate: int) -> int:
    sent = 0
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as out:
        out.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        out.bind((interface, 0))
        start = time.monotonic()
        for number, train in enumerate(itertools.cycle(prepared)):
            if sent >= packets:
                break
            if number % 16 == 0:
                _wait(start + sent / rate)
            out.send(train.frame)
            sent += train.packets
    return sent


def trains(router: str, side: str, seed: int = 1) -> list[Train]:
    """The mix. side: where the sender stands; the link address is the router's on that side."""
    chance = random.Random(f"{side} {seed}")
    kinds = chance.choices(KINDS, [kind.share for kind in KINDS], k=TRAINS)
    return [_train(chance, bytes.fromhex(router.replace(":", "")), side, kind) for kind in kinds]


def _train(chance: random.Random, router: bytes, side: str, kind: Kind) -> Train:
    six = chance.random() < 0.3
    octets = chance.randint(*kind.octets)
    packets = min(chance.randint(1, kind.train), LARGEST_TRAIN // octets)
    payload = b"\1" * (octets * packets)  # not 0: behind UDP port 4500 that would be IKE
    behind = _transport(chance, side, kind, len(payload)) + payload
    frame = router + bytes(6) + (_ipv6 if six else _ipv4)(side, kind.protocol, behind)
    return Train(_offload(kind.protocol, six, octets, packets) + frame, packets)


def _transport(chance: random.Random, side: str, kind: Kind, payload: int) -> bytes:
    """A TCP or UDP header, or nothing. The checksum is the kernel's to fill in."""
    if not kind.ports:
        return b""
    ours, known = chance.randrange(32768, 60000), chance.choice(kind.ports)
    if kind.ports == (4500,):
        ours = known
    ports = (ours, known) if side == "lan" else (known, ours)
    if kind.protocol == UDP:
        return struct.pack(">HHHH", *ports, 8 + payload, 0)
    return struct.pack(">HHIIBBHHH", *ports, chance.getrandbits(32), 1, 5 << 4, 0x10, 512, 0, 0)


def _ipv4(side: str, protocol: int, behind: bytes) -> bytes:
    ends = [socket.inet_aton(address) for address in ADDRESSES[side][0]]
    header = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(behind), 0, 0x4000, 64, protocol, 0, *ends)
    checksum = sum(struct.unpack(">10H", header))
    checksum = ~((checksum & 0xFFFF) + (checksum >> 16)) & 0xFFFF  # RFC 1071; one carry is all there can be
    return b"\x08\x00" + header[:10] + struct.pack(">H", checksum) + header[12:] + behind


def _ipv6(side: str, protocol: int, behind: bytes) -> bytes:
    ends = [socket.inet_pton(socket.AF_INET6, address) for address in ADDRESSES[side][1]]
    return b"\x86\xdd" + struct.pack(">IHBB16s16s", 6 << 28, len(behind), protocol, 64, *ends) + behind


def _offload(protocol: int, six: bool, octets: int, packets: int) -> bytes:
    """virtio_net_hdr: into what the kernel cuts the frame."""
    if packets == 1:
        return struct.pack("=BBHHHH", 0, GSO_NONE, 0, 0, 0, 0)
    transport = 14 + (40 if six else 20)
    tcp = protocol == TCP
    cut = (GSO_TCPV6 if six else GSO_TCPV4) if tcp else GSO_UDP_L4
    headers = transport + (20 if tcp else 8)
    return struct.pack("=BBHHHH", NEEDS_CHECKSUM, cut, headers, octets, transport, 16 if tcp else 6)


def _wait(until: float) -> None:
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(left, TICK_S))


if __name__ == "__main__":
    main(sys.argv[1:])
