"""nf_tables rules that log to an NFLOG group, each with the counter beside it (linux/netfilter/nf_tables.h).

In: NFT_MSG_NEWRULE messages of any family, dumped or announced; iptables-nft rules are among them, with a
native `log` or with the xtables target NFLOG. Out: a LogRule for each group. Standard library only.

A counter belongs to a log statement if nothing stands between them that a packet could fail.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple, Optional

from ipsecmon.errors import DecodeError
from ipsecmon.wire.netlink import (
    NLM_F_DUMP,
    NLM_F_REQUEST,
    Message,
    encode_attribute,
    encode_message,
    pull_attributes,
)
from ipsecmon.wire.nftables import (
    NFNL_SUBSYS_NFTABLES,
    NFT_MSG_GETOBJ,
    NFT_MSG_GETTABLE,
    NFT_MSG_NEWOBJ,
    NFT_MSG_NEWTABLE,
    NFT_OBJECT_COUNTER,
    NamedCounter,
    Octets,
    decode_counter,
)

__all__ = [
    "FAMILIES",
    "LogRule",
    "decode_log_rules",
    "decode_table",
    "decode_table_counter",
    "encode_dump_counters",
    "encode_dump_rules",
    "encode_dump_tables",
    "is_new_object",
    "is_new_rule",
]

FAMILIES = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}  # linux/netfilter.h

_NEWRULE, _GETRULE = 6, 7
_RULE_TABLE, _RULE_CHAIN, _RULE_HANDLE, _RULE_EXPRESSIONS = 1, 2, 3, 4
_TABLE_NAME, _TABLE_HANDLE = 1, 4
_OBJ_TABLE, _OBJ_TYPE = 1, 3
_EXPR_NAME, _EXPR_DATA = 1, 2
_COUNTER_BYTES, _COUNTER_PACKETS = 1, 2
_LOG_GROUP = 1
_OBJREF_TYPE, _OBJREF_NAME = 1, 2
_TARGET_NAME, _TARGET_INFO = 1, 3
_NFLOG_INFO = struct.Struct("=IH")  # xt_nflog_info: len, group, …
_NEVER_FAIL = ("counter", "objref", "log", "immediate", "last", "target")

Span = tuple[int, int]


class LogRule(NamedTuple):
    """counter: octets, packets; None where no counter stands beside the log statement, or a named one does:
    then object is its name, in the rule's own table."""

    family: int
    table: str
    chain: str
    handle: int
    group: int
    counter: Optional[tuple[int, int]]
    object: str


def encode_dump_rules(sequence: int) -> bytes:
    """Ask for every rule of this network namespace."""
    return _dump(_GETRULE, sequence)


def encode_dump_tables(sequence: int) -> bytes:
    """Ask for every table: a rule names its table, but not that table's life."""
    return _dump(NFT_MSG_GETTABLE, sequence)


def encode_dump_counters(sequence: int) -> bytes:
    """Ask for the named counters of every table."""
    return _dump(NFT_MSG_GETOBJ, sequence, encode_attribute(_OBJ_TYPE, struct.pack(">I", NFT_OBJECT_COUNTER)))


def _dump(message: int, sequence: int, attributes: bytes = b"") -> bytes:
    kind = NFNL_SUBSYS_NFTABLES << 8 | message
    return encode_message(kind, NLM_F_REQUEST | NLM_F_DUMP, sequence, bytes(4) + attributes)


def is_new_rule(message: Message) -> bool:
    return message.kind == NFNL_SUBSYS_NFTABLES << 8 | _NEWRULE


def is_new_object(message: Message) -> bool:
    return message.kind == NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWOBJ


def decode_log_rules(buffer: Octets, message: Message) -> list[LogRule]:
    """What one NFT_MSG_NEWRULE logs to NFLOG groups; [] for any other rule. Raises DecodeError."""
    values = _values(buffer, message, _NEWRULE, {_RULE_TABLE, _RULE_CHAIN, _RULE_HANDLE})
    table, chain = (_text(buffer, values[kind]) for kind in (_RULE_TABLE, _RULE_CHAIN))
    handle = _unsigned(buffer, values[_RULE_HANDLE], 8)
    expressions = values.get(_RULE_EXPRESSIONS)
    found = _groups(buffer, expressions) if expressions else ()
    return [LogRule(buffer[message.start], table, chain, handle, *one) for one in found]


