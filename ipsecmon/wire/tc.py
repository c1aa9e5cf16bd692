"""Queueing disciplines, classes and filters in netlink messages (linux/rtnetlink.h, linux/pkt_sched.h).

In: datagrams of rtnetlink, answers to a dump or news of the group RTNLGRP_TC. Out: one TcObject a message,
with its counters, and of its configuration what tc_config.py makes of it.
"""

from __future__ import annotations

import enum
import struct
from typing import NamedTuple, Optional

from ipsecmon.errors import DecodeError
from ipsecmon.wire.netlink import NLM_F_DUMP, NLM_F_REQUEST, Message, Octets, encode_message, pull_attributes
from ipsecmon.wire.tc_config import TcConfig, read_config
from ipsecmon.wire.tc_stats import TcStats, read_stats

__all__ = [
    "CLSACT",
    "EGRESS",
    "INGRESS",
    "ROOT",
    "RTMGRP_TC",
    "TcObject",
    "What",
    "decode_tc",
    "encode_tc_dump",
    "is_deletion",
    "render_handle",
    "render_parent",
]

RTMGRP_TC = 1 << 3  # RTNLGRP_TC is 4; anybody may listen
ROOT = 0xFFFFFFFF  # TC_H_ROOT
INGRESS, EGRESS = 0xFFFFFFF2, 0xFFFFFFF3  # where filters of ingress and clsact stand
CLSACT = 0xFFFFFFF1  # TC_H_INGRESS: the parent of both qdiscs
_PARENTS = {ROOT: "root", INGRESS: "ingress", EGRESS: "egress"}
_HEADER = struct.Struct("=BxxxiIII")  # struct tcmsg
_KIND, _OPTIONS, _XSTATS, _STATS2, _CHAIN = 1, 2, 4, 7, 11
_MAX_KIND = 15  # IFNAMSIZ less its zero


class What(str, enum.Enum):
    QDISC = "qdisc"
    CLASS = "class"
    FILTER = "filter"


_WHATS = {36: What.QDISC, 40: What.CLASS, 44: What.FILTER}  # RTM_NEW*; RTM_DEL* and RTM_GET* follow
_GETS = {what: number + 2 for number, what in _WHATS.items()}
_DELETION = 1


class TcObject(NamedTuple):
    """handle, parent: major in the upper half, minor in the lower. info: of a filter, priority and protocol.

    ifindex: -1 of what stands in a block that interfaces share. stats: None where the kernel gives none.
    """

    what: What
    ifindex: int
    kind: str
    handle: int
    parent: int
    info: int
    chain: int
    config: TcConfig
    stats: Optional[TcStats]


def encode_tc_dump(what: What, sequence: int, ifindex: int = 0, parent: int = 0) -> bytes:
    """Ask for all qdiscs of this network namespace; the classes of an interface; the filters at a parent."""
    body = _HEADER.pack(0, ifindex, 0, parent, 0)
    return encode_message(_GETS[what], NLM_F_REQUEST | NLM_F_DUMP, sequence, body)


def decode_tc(buffer: Octets, message: Message) -> Optional[TcObject]:
    """None for a message about something else, such as an action or a chain. Raises DecodeError."""
    what = _WHATS.get(message.kind & ~3)
    if what is None or message.kind & 3 > _DELETION:
        return None
    if message.end - message.start < _HEADER.size:
        raise DecodeError("message without tcmsg", message.start)
    _, ifindex, handle, parent, info = _HEADER.unpack_from(buffer, message.start)
    found = {
        number: (start, end)
        for number, start, end in pull_attributes(buffer, message.start + _HEADER.size, message.end)
    }
    if _KIND not in found:
        raise DecodeError("tc object without a kind", message.start)
    start, end = found[_KIND]
    kind = bytes(buffer[start:end]).rstrip(b"\0").decode("ascii", "backslashreplace")[:_MAX_KIND]
    options = bytes(buffer[slice(*found[_OPTIONS])]) if _OPTIONS in found else b""
    stats = read_stats(buffer, kind, found[_STATS2]) if _STATS2 in found else None
    return TcObject(
        what,
        ifindex,
        kind,
        handle,
        parent,
        info,
        _chain(buffer, found.get(_CHAIN)),
        read_config(what.value, kind, options),
        stats,
    )


def is_deletion(message: Message) -> bool:
    """Of a message that decode_tc() takes: the object is gone, its counters are the last ones."""
    return message.kind & 3 == _DELETION


def render_handle(handle: int, what: What = What.CLASS) -> str:
    """As tc(8) prints it: '1:' of a qdisc, '1:10' of a class."""
    major, minor = handle >> 16, handle & 0xFFFF
    if what is What.QDISC or not minor:
        return f"{major:x}:"
    return f"{major:x}:{minor:x}" if major else f":{minor:x}"


def render_parent(parent: int) -> str:
    """'root', 'ingress', 'egress', or the handle of a qdisc or class."""
    return _PARENTS.get(parent) or render_handle(parent)


def _chain(buffer: Octets, where: Optional[tuple[int, int]]) -> int:
    if where is None:
        return 0
    if where[1] - where[0] != 4:
        raise DecodeError("chain of a wrong length", where[0])
    (chain,) = struct.unpack_from("=I", buffer, where[0])
    return int(chain)
