"""A capture in the middle of the Internet line, where nothing decrypts: each frame that crossed it, once.

The line between the router and the far side leads through a namespace `wire` that hands on every frame as
it is. What is told here is read from frames, by RFC 791, 8200, 4303 and 3948, and never by a counter.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
from collections.abc import Iterator

from tests.guest.packets import Packet, decode_frame
from tests.netns.agent import in_namespace
from tests.netns.namespaces import Namespaces

__all__ = ["add_wire", "captured_line", "drain", "open_tap", "wait_for_silence"]

WIRE = "wire"
ETH_P_ALL, SO_RCVBUFFORCE, PACKET_OUTGOING = 3, 33, 4
SOL_PACKET, PACKET_STATISTICS = 263, 6
BUFFER = 128 << 20  # a frame takes some KB of it
SILENCE_S = 1.2  # xl2tpd acknowledges and repeats within 1 s
LARGEST_FRAME = 1 << 17  # GSO makes packets of up to 64 KB
QUIET = "arp off multicast off addrgenmode none"
HAND_ON = """qdisc add dev {0} ingress
filter add dev {0} ingress matchall action mirred egress redirect dev {1}
"""


def add_wire(among: Namespaces, router: tuple[str, str], far: tuple[str, str]) -> None:
    """Between two ends (role, interface), each of which sees the other's frames as if it were the next."""
    among.sysctl(WIRE, net__ipv6__conf__all__disable_ipv6=1, net__ipv6__conf__default__disable_ipv6=1)
    for (role, interface), here in ((router, "router0"), (far, "far0")):
        Namespaces.connect(among, role, interface, WIRE, here)
        among.ip(WIRE, f"link set {here} {QUIET}\nlink set {here} up\n")
    text = HAND_ON.format("router0", "far0") + HAND_ON.format("far0", "router0")
    among.run(WIRE, "tc", "-batch", "-", text=text)


@contextlib.contextmanager
def captured_line(among: Namespaces) -> Iterator[list[Packet]]:
    """What crosses the line in the block; it is there after the block."""
    found: list[Packet] = []
    with open_tap(among) as tap:
        yield found
        found += drain(tap)


def wait_for_silence(among: Namespaces) -> None:
    """Until no frame has crossed the line for a while: a session that was set up says its last words."""
    with open_tap(among) as tap:
        while select.select([tap], [], [], SILENCE_S)[0]:
            drain(tap)


def open_tap(among: Namespaces) -> socket.socket:
    with in_namespace(among.name(WIRE)):
        tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    tap.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
    tap.bind(("router0", ETH_P_ALL))
    return tap


def drain(tap: socket.socket) -> list[Packet]:
    """What it has seen; it fails where the capture itself has lost a frame."""
    packets = []
    with contextlib.suppress(BlockingIOError):
        while True:
            frame, (_, _, kind, *_) = tap.recvfrom(LARGEST_FRAME, socket.MSG_DONTWAIT)
            packets.append(decode_frame("in" if kind == PACKET_OUTGOING else "out", frame))
    seen, lost = struct.unpack("II", tap.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
    assert (seen, lost) == (len(packets), 0)
    return packets
