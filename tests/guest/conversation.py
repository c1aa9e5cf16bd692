"""UDP both ways at once between a host behind the router and one behind the far gateway, counted twice.

What is told comes from the sockets at both ends, and from a capture on the LAN's only link; never from a
counter of the kernel.
"""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.netns.agent import in_namespace
from tests.netns.exchange import TRAFFIC, Exchange, Volume
from tests.netns.namespaces import Namespaces
from tests.netns.topology import FAR_LAN, FAR_LAN6, LAN, LAN6

__all__ = ["Conversation", "End", "HOSTS", "HOSTS6", "captured", "converse"]

PORT, SOURCE_PORT = 7000, 7001
LIMIT_S = 120
SIZES = (30, 200, 1000, 1300)
CAPTURE_BUFFER = 64 << 20
ETH_P_ALL, SO_RCVBUFFORCE, PACKET_OUTGOING = 3, 33, 4
IPV4, IPV6, UDP = 0x0800, 0x86DD, 17


@dataclass(frozen=True)
class End:
    """A role, and the address it is spoken to by."""

    role: str
    address: str


HOSTS = (End("lan", LAN), End("parent", FAR_LAN))
HOSTS6 = (End("lan", LAN6), End("parent", FAR_LAN6))


class Conversation:
    """away: from the router's side to the far one; home: back. Both are there when it is over."""

    def __init__(self, among: Namespaces, ends: tuple[End, End], sizes: Sequence[int]) -> None:
        self._among = among
        self._ends = ends
        self._sizes = ",".join(map(str, sizes))
        self._receivers: list[subprocess.Popen[str]] = []
        self._senders: list[subprocess.Popen[str]] = []
        self._done: list[Exchange] = []

    @property
    def away(self) -> Exchange:
        return self._done[0]

    @property
    def home(self) -> Exchange:
        return self._done[1]

    @property
    def is_speaking(self) -> bool:
        return any(sender.poll() is None for sender in self._senders)

    def listen(self) -> None:
        for end in reversed(self._ends):
            self._receivers.append(self._start(end.role, "receive", end.address, str(PORT)))
        for receiver in self._receivers:
            assert receiver.stdout is not None and receiver.stdout.readline() == "ready\n"

    def speak(self, packets: int, rate: int) -> None:
        amount = ("--packets", str(packets), "--rate", str(rate), "--sizes", self._sizes)
        for source, target in (self._ends, self._ends[::-1]):
            start = ("--source", source.address, "--source-port", str(SOURCE_PORT))
            self._senders.append(self._start(source.role, "send", target.address, str(PORT), *start, *amount))

    def wait_for_both(self) -> None:
        """Until packets go both ways over the LAN's link; a process takes the guest a while to start."""
        before = _link_packets(self._among)
        while self.is_speaking and not all(
            now > then for now, then in zip(_link_packets(self._among), before)
        ):
            time.sleep(0.01)

    def finish(self) -> None:
        """All that was sent has been received, or never will be."""
        sent = [_end(sender) for sender in self._senders]
        received = [_end(receiver) for receiver in self._receivers]
        self._done = [Exchange(*pair) for pair in zip(sent, received)]

    def _start(self, role: str, *arguments: str) -> subprocess.Popen[str]:
        return self._among.start(role, *TRAFFIC, *arguments)


@contextlib.contextmanager
def converse(
    among: Namespaces,
    ends: tuple[End, End] = HOSTS,
    packets: int = 100,
    rate: int = 20_000,
    sizes: Sequence[int] = SIZES,
) -> Iterator[Conversation]:
    """`packets` each way, at a rate a second, begun before the block; figures are there after it."""
    made = Conversation(among, ends, sizes)
    made.listen()
    made.speak(packets, rate)
    if ends[0].role == "lan":
        made.wait_for_both()
    yield made
    made.finish()


@contextlib.contextmanager
def captured(among: Namespaces) -> Iterator[dict[str, Volume]]:
    """What a capture of the LAN's link saw of UDP in the block: IP packets "out" and "in" of the router."""
    found: dict[str, Volume] = {}
    with in_namespace(among.name("lan")):
        sniffer = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
    with sniffer:
        sniffer.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, CAPTURE_BUFFER)
        yield found
        sniffer.setblocking(False)
        lengths: dict[str, list[int]] = {"out": [], "in": []}
        with contextlib.suppress(BlockingIOError):
            while True:
                packet, (_, ethertype, way, *_) = sniffer.recvfrom(64)
                if _is_udp(packet, ethertype):
                    lengths["out" if way == PACKET_OUTGOING else "in"].append(_ip_octets(packet))
    found.update({way: Volume(len(seen), sum(seen)) for way, seen in lengths.items()})


def _link_packets(among: Namespaces) -> tuple[int, int]:
    """In and out (proc_pid_net(5))."""
    with in_namespace(among.name("lan")):
        text = Path("/proc/thread-self/net/dev").read_text()
    numbers = text.partition("eth0:")[2].split()
    return int(numbers[1]), int(numbers[9])


def _is_udp(packet: bytes, ethertype: int) -> bool:
    return (ethertype == IPV4 and packet[9] == UDP) or (ethertype == IPV6 and packet[6] == UDP)


def _ip_octets(packet: bytes) -> int:
    """As the header says (RFC 791, RFC 8200)."""
    if packet[0] >> 4 == 4:
        return int.from_bytes(packet[2:4], "big")
    return 40 + int.from_bytes(packet[4:6], "big")


def _end(process: subprocess.Popen[str]) -> Volume:
    text, _ = process.communicate(timeout=LIMIT_S)
    return Volume(**json.loads(text))
