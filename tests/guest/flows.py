"""UDP and TCP between two hosts, whose sockets this process holds itself: no process to start or wait for.

A socket stays in the namespace that it was made in. Each packet is awaited at the other end, so that what
the two ends count is what passed, in the order in which it was sent.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from types import TracebackType
from typing import Optional

from tests.guest.conversation import End
from tests.netns.agent import in_namespace
from tests.netns.exchange import Volume
from tests.netns.namespaces import Namespaces

__all__ = ["Flow", "Stream", "socket_at"]

WITHIN_S = 10.0
LARGEST = 1 << 16
UDP_HEADER = 8
IP_MTU_DISCOVER, IP_PMTUDISC_DONT = 10, 0  # linux/in.h


def socket_at(among: Namespaces, end: End, kind: int = socket.SOCK_DGRAM, protocol: int = 0) -> socket.socket:
    """Made in the role's namespace, of the address's family, with a limit to what it waits."""
    family = socket.AF_INET6 if ":" in end.address else socket.AF_INET
    with in_namespace(among.name(end.role)):
        made = socket.socket(family, kind, protocol)
    made.settimeout(WITHIN_S)
    return made


class Flow:
    """UDP on one pair of ports. away: what the inside sent to the outside; home: back."""

    def __init__(
        self,
        among: Namespaces,
        inside: End,
        outside: End,
        port: int,
        own_port: int = 0,
        outside_first: bool = False,
    ) -> None:
        """own_port: of the inside, the same by default. outside_first: who speaks first, as behind NAT."""
        self._headers = UDP_HEADER + (40 if ":" in inside.address else 20)
        self._sockets = [socket_at(among, end) for end in (inside, outside)]
        for one, end, at in zip(self._sockets, (inside, outside), (own_port or port, port)):
            one.bind((end.address, at))
        self._first = 1 if outside_first else 0
        self._to = self._sockets[1 - self._first].getsockname()
        self._passed = {"away": Volume(0, 0), "home": Volume(0, 0)}

    @property
    def away(self) -> Volume:
        return self._passed["away"]

    @property
    def home(self) -> Volume:
        return self._passed["home"]

    def allow_fragments(self) -> None:
        """Of IPv4: no packet forbids to be cut."""
        for one in self._sockets:
            one.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT)

    def speak(self, away: Sequence[int], home: Sequence[int]) -> None:
        """A packet with so many octets of payload to the other end, and one back, for each in turn.

        The answer goes to whatever address the question came from.
        """
        first, second = self._sockets[self._first], self._sockets[1 - self._first]
        for sizes in zip(away, home):
            asked, answered = sizes if self._first == 0 else sizes[::-1]
            first.sendto(bytes(asked), self._to)
            heard, back = second.recvfrom(LARGEST)
            second.sendto(bytes(answered), back)
            said = first.recv(LARGEST)
            assert (len(heard), len(said)) == (asked, answered)
            self._count("away", sizes[0])
            self._count("home", sizes[1])

    def shout(self, packets: int, octets: int) -> Volume:
        """So many of such a payload to the outside at once, which may lose them; what was sent."""
        for _ in range(packets):
            self._sockets[0].sendto(bytes(octets), self._sockets[1].getsockname())
        return Volume(packets, packets * (octets + self._headers))

    def _count(self, way: str, payload: int) -> None:
        before = self._passed[way]
        self._passed[way] = Volume(before.packets + 1, before.octets + payload + self._headers)

    def close(self) -> None:
        for one in self._sockets:
            one.close()

    def __enter__(self) -> Flow:
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()


class Stream:
    """A TCP connection that the inside has opened."""

    def __init__(self, among: Namespaces, inside: End, outside: End, port: int) -> None:
        self._inside = socket_at(among, inside, socket.SOCK_STREAM)
        with socket_at(among, outside, socket.SOCK_STREAM) as listening:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((outside.address, port))
            listening.listen(1)
            self._inside.bind((inside.address, 0))
            self._inside.connect((outside.address, port))
            self._outside, _ = listening.accept()
        self._outside.settimeout(WITHIN_S)

    def upload(self, octets: int) -> None:
        _pass(self._inside, self._outside, octets)

    def download(self, octets: int) -> None:
        _pass(self._outside, self._inside, octets)

    def close(self) -> None:
        """Both ends, one after the other, with nothing left to say."""
        with self._outside, self._inside:
            self._inside.shutdown(socket.SHUT_WR)
            assert self._outside.recv(1) == b""

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()


def _pass(source: socket.socket, target: socket.socket, octets: int) -> None:
    """Piece by piece, as one thread does both."""
    left = octets
    while left:
        sent = source.send(bytes(min(left, LARGEST)))
        heard = 0
        while heard < sent:
            heard += len(target.recv(LARGEST))
        left -= sent
