"""What /proc/net says of L2TP: the kernel's PPP sessions (net/l2tp/l2tp_ppp.c), and who sends us UDP."""

from __future__ import annotations

import re
from collections.abc import Iterator
from socket import AF_INET, AF_INET6, inet_ntop
from sys import byteorder

from ipsecmon.errors import DecodeError

__all__ = ["L2TP_PORT", "decode_pppol2tp", "decode_udp_peers"]

L2TP_PORT = 1701
_INTERFACE = re.compile(r"^\s+interface ([^\s(]\S*)$", re.MULTILINE)
_SOCKET = re.compile(r"\s*\d+:\s+([0-9A-F]+):([0-9A-F]{4})\s+([0-9A-F]+):([0-9A-F]{4})\s")
_FAMILIES = {8: AF_INET, 32: AF_INET6}  # by the digits of an address


def decode_pppol2tp(text: str) -> frozenset[str]:
    """Names of the interfaces that are sessions of L2TP. Raises DecodeError."""
    if not text.startswith("PPPoL2TP driver info"):
        raise DecodeError("not a table of L2TP sessions", 0)
    return frozenset(_INTERFACE.findall(text))


def decode_udp_peers(text: str) -> frozenset[str]:
    """Other ends of the connected sockets at either end of which is L2TP's port. Raises DecodeError."""
    head, _, rows = text.partition("\n")
    if not re.match(r"\s*sl\s+local_address\s+rem(ote)?_address\s", head):
        raise DecodeError("not a table of sockets", 0)
    return frozenset(_peers(rows, len(head) + 1))


def _peers(rows: str, offset: int) -> Iterator[str]:
    for row in rows.splitlines(keepends=True):
        found = _SOCKET.match(row)
        family = _FAMILIES.get(len(found[3])) if found else None
        if found is None or family is None:
            raise DecodeError("a socket breaks its form", offset)
        if L2TP_PORT in (int(found[2], 16), int(found[4], 16)) and int(found[3], 16):
            yield _address(found[3], family)
        offset += len(row)


def _address(digits: str, family: int) -> str:
    """Words of 32 bits, each printed as a number of this machine."""
    words = (int(digits[at : at + 8], 16).to_bytes(4, byteorder) for at in range(0, len(digits), 8))
    text = inet_ntop(family, b"".join(words))
    return text[7:] if text.startswith("::ffff:") and "." in text else text
