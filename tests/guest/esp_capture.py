"""What passed the router's Internet line as ESP, seen at the far end of its link, by direction and SPI."""

from __future__ import annotations

import contextlib
import socket
from collections import defaultdict
from collections.abc import Iterable, Iterator

from tests.netns.agent import in_namespace
from tests.netns.exchange import Volume
from tests.netns.namespaces import Namespaces

__all__ = ["EspCapture", "captured_esp"]

ETH_P_ALL, SO_RCVBUFFORCE, PACKET_OUTGOING = 3, 33, 4
CAPTURE_BUFFER = 64 << 20
IPV4, IPV6 = 0x0800, 0x86DD
ESP, UDP, NATT_PORT = 50, 17, (4500).to_bytes(2, "big")


class EspCapture:
    """IP packets and octets, outer headers included, by ("in" or "out" of the router, SPI)."""

    def __init__(self) -> None:
        self.volumes: dict[tuple[str, int], Volume] = defaultdict(lambda: Volume(0, 0))

    def add(self, way: str, packet: bytes) -> None:
        spi = _spi(packet)
        if spi:
            had = self.volumes[way, spi]
            is4 = packet[0] >> 4 == 4
            octets = int.from_bytes(packet[2:4], "big") if is4 else 40 + int.from_bytes(packet[4:6], "big")
            self.volumes[way, spi] = Volume(had.packets + 1, had.octets + octets)

    def of(self, way: str, spis: Iterable[int]) -> Volume:
        found = [self.volumes[way, spi] for spi in spis]
        return Volume(sum(one.packets for one in found), sum(one.octets for one in found))


@contextlib.contextmanager
def captured_esp(among: Namespaces, role: str = "parent") -> Iterator[EspCapture]:
    """Of the block; there when it is over. role: has the other end of the link, as eth0."""
    found = EspCapture()
    with in_namespace(among.name(role)):
        sniffer = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
        sniffer.bind(("eth0", ETH_P_ALL))
    with sniffer:
        sniffer.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, CAPTURE_BUFFER)
        yield found
        sniffer.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                packet, (_, ethertype, way, *_) = sniffer.recvfrom(64)
                if ethertype in (IPV4, IPV6):
                    found.add("in" if way == PACKET_OUTGOING else "out", packet)


def _spi(packet: bytes) -> int:
    """0 where it is no ESP (RFC 4303, RFC 3948). No options are expected, nor NAT-T over IPv6."""
    if packet[0] >> 4 == 6:
        return int.from_bytes(packet[40:44], "big") if packet[6] == ESP else 0
    if packet[9] == ESP:
        return int.from_bytes(packet[20:24], "big")
    if packet[9] == UDP and NATT_PORT in (packet[20:22], packet[22:24]):
        return int.from_bytes(packet[28:32], "big")
    return 0
