"""Netlink messages and attributes (linux/netlink.h; RFC 3549 section 2).

Host byte order for headers, as the kernel writes them. Shared by every netlink codec here, and
by the helper: standard library only.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple, Union

from ipsecmon.errors import DecodeError

__all__ = [
    "NLMSG_DONE",
    "NLMSG_ERROR",
    "NLM_F_ACK",
    "NLM_F_DUMP",
    "NLM_F_DUMP_INTR",
    "NLM_F_REQUEST",
    "Message",
    "Octets",
    "decode_error",
    "encode_attribute",
    "encode_message",
    "pull_attributes",
    "pull_messages",
]

Octets = Union[bytes, bytearray, memoryview]

NLMSG_ERROR = 2
NLMSG_DONE = 3
NLM_F_REQUEST = 0x01
NLM_F_ACK = 0x04
NLM_F_DUMP_INTR = 0x10  # the dump changed under way: its values do not belong together
NLM_F_DUMP = 0x300
NLA_TYPE_MASK = 0x3FFF  # without NLA_F_NESTED and NLA_F_NET_BYTEORDER

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")


class Message(NamedTuple):
    """One message: its header's fields, and where its body lies in the buffer."""

    kind: int
    flags: int
    sequence: int
    start: int
    end: int


def aligned(length: int) -> int:
    """NLMSG_ALIGN and NLA_ALIGN: both 4."""
    return (length + 3) & ~3


def encode_attribute(kind: int, data: bytes) -> bytes:
    """One attribute, padded."""
    return _ATTRIBUTE.pack(4 + len(data), kind) + data + b"\0" * (-len(data) % 4)


def encode_message(kind: int, flags: int, sequence: int, body: bytes) -> bytes:
    """One message, its body already padded."""
    return _HEADER.pack(16 + len(body), kind, flags, sequence, 0) + body


def pull_messages(buffer: Octets, start: int = 0) -> Iterator[Message]:
    """Each message of a datagram in order. Raises DecodeError at the first that breaks the chain."""
    total = len(buffer)
    while start < total:
        if total - start < 16:
            raise DecodeError("netlink header cut short", start)
        length, kind, flags, sequence, _ = _HEADER.unpack_from(buffer, start)
        if length < 16 or start + length > total:
            raise DecodeError("netlink length outside the datagram", start)
        yield Message(kind, flags, sequence, start + 16, start + length)
        start += aligned(length)


def pull_attributes(buffer: Octets, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """(type, first octet of the value, one past its last) of each attribute in [start, end)."""
    while start < end:
        if end - start < 4:
            raise DecodeError("attribute header cut short", start)
        length, kind = _ATTRIBUTE.unpack_from(buffer, start)
        if length < 4 or start + length > end:
            raise DecodeError("attribute length outside its message", start)
        yield kind & NLA_TYPE_MASK, start + 4, start + length
        start += aligned(length)


def decode_error(buffer: Octets, message: Message) -> int:
    """The errno of an NLMSG_ERROR message; 0 is an acknowledgement."""
    if message.end - message.start < 4:
        raise DecodeError("error message cut short", message.start)
    code: int = struct.unpack_from("=i", buffer, message.start)[0]
    return -code
