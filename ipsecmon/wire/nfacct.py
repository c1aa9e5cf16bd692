"""Named counter objects of netfilter (linux/netfilter/nfnetlink_acct.h), standard library only.

Only ever reads their values: NFNL_MSG_ACCT_GET, never ACCT_GET_CTRZERO, which loses counts at buffer
boundaries. The kernel makes a new object with 0 unless it is told otherwise.
"""

from __future__ import annotations

import struct
from typing import NamedTuple, Union

from ipsecmon.errors import DecodeError
from ipsecmon.wire.netlink import (
    NLM_F_ACK,
    NLM_F_DUMP,
    NLM_F_REQUEST,
    Message,
    encode_attribute,
    encode_message,
    pull_attributes,
)

__all__ = ["MAX_NAME", "AcctObject", "decode_object", "encode_delete", "encode_dump", "encode_new"]

Octets = Union[bytes, bytearray, memoryview]

MAX_NAME = 31  # octets: NFACCT_NAME_MAX less its zero
NLM_F_EXCL, NLM_F_CREATE = 0x200, 0x400
_NFNL_SUBSYS_ACCT = 7
_NEW, _GET, _DEL = 0, 1, 3
_NAME, _PACKETS, _OCTETS = 1, 2, 3


class AcctObject(NamedTuple):
    name: str
    octets: int
    packets: int


def encode_new(name: str, sequence: int) -> bytes:
    """Make an object that begins at 0; the kernel refuses with EEXIST where it is there already."""
    return _request(_NEW, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK, sequence, name)


def encode_delete(name: str, sequence: int) -> bytes:
    """The kernel refuses with EBUSY while a rule uses it."""
    return _request(_DEL, NLM_F_ACK, sequence, name)


def encode_dump(sequence: int) -> bytes:
    """Ask for all objects of this network namespace."""
    return _request(_GET, NLM_F_DUMP, sequence, "")


def decode_object(buffer: Octets, message: Message) -> AcctObject:
    """One NFNL_MSG_ACCT_NEW. Raises DecodeError."""
    if message.kind != _NFNL_SUBSYS_ACCT << 8 | _NEW:
        raise DecodeError("unexpected message type", message.start - 12)
    if message.end - message.start < 4:
        raise DecodeError("message without nfgenmsg", message.start)
    found = {
        kind: (start, end) for kind, start, end in pull_attributes(buffer, message.start + 4, message.end)
    }
    if not {_NAME, _PACKETS, _OCTETS} <= set(found):
        raise DecodeError("object without name, octets or packets", message.start)
    start, end = found[_NAME]
    name = bytes(buffer[start:end]).rstrip(b"\0").decode("utf-8", "backslashreplace")
    return AcctObject(name, _unsigned(buffer, *found[_OCTETS]), _unsigned(buffer, *found[_PACKETS]))


def _request(kind: int, flags: int, sequence: int, name: str) -> bytes:
    body = struct.pack(">BBH", 0, 0, 0)
    if name:
        body += encode_attribute(_NAME, name.encode() + b"\0")
    return encode_message(_NFNL_SUBSYS_ACCT << 8 | kind, NLM_F_REQUEST | flags, sequence, body)


def _unsigned(buffer: Octets, start: int, end: int) -> int:
    if end - start != 8:
        raise DecodeError("integer of a wrong length", start)
    return int.from_bytes(buffer[start:end], "big")
