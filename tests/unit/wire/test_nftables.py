"""Named counters, table handles and generations: answers of a real kernel, and broken ones."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from ipsecmon.errors import DecodeError
from ipsecmon.wire.netlink import Message, pull_messages
from ipsecmon.wire.nftables import (
    NamedCounter,
    decode_counter,
    decode_generation,
    decode_table_handle,
    encode_counter_dump,
    encode_generation_request,
    encode_table_request,
)
from tests.unit.wire.hexfiles import load
from tests.unit.wire.messages import attribute, message
from tests.unit.wire.three_ways import decode_three_ways

NEWTABLE, NEWGEN, NEWOBJ = 0x0A00, 0x0A0F, 0x0A12
INET = struct.pack(">BBH", 1, 0, 0)
EIGHT = (77).to_bytes(8, "big")
NAME, HANDLE = attribute(2, b"in_web\0"), attribute(6, EIGHT)
OCTETS, PACKETS = attribute(1, EIGHT), attribute(2, EIGHT)

Decoder = Callable[[bytes, Message], object]


def alone(decode: Decoder, datagram: bytes) -> object:
    """Decode a datagram of one message."""
    pulled = list(pull_messages(datagram))
    if len(pulled) != 1:
        raise DecodeError("not one message", 0)
    return decode(datagram, pulled[0])


def counter(*attributes: bytes) -> bytes:
    return message(NEWOBJ, INET + b"".join(attributes))


def test_a_real_dump_gives_every_counter_with_its_handle() -> None:
    dump, done = load("counters")

    assert [decode_counter(dump, found) for found in pull_messages(dump)] == [
        NamedCounter("out_other", 1, 2**32, 5),
        NamedCounter("in_inner", 2, 0, 0),
        NamedCounter("in_web", 3, 20, 1),
    ]
    assert [found.kind for found in pull_messages(done)] == [3]


def test_a_real_table_has_a_handle() -> None:
    (datagram,) = load("table")

    handle = alone(decode_table_handle, datagram)
    assert isinstance(handle, int) and handle > 0
    assert datagram.count(handle.to_bytes(8, "big")) == 1


def test_a_real_generation_is_a_number() -> None:
    (datagram,) = load("generation")

    generation = alone(decode_generation, datagram)
    assert isinstance(generation, int) and generation > 0
    assert generation.to_bytes(4, "big") in datagram


@pytest.mark.parametrize(
    ("decode", "name"), [(decode_table_handle, "table"), (decode_generation, "generation")]
)
def test_an_answer_decodes_whole_and_is_refused_in_part(decode: Decoder, name: str) -> None:
    (datagram,) = load(name)

    decode_three_ways(lambda part: alone(decode, part), datagram)


def test_a_counter_decodes_whole_and_is_refused_in_part() -> None:
    dump, _ = load("counters")
    first = next(pull_messages(dump))

    decode_three_ways(lambda part: alone(decode_counter, part), dump[: first.end])


def test_a_message_cut_at_every_attribute_is_refused_by_its_own_length() -> None:
    body = counter(NAME, attribute(4, OCTETS + PACKETS))[16:]
    for length in range(len(body)):
        cut = message(NEWOBJ, body[:length])
        with pytest.raises(DecodeError):
            alone(decode_counter, cut)


def test_the_largest_counts_and_a_dump_without_handles_are_taken() -> None:
    largest = attribute(1, b"\xff" * 8) + attribute(2, b"\xff" * 8)

    found = alone(decode_counter, counter(NAME, attribute(4, largest)))
    assert found == NamedCounter("in_web", 0, 2**64 - 1, 2**64 - 1)


def test_nested_flags_and_unknown_attributes_are_passed() -> None:
    found = alone(
        decode_counter,
        counter(
            attribute(99, b"new"), NAME, HANDLE, attribute(0x8000 | 4, OCTETS + attribute(3, b"") + PACKETS)
        ),
    )

    assert found == NamedCounter("in_web", 77, 77, 77)


def test_a_name_that_is_not_utf8_is_shown_and_not_an_error() -> None:
    found = alone(decode_counter, counter(attribute(2, b"\xffa\0"), attribute(4, OCTETS + PACKETS)))

    assert found == NamedCounter("\\xffa", 0, 77, 77)


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (counter(attribute(4, OCTETS + PACKETS)), "object without name or data"),
        (counter(NAME), "object without name or data"),
        (counter(NAME, attribute(4, b"")), "counter without octets or packets"),
        (counter(NAME, attribute(4, OCTETS)), "counter without octets or packets"),
        (counter(NAME, attribute(4, PACKETS)), "counter without octets or packets"),
        (counter(NAME, attribute(4, OCTETS + attribute(2, EIGHT[4:]))), "integer of a wrong length"),
        (counter(NAME, attribute(6, b""), attribute(4, OCTETS + PACKETS)), "integer of a wrong length"),
        (counter(NAME, attribute(4, OCTETS + PACKETS[:4])), "attribute length outside its message"),
        (counter(NAME, struct.pack("=HH", 2, 4)), "attribute length outside its message"),
        (message(NEWOBJ, b"\1\0"), "message without nfgenmsg"),
        (message(NEWTABLE, INET), "unexpected message type"),
        (message(3, bytes(4)), "unexpected message type"),
    ],
)
def test_what_breaks_a_counters_format_is_refused(broken: bytes, reason: str) -> None:
    with pytest.raises(DecodeError, match=reason):
        alone(decode_counter, broken)


@pytest.mark.parametrize(
    ("decode", "kind", "attribute_kind", "octets"),
    [(decode_table_handle, NEWTABLE, 4, 8), (decode_generation, NEWGEN, 1, 4)],
)
def test_an_answer_without_its_value_or_of_a_wrong_length_is_refused(
    decode: Decoder, kind: int, attribute_kind: int, octets: int
) -> None:
    with pytest.raises(DecodeError, match="answer without its value"):
        alone(decode, message(kind, INET))
    with pytest.raises(DecodeError, match="integer of a wrong length"):
        alone(decode, message(kind, INET + attribute(attribute_kind, bytes(octets - 1))))
    with pytest.raises(DecodeError, match="unexpected message type"):
        alone(decode, message(NEWOBJ, INET + attribute(attribute_kind, bytes(octets))))


def test_a_dump_of_counters_is_requested_without_a_reset() -> None:
    body = INET + attribute(1, b"ipsecmon\0") + attribute(3, (1).to_bytes(4, "big"))

    # NFT_MSG_GETOBJ is 19, NFT_MSG_GETOBJ_RESET 21; NLM_F_REQUEST and NLM_F_DUMP
    assert encode_counter_dump("ipsecmon", 5) == message(0x0A13, body, flags=0x0301, number=5)


def test_one_table_and_the_generation_are_requested_by_name_and_number() -> None:
    table = INET + attribute(1, b"ipsecmon\0")

    assert encode_table_request("ipsecmon", 6) == message(0x0A01, table, flags=0x0001, number=6)
    assert encode_generation_request(7) == message(0x0A10, INET, flags=0x0001, number=7)
