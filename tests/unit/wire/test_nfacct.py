"""nfacct objects and iptables-nft's leavings: answers of a real kernel, and broken ones."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipsecmon.errors import DecodeError
from ipsecmon.wire.netlink import pull_attributes, pull_messages
from ipsecmon.wire.nfacct import AcctObject, decode_object, encode_delete, encode_dump, encode_new
from ipsecmon.wire.nft_cleanup import encode_chain_request, encode_deletion, encode_table_request
from tests.unit.wire.hexfiles import load
from tests.unit.wire.messages import attribute, message
from tests.unit.wire.three_ways import decode_three_ways

NEW = 7 << 8
ANY = struct.pack(">BBH", 0, 0, 0)
EIGHT = (77).to_bytes(8, "big")
NAME, PACKETS, OCTETS = attribute(1, b"mine\0"), attribute(2, EIGHT), attribute(3, EIGHT)


def alone(datagram: bytes) -> object:
    """Decode a datagram of one message."""
    pulled = list(pull_messages(datagram))
    if len(pulled) != 1:
        raise DecodeError("not one message", 0)
    return decode_object(datagram, pulled[0])


def test_a_real_dump_gives_every_object_with_its_values() -> None:
    dump, done = load("nfacct")

    assert [decode_object(dump, found) for found in pull_messages(dump)] == [
        AcctObject("ipsecmon-life-0badcafe", 0, 0),
        AcctObject("ipsecmon-be6fc5f09d", 504, 6),
    ]
    assert [found.kind for found in pull_messages(done)] == [3]


def test_an_object_is_decoded_whole_or_refused() -> None:
    decode_three_ways(alone, message(NEW, ANY + NAME + PACKETS + OCTETS))


@pytest.mark.parametrize(
    "broken",
    [
        message(NEW + 1, ANY + NAME + PACKETS + OCTETS),
        message(NEW, ANY[:2]),
        message(NEW, ANY + PACKETS + OCTETS),
        message(NEW, ANY + NAME + OCTETS),
        message(NEW, ANY + NAME + PACKETS),
        message(NEW, ANY + NAME + PACKETS + attribute(3, EIGHT[:4])),
    ],
)
def test_what_breaks_the_format_is_refused(broken: bytes) -> None:
    with pytest.raises(DecodeError):
        alone(broken)


@given(st.binary(max_size=80))
def test_any_octets_are_an_object_or_a_decode_error(body: bytes) -> None:
    try:
        alone(message(NEW, body))
    except DecodeError:
        pass


def test_a_new_object_is_made_and_never_taken_over() -> None:
    request = encode_new("mine", 9)
    (found,) = pull_messages(request)
    assert (found.kind, found.flags, found.sequence) == (NEW, 0x001 | 0x004 | 0x200 | 0x400, 9)
    assert _attributes(request) == {1: b"mine\0"}
    assert _attributes(encode_delete("mine", 1)) == {1: b"mine\0"}


def test_a_dump_reads_and_never_zeroes() -> None:
    (found,) = pull_messages(encode_dump(3))
    assert (found.kind, found.flags) == (NEW + 1, 0x301)


@pytest.mark.parametrize(("family", "number"), [(4, 2), (6, 10)])
def test_questions_name_the_family_the_table_and_the_chain(family: int, number: int) -> None:
    table, chain = (
        encode_table_request(family, "mangle", 1),
        encode_chain_request(family, "mangle", "OUTPUT", 1),
    )
    assert table[16] == chain[16] == number
    assert _attributes(table) == {1: b"mangle\0"}
    assert _attributes(chain) == {1: b"mangle\0", 3: b"OUTPUT\0"}


@pytest.mark.parametrize(("chain", "kind"), [("OUTPUT", 0x0A05), ("", 0x0A02)])
def test_a_deletion_is_one_batch_that_spares_what_is_in_use(chain: str, kind: int) -> None:
    request = encode_deletion(4, "mangle", chain, 5)
    begin, deletion, end = pull_messages(request)
    assert (begin.kind, deletion.kind, end.kind) == (16, kind, 17)
    assert deletion.flags & 0x100  # NLM_F_NONREC


def _attributes(request: bytes) -> dict[int, bytes]:
    (found,) = pull_messages(request)
    return {
        kind: request[start:end] for kind, start, end in pull_attributes(request, found.start + 4, found.end)
    }
