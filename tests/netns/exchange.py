"""Traffic between two namespaces, made and counted by traffic.py at both ends.

What is returned is IP packets and octets as the two ends know them, or as quiet NICs counted them; never
what netfilter says.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.netns.namespaces import Namespaces, NicCounters

__all__ = ["Exchange", "LINK_HEADER", "Volume", "carried", "exchange_tcp", "exchange_udp"]

LINK_HEADER = 14
# no site-packages: starts in a third of the time, which counts in the guest
TRAFFIC = (sys.executable, "-I", "-S", str(Path(__file__).with_name("traffic.py")))
LIMIT_S = 120
RATE = 5_000 if os.environ.get("IPSECMON_GUEST") else 20_000  # the guest carries 16,000 a second through ESP


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
    payloads = ",".join(map(str, sizes))
    start = ("--source", source_address, "--source-port", str(source_port))
    amount = ("--packets", str(packets), "--sizes", payloads, "--rate", str(rate))
    return _exchange(among, (source, "send"), (target, "receive"), (to, str(port)), *start, *amount)


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
