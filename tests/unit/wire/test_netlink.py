"""Netlink messages and attributes: what is refused, and acknowledgements of a real kernel."""

from __future__ import annotations

import struct

import pytest

from ipsecmon.errors import DecodeError
from ipsecmon.wire.netlink import (
    NLM_F_ACK,
    NLM_F_REQUEST,
    Message,
    decode_error,
    encode_attribute,
    encode_message,
    pull_attributes,
    pull_messages,
)
from tests.unit.wire.hexfiles import load
from tests.unit.wire.messages import attribute, message
from tests.unit.wire.three_ways import decode_three_ways

EPERM, ENOENT = 1, 2


def errors(datagram: bytes) -> list[int]:
    return [decode_error(datagram, found) for found in pull_messages(datagram)]


def walk(body: bytes) -> list[tuple[int, bytes]]:
    return [(kind, body[start:end]) for kind, start, end in pull_attributes(body, 0, len(body))]


def test_a_message_is_laid_out_as_the_header_says() -> None:
    found = encode_message(0x0401, NLM_F_REQUEST | NLM_F_ACK, 7, b"body")

    assert found == struct.pack("=IHHII", 20, 0x0401, 0x0005, 7, 0) + b"body"


@pytest.mark.parametrize("octets", range(5))
def test_an_attribute_is_padded_to_4_and_its_length_is_not(octets: int) -> None:
    found = encode_attribute(9, b"x" * octets)

    assert found == attribute(9, b"x" * octets)
    assert len(found) % 4 == 0
    assert walk(found) == [(9, b"x" * octets)]


def test_messages_come_in_order_with_where_their_bodies_lie() -> None:
    datagram = message(3, b"abcde", flags=2, number=9) + message(0x0400, b"")

    assert list(pull_messages(datagram)) == [Message(3, 2, 9, 16, 21), Message(0x0400, 0, 0, 40, 40)]
    assert list(pull_messages(datagram, 24)) == [Message(0x0400, 0, 0, 40, 40)]


def test_messages_before_the_one_that_breaks_the_chain_are_still_given() -> None:
    pulled = pull_messages(message(3, b"") + b"\0" * 16)

    assert next(pulled).kind == 3
    with pytest.raises(DecodeError, match="netlink length outside the datagram at offset 16"):
        next(pulled)


def test_messages_decode_whole_and_are_refused_in_part() -> None:
    datagram = message(3, b"abcd") + message(4, b"")

    decode_three_ways(lambda part: list(pull_messages(part)), datagram, ends=(0, 20))


@pytest.mark.parametrize("length", [0, 15, 21, 2**32 - 1])
def test_a_length_outside_the_datagram_is_refused(length: int) -> None:
    datagram = struct.pack("=I", length) + message(3, b"abcd")[4:]

    with pytest.raises(DecodeError, match="netlink length outside the datagram"):
        list(pull_messages(datagram))


def test_attributes_decode_whole_and_are_refused_in_part() -> None:
    whole = attribute(1, b"abcd") + attribute(0x8000 | 2, b"")

    assert walk(whole) == [(1, b"abcd"), (2, b"")]
    decode_three_ways(walk, whole, ends=(0, 8), trailing="refused")


@pytest.mark.parametrize("length", [0, 3, 9, 65535])
def test_an_attribute_length_outside_its_message_is_refused(length: int) -> None:
    with pytest.raises(DecodeError, match="attribute length outside its message"):
        walk(struct.pack("=HH", length, 1) + b"abcd")


def test_an_acknowledgement_is_error_0_and_numbered_as_its_request() -> None:
    for number, datagram in enumerate(load("bound"), 1):
        (found,) = pull_messages(datagram)
        assert (found.kind, found.sequence, decode_error(datagram, found)) == (2, number, 0)
        decode_three_ways(errors, datagram, ends=(0,))


@pytest.mark.parametrize(("name", "code"), [("in-use", EPERM), ("no-table", ENOENT)])
def test_a_refusal_gives_the_errno(name: str, code: int) -> None:
    (datagram,) = load(name)

    assert errors(datagram) == [code]
    decode_three_ways(errors, datagram, ends=(0,))


def test_an_error_message_without_its_code_is_refused() -> None:
    with pytest.raises(DecodeError, match="error message cut short"):
        errors(message(2, b"\0\0"))
