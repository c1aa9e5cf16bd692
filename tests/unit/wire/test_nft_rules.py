"""Rules that log, as a real kernel dumps them, and broken ones. They stand in the fixtures' heads."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from ipsecmon.errors import DecodeError
from ipsecmon.wire.netlink import Message, pull_messages
from ipsecmon.wire.nft_rules import (
    LogRule,
    decode_log_rules,
    decode_table,
    decode_table_counter,
    encode_dump_counters,
    encode_dump_rules,
    encode_dump_tables,
)
from ipsecmon.wire.nftables import NamedCounter
from tests.unit.wire.hexfiles import load
from tests.unit.wire.messages import attribute, message
from tests.unit.wire.three_ways import decode_three_ways

NEWRULE, DONE = 0x0A06, 3
INET = struct.pack(">BBH", 1, 0, 0)
NESTED = 0x8000
NUMBER = (5).to_bytes(8, "big")
TABLE, CHAIN, HANDLE = attribute(1, b"fw\0"), attribute(2, b"c\0"), attribute(3, NUMBER)
COUNTER = attribute(1, (900).to_bytes(8, "big")) + attribute(2, (9).to_bytes(8, "big"))
LOG = attribute(1, (31).to_bytes(2, "big"))


def expression(name: str, data: bytes = b"") -> bytes:
    return attribute(1 | NESTED, attribute(1, name.encode() + b"\0") + attribute(2 | NESTED, data))


def rule(*expressions: bytes) -> bytes:
    return message(NEWRULE, INET + TABLE + CHAIN + HANDLE + attribute(4 | NESTED, b"".join(expressions)))


def nflog_target(info: bytes) -> bytes:
    """As iptables-nft before 1.8.7 writes -j NFLOG."""
    revision = attribute(2, (0).to_bytes(4, "big"))
    return expression("target", attribute(1, b"NFLOG\0") + revision + attribute(3, info))


def decoded(datagram: bytes) -> list[LogRule]:
    (found,) = pull_messages(datagram)
    return decode_log_rules(datagram, found)


def everything(name: str, decode: Callable[[bytes, Message], object]) -> list[object]:
    return [
        decode(datagram, found)
        for datagram in load(name)
        for found in pull_messages(datagram)
        if found.kind != DONE
    ]


def test_a_real_dump_gives_the_counter_beside_each_log_statement() -> None:
    rules = [one for found in everything("log-rules", decode_log_rules) for one in found]  # type: ignore[attr-defined]

    assert [(one.group, one.counter, one.object) for one in rules if one.table == "fw"] == [
        (15, (300, 3), ""),
        (15, (400, 4), ""),
        (16, None, "mine"),
        (17, None, ""),  # its counter counts what the condition after it refuses
        (18, None, ""),
        (19, None, ""),
        (65535, (500, 5), ""),
        (20, (500, 5), ""),
    ]
    assert [(one.chain, one.group, one.counter) for one in rules if one.table == "mangle"] == [
        ("own", 32, (400, 4)),
        ("own", 32, (500, 5)),
        ("own", 0, (600, 6)),
        ("PREROUTING", 31, (200, 2)),
    ]
    assert {one.family for one in rules} == {1, 2}
    assert len({(one.table, one.handle, one.group) for one in rules}) == len(rules)


def test_real_tables_and_counters_are_told_with_their_family() -> None:
    assert everything("log-tables", decode_table) == [((1, "fw"), 1), ((2, "mangle"), 2)]
    assert everything("log-objects", decode_table_counter) == [(1, "fw", NamedCounter("mine", 2, 700, 7))]


def test_a_rule_is_decoded_three_ways() -> None:
    decode_three_ways(decode_one, rule(expression("counter", COUNTER), expression("log", LOG)))


def decode_one(datagram: bytes) -> list[LogRule]:
    """Exactly one message, or a DecodeError."""
    pulled = list(pull_messages(datagram))
    if len(pulled) != 1:
        raise DecodeError("not one message", 0)
    return decode_log_rules(datagram, pulled[0])


def test_the_xtables_target_of_older_iptables_is_understood() -> None:
    info = struct.pack("=IHHHH64s", 64, 31, 0, 0, 0, b"prefix")
    found = decoded(rule(expression("match"), expression("counter", COUNTER), nflog_target(info)))
    assert found == [LogRule(1, "fw", "c", 5, 31, (900, 9), "")]
    other = expression("target", attribute(1, b"MARK\0"))
    assert decoded(rule(expression("counter", COUNTER), other)) == []


def test_a_condition_parts_a_log_statement_from_its_counter() -> None:
    counter, log = expression("counter", COUNTER), expression("log", LOG)
    for condition in ("cmp", "lookup", "limit", "match", "something-new"):
        for order in ((counter, expression(condition), log), (log, expression(condition), counter)):
            assert [one.counter for one in decoded(rule(*order))] == [None]
    assert [one.counter for one in decoded(rule(expression("cmp"), log, counter))] == [(900, 9)]


def test_a_log_statement_without_a_group_goes_to_syslog_and_is_no_concern() -> None:
    assert decoded(rule(expression("log", attribute(2, b"x\0")))) == []
    assert decoded(message(NEWRULE, INET + TABLE + CHAIN + HANDLE)) == []


@pytest.mark.parametrize(
    "broken",
    [
        message(0x0A00, INET + TABLE + CHAIN + HANDLE),
        message(NEWRULE, b"\1\0"),
        message(NEWRULE, INET + CHAIN + HANDLE),
        message(NEWRULE, INET + TABLE + HANDLE),
        message(NEWRULE, INET + TABLE + CHAIN),
        message(NEWRULE, INET + TABLE + CHAIN + attribute(3, bytes(4))),
        rule(attribute(1 | NESTED, attribute(2 | NESTED, LOG))),
        rule(expression("log", attribute(1, bytes(4)))),
        rule(expression("counter", attribute(1, bytes(4)) + attribute(2, bytes(8))), expression("log", LOG)),
        rule(nflog_target(bytes(4))),
        rule(b"\xff\xff\xff\xff"),
    ],
)
def test_what_breaks_the_format_is_refused(broken: bytes) -> None:
    with pytest.raises(DecodeError):
        decoded(broken)


def test_requests_ask_for_every_family() -> None:
    for request, kind in (
        (encode_dump_rules(1), 7),
        (encode_dump_tables(2), 1),
        (encode_dump_counters(3), 19),
    ):
        (asked,) = pull_messages(request)
        assert asked.kind == 0x0A00 | kind
        assert asked.flags == 0x301
        assert request[asked.start : asked.start + 4] == bytes(4)
