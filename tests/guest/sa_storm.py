"""SAs added and deleted by one netlink socket at each end, hundreds a second, as ip(8) cannot.

The messages are XFRM_MSG_NEWSA and XFRM_MSG_DELSA of linux/xfrm.h, for ESP in tunnel mode with AES-GCM and
anti-replay over IPv4. A datagram may hold several: the kernel takes them one after the other.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import replace

from ipsecmon.wire.netlink import NLM_F_REQUEST, NLMSG_ERROR, encode_attribute, encode_message, pull_messages
from ipsecmon.wire.xfrm_request import NETLINK_XFRM
from tests.guest.topology import EspTunnel
from tests.netns.agent import in_namespace
from tests.netns.topology import Topology

__all__ = ["SaStorm", "sa_storm"]

NEWSA, DELSA, ALG_AEAD, SRCADDR = 0x10, 0x11, 18, 13
ESP, TUNNEL, AF_UNSPEC_FLAG, WINDOW = 50, 1, 32, 32
_INFO = struct.Struct("=56x16sIB3x16s8Q32x12xIIHBBB7x")
_ID = struct.Struct("=16sIHBx")
_AEAD = struct.Struct("=64sII")
INFINITE = (1 << 64) - 1
LIMITS = (INFINITE,) * 4 + (0,) * 4


class SaStorm:
    """A tunnel whose SAs are replaced. What receives is there before what sends with it, at both ends."""

    def __init__(self, sockets: dict[str, socket.socket], tunnel: EspTunnel) -> None:
        self._sockets = sockets
        self._tunnel = tunnel
        self.rekeys = 0

    def blow(self, rate: int, seconds: float) -> float:
        """So many rekeys a second, as far as the machine can. The rate that was reached."""
        start = time.monotonic()
        while (passed := time.monotonic() - start) < seconds:
            for _ in range(int(rate * passed) - self.rekeys):
                self._rekey()
            time.sleep(0.01)
        return self.rekeys / passed

    def _rekey(self) -> None:
        old, self._tunnel = self._tunnel, replace(self._tunnel, spi=self._tunnel.spi + 0x10)
        router, far = self._sockets
        new_out, new_in = _new(self._tunnel)
        old_out, old_in = _old(old)
        self._send(router, new_in)
        self._send(far, new_out + new_in)
        self._send(router, new_out + old_out)
        self._send(far, old_in + old_out)
        self._send(router, old_in)
        self.rekeys += 1

    def _send(self, role: str, messages: bytes) -> None:
        self._sockets[role].send(messages)

    def refusals(self) -> list[str]:
        """What the kernel did not do; a message that it does says nothing."""
        said = []
        for opened in self._sockets.values():
            with contextlib.suppress(BlockingIOError):
                while True:
                    datagram = opened.recv(1 << 16, socket.MSG_DONTWAIT)
                    said += [repr(found) for found in pull_messages(datagram) if found.kind == NLMSG_ERROR]
        return said


@contextlib.contextmanager
def sa_storm(topology: Topology, tunnel: EspTunnel) -> Iterator[SaStorm]:
    """tunnel: it is there."""
    with contextlib.ExitStack() as opened:
        sockets = {}
        for role in ("router", tunnel.far or topology.far):
            with in_namespace(topology.name(role)):
                sockets[role] = opened.enter_context(
                    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_XFRM)
                )
            sockets[role].bind((0, 0))
        yield SaStorm(sockets, tunnel)


def _pairs(tunnel: EspTunnel) -> tuple[tuple[bytes, bytes, int], tuple[bytes, bytes, int]]:
    """Source, destination, SPI: of the outbound SA, of the inbound one."""
    router, parent = (socket.inet_aton(end) + bytes(12) for end in tunnel.ends)
    return (router, parent, tunnel.spi), (parent, router, tunnel.spi + 1)


def _new(tunnel: EspTunnel) -> tuple[bytes, bytes]:
    key = tunnel.spi.to_bytes(20, "big")
    aead = encode_attribute(ALG_AEAD, _AEAD.pack(b"rfc4106(gcm(aes))", 8 * len(key), 128) + key)
    rest = (0, tunnel.reqid, socket.AF_INET, TUNNEL, WINDOW, AF_UNSPEC_FLAG)
    out, back = (
        encode_message(
            NEWSA,
            NLM_F_REQUEST,
            0,
            _INFO.pack(to, socket.htonl(spi), ESP, source, *LIMITS, *rest) + aead,
        )
        for source, to, spi in _pairs(tunnel)
    )
    return out, back


def _old(tunnel: EspTunnel) -> tuple[bytes, bytes]:
    out, back = (
        encode_message(
            DELSA,
            NLM_F_REQUEST,
            0,
            _ID.pack(to, socket.htonl(spi), socket.AF_INET, ESP) + encode_attribute(SRCADDR, source),
        )
        for source, to, spi in _pairs(tunnel)
    )
    return out, back
