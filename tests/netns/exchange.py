"""Traffic between two namespaces, made and counted at both ends: UDP here, TCP by traffic.py.

UDP is of this process, with a socket in each of them: a new process takes the guest a second. What is
returned is IP packets and octets as the two ends know them, or as quiet NICs counted them; never what
netfilter says.
"""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.netns.namespaces import Namespaces, NicCounters, in_namespace
from tests.netns.traffic import LARGEST_PAYLOAD, RECEIVE_BUFFER, SO_RCVBUFFORCE, UDP_HEADER

__all__ = ["Exchange", "LINK_HEADER", "Volume", "carried", "exchange_tcp", "exchange_udp"]

LINK_HEADER = 14
# no site-packages: starts in a third of the time, which counts in the guest
TRAFFIC = (sys.executable, "-I", "-S", str(Path(__file__).with_name("traffic.py")))
LIMIT_S = 120
RATE = 5_000 if os.environ.get("IPSECMON_GUEST") else 20_000  # the guest carries 16,000 a second through ESP
AT_ONCE = 16  # packets that are sent before the rate is looked at, and what has arrived is counted
SILENCE_S = 0.05  # after the last packet: what has not come by then does not


@dataclass(frozen=True)
class Volume:
    """IP packets and their octets, IP headers included."""

    packets: int
    octets: int


@dataclass(frozen=True)
class Exchange:
    """What one end sent and the other received. For TCP: packets 0, and octets of payload."""

    sent: Volume
    received: Volume


def exchange_udp(
    among: Namespaces,
    source: str,
    target: str,
    to: str,
    port: int = 7000,
    source_port: int = 7001,
    packets: int = 1000,
    sizes: Sequence[int] = (100,),
    rate: int = RATE,
    source_address: str = "",
) -> Exchange:
    """Send exactly `packets` UDP packets from one role to another.

    to: an address of the target (IPv4 or IPv6). sizes: payload octets, taken in turn. rate: packets a
    second, at most. source_address: where the route's own choice is not the one meant.
    """
    assert max(sizes) <= LARGEST_PAYLOAD, "a fragment would be a packet more"
    header = UDP_HEADER + (40 if ":" in to else 20)
    octets = sum(sizes[number % len(sizes)] for number in range(packets))
    family = socket.AF_INET6 if ":" in to else socket.AF_INET
    far, near = (to, port), (source_address, source_port)
    with _udp(among, target, family, far) as inbound, _udp(among, source, family, near) as out:
        inbound.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER)
        arrived: list[int] = []
        start = time.monotonic()
        for number in range(packets):
            if number % AT_ONCE == 0:
                _count(inbound, arrived, until=start + number / rate)
            out.sendto(bytes(sizes[number % len(sizes)]), (to, port))
        while _count(inbound, arrived, until=time.monotonic() + SILENCE_S):
            pass
    return Exchange(
        Volume(packets, octets + packets * header), Volume(len(arrived), sum(arrived) + len(arrived) * header)
    )


def exchange_tcp(
    among: Namespaces,
    source: str,
    target: str,
    to: str,
    port: int = 7000,
    source_port: int = 7001,
    octets: int = 1 << 20,
    source_address: str = "",
) -> Exchange:
    """Upload so many octets of payload from one role to another; both ends have closed on return."""
    start = ("--source", source_address, "--source-port", str(source_port))
    amount = ("--octets", str(octets))
    return _exchange(among, (source, "upload"), (target, "serve"), (to, str(port)), *start, *amount)


def carried(nic: NicCounters) -> tuple[Volume, Volume]:
    """IP volume that a quiet interface without offloads let in and out: its octets less link headers."""
    return (
        Volume(nic.in_packets, nic.in_octets - nic.in_packets * LINK_HEADER),
        Volume(nic.out_packets, nic.out_octets - nic.out_packets * LINK_HEADER),
    )


def _udp(
    among: Namespaces, role: str, family: socket.AddressFamily, address: tuple[str, int]
) -> socket.socket:
    """address: "" is any."""
    with in_namespace(among.name(role)):
        made = socket.socket(family, socket.SOCK_DGRAM)
    made.bind(address)
    return made


def _count(inbound: socket.socket, arrived: list[int], until: float) -> bool:
    """Payload octets of each packet that comes until then, and what is there anyhow; whether any did."""
    before = len(arrived)
    while select.select([inbound], [], [], max(0.0, until - time.monotonic()))[0]:
        arrived.append(len(inbound.recv(LARGEST_PAYLOAD + 1)))
    return len(arrived) > before


def _exchange(
    among: Namespaces,
    source: tuple[str, str],
    target: tuple[str, str],
    to: tuple[str, str],
    *arguments: str,
) -> Exchange:
    (source_role, sends), (target_role, receives) = source, target
    receiver = among.start(target_role, *TRAFFIC, receives, *to)
    assert _said(receiver) == "ready"
    sent = _volume(among.run(source_role, *TRAFFIC, sends, *to, *arguments))
    received, _ = receiver.communicate(timeout=LIMIT_S)
    return Exchange(sent, _volume(received))


def _said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def _volume(text: str) -> Volume:
    return Volume(**json.loads(text))
