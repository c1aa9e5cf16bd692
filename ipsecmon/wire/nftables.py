"""Reading named counters of one nf_tables table (linux/netfilter/nf_tables.h), standard library only.

Only ever reads: NFT_MSG_GETOBJ, never GETOBJ_RESET, which loses counts at buffer boundaries.
"""

from __future__ import annotations

import struct
from typing import NamedTuple, Union

from ipsecmon.errors import DecodeError
from ipsecmon.wire.netlink import (
    NLM_F_DUMP,
    NLM_F_REQUEST,
    Message,
    encode_attribute,
    encode_message,
    pull_attributes,
)

__all__ = [
    "NamedCounter",
    "decode_counter",
    "decode_generation",
    "decode_table_handle",
    "encode_counter_dump",
    "encode_generation_request",
    "encode_table_request",
]

Octets = Union[bytes, bytearray, memoryview]

NFNL_SUBSYS_NFTABLES = 10
NFT_MSG_NEWTABLE, NFT_MSG_GETTABLE = 0, 1
NFT_MSG_NEWGEN, NFT_MSG_GETGEN = 15, 16
NFT_MSG_NEWOBJ, NFT_MSG_GETOBJ = 18, 19
NFT_OBJECT_COUNTER = 1
NFPROTO_INET = 1

_TABLE_NAME, _TABLE_HANDLE = 1, 4
_OBJ_TABLE, _OBJ_NAME, _OBJ_TYPE, _OBJ_DATA, _OBJ_HANDLE = 1, 2, 3, 4, 6
_COUNTER_BYTES, _COUNTER_PACKETS = 1, 2
_GEN_ID = 1


class NamedCounter(NamedTuple):
    """handle names this life of the object: a table made anew gives another one or starts at 1 again."""

    name: str
    handle: int
    octets: int
    packets: int


def _kind(message: int) -> int:
    return NFNL_SUBSYS_NFTABLES << 8 | message


def _request(message: int, flags: int, sequence: int, attributes: bytes) -> bytes:
    body = struct.pack(">BBH", NFPROTO_INET, 0, 0) + attributes
    return encode_message(_kind(message), NLM_F_REQUEST | flags, sequence, body)


def encode_counter_dump(table: str, sequence: int) -> bytes:
    """Ask for all named counters of an inet table."""
    attributes = encode_attribute(_OBJ_TABLE, table.encode() + b"\0") + encode_attribute(
        _OBJ_TYPE, struct.pack(">I", NFT_OBJECT_COUNTER)
    )
    return _request(NFT_MSG_GETOBJ, NLM_F_DUMP, sequence, attributes)


def encode_table_request(table: str, sequence: int) -> bytes:
    """Ask for one inet table."""
    return _request(NFT_MSG_GETTABLE, 0, sequence, encode_attribute(_TABLE_NAME, table.encode() + b"\0"))


def encode_generation_request(sequence: int) -> bytes:
    """Ask for the number that changes with every change of any rule set in this network namespace."""
    return _request(NFT_MSG_GETGEN, 0, sequence, b"")


def decode_counter(buffer: Octets, message: Message) -> NamedCounter:
    """One NFT_MSG_NEWOBJ. Raises DecodeError."""
    values = _values(buffer, message, NFT_MSG_NEWOBJ)
    data = values.get(_OBJ_DATA)
    if _OBJ_NAME not in values or data is None:
        raise DecodeError("object without name or data", message.start)
    counts = {
        kind: _unsigned(buffer, start, end, 8)
        for kind, start, end in pull_attributes(buffer, *data)
        if kind in (_COUNTER_BYTES, _COUNTER_PACKETS)
    }
    if len(counts) != 2:
        raise DecodeError("counter without octets or packets", data[0])
    handle = _unsigned(buffer, *values[_OBJ_HANDLE], 8) if _OBJ_HANDLE in values else 0
    return NamedCounter(
        _text(buffer, *values[_OBJ_NAME]), handle, counts[_COUNTER_BYTES], counts[_COUNTER_PACKETS]
    )


def decode_table_handle(buffer: Octets, message: Message) -> int:
    """The handle in an NFT_MSG_NEWTABLE. Raises DecodeError."""
    return _required(buffer, message, NFT_MSG_NEWTABLE, _TABLE_HANDLE, 8)


def decode_generation(buffer: Octets, message: Message) -> int:
    """The id in an NFT_MSG_NEWGEN. Raises DecodeError."""
    return _required(buffer, message, NFT_MSG_NEWGEN, _GEN_ID, 4)


def _required(buffer: Octets, message: Message, expected: int, attribute: int, octets: int) -> int:
    values = _values(buffer, message, expected)
    if attribute not in values:
        raise DecodeError("answer without its value", message.start)
    return _unsigned(buffer, *values[attribute], octets)


def _values(buffer: Octets, message: Message, expected: int) -> dict[int, tuple[int, int]]:
    if message.kind != _kind(expected):
        raise DecodeError("unexpected message type", message.start - 12)
    if message.end - message.start < 4:
        raise DecodeError("message without nfgenmsg", message.start)
    return {
        kind: (start, end) for kind, start, end in pull_attributes(buffer, message.start + 4, message.end)
    }


def _unsigned(buffer: Octets, start: int, end: int, octets: int) -> int:
    if end - start != octets:
        raise DecodeError("integer of a wrong length", start)
    return int.from_bytes(buffer[start:end], "big")


def _text(buffer: Octets, start: int, end: int) -> str:
    return bytes(buffer[start:end]).rstrip(b"\0").decode("utf-8", "backslashreplace")