def decode_table(buffer: Octets, message: Message) -> tuple[tuple[int, str], int]:
    """(family, name) and handle in one NFT_MSG_NEWTABLE. Raises DecodeError."""
    values = _values(buffer, message, NFT_MSG_NEWTABLE, {_TABLE_NAME, _TABLE_HANDLE})
    handle = _unsigned(buffer, values[_TABLE_HANDLE], 8)
    return (buffer[message.start], _text(buffer, values[_TABLE_NAME])), handle


def decode_table_counter(buffer: Octets, message: Message) -> tuple[int, str, NamedCounter]:
    """Family and table of one named counter, and what it says. Raises DecodeError."""
    values = _values(buffer, message, NFT_MSG_NEWOBJ, {_OBJ_TABLE})
    return buffer[message.start], _text(buffer, values[_OBJ_TABLE]), decode_counter(buffer, message)


def _values(buffer: Octets, message: Message, expected: int, needed: set[int]) -> dict[int, Span]:
    if message.kind != NFNL_SUBSYS_NFTABLES << 8 | expected:
        raise DecodeError("unexpected message type", message.start - 12)
    if message.end - message.start < 4:
        raise DecodeError("message without nfgenmsg", message.start)
    values = _attributes(buffer, (message.start + 4, message.end))
    if not needed <= set(values):
        raise DecodeError("answer without its value", message.start)
    return values


def _groups(buffer: Octets, expressions: Span) -> Iterator[tuple[int, Optional[tuple[int, int]], str]]:
    """(group, counter, object) of each log statement."""
    groups: list[int] = []
    counter: Optional[tuple[int, int]] = None
    name = ""
    for kind, data in _expressions(buffer, expressions):
        if kind == "counter":
            counter = _counter(buffer, data)
        elif kind == "objref" and _counter_name(buffer, data):
            name = _counter_name(buffer, data)
        elif kind in ("log", "target"):
            groups += _group(buffer, kind, data)
        if kind not in _NEVER_FAIL or (kind == "objref" and not _counter_name(buffer, data)):
            yield from ((group, counter, name) for group in groups)
            groups, counter, name = [], None, ""
    yield from ((group, counter, name) for group in groups)


def _expressions(buffer: Octets, span: Span) -> Iterator[tuple[str, dict[int, Span]]]:
    for _, *element in pull_attributes(buffer, *span):
        values = _attributes(buffer, (element[0], element[1]))
        if _EXPR_NAME not in values:
            raise DecodeError("expression without a name", element[0])
        data = values.get(_EXPR_DATA)
        name = _text(buffer, values[_EXPR_NAME])
        understood = name in ("counter", "objref", "log", "target")
        yield name, _attributes(buffer, data) if data and understood else {}


def _counter(buffer: Octets, data: dict[int, Span]) -> Optional[tuple[int, int]]:
    if not {_COUNTER_BYTES, _COUNTER_PACKETS} <= set(data):
        return None
    return _unsigned(buffer, data[_COUNTER_BYTES], 8), _unsigned(buffer, data[_COUNTER_PACKETS], 8)


def _counter_name(buffer: Octets, data: dict[int, Span]) -> str:
    """Empty where the object is no counter, or chosen by a map."""
    if not {_OBJREF_TYPE, _OBJREF_NAME} <= set(data):
        return ""
    is_counter = _unsigned(buffer, data[_OBJREF_TYPE], 4) == NFT_OBJECT_COUNTER
    return _text(buffer, data[_OBJREF_NAME]) if is_counter else ""


def _group(buffer: Octets, kind: str, data: dict[int, Span]) -> list[int]:
    if kind == "log":
        return [_unsigned(buffer, data[_LOG_GROUP], 2)] if _LOG_GROUP in data else []
    if _TARGET_NAME not in data or _text(buffer, data[_TARGET_NAME]) != "NFLOG":
        return []
    start, end = data.get(_TARGET_INFO, (0, 0))
    if end - start < _NFLOG_INFO.size:
        raise DecodeError("NFLOG target without its group", start)
    return [int(_NFLOG_INFO.unpack_from(buffer, start)[1])]


def _attributes(buffer: Octets, span: Span) -> dict[int, Span]:
    return {kind: (start, end) for kind, start, end in pull_attributes(buffer, *span)}


def _unsigned(buffer: Octets, span: Span, octets: int) -> int:
    start, end = span
    if end - start != octets:
        raise DecodeError("integer of a wrong length", start)
    return int.from_bytes(buffer[start:end], "big")


def _text(buffer: Octets, span: Span) -> str:
    return bytes(buffer[slice(*span)]).rstrip(b"\0").decode("utf-8", "backslashreplace")
