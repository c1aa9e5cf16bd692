"""The codecs against plain decoders, on datagrams made up of every oddity and on real ones, damaged.

Both take the same rows or both refuse; nothing but DecodeError is ever raised. Examples are the same in
every run; LONGER multiplies their number: `IPSECMON_LONGER=50 pytest tests/property/test_wire.py`.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import Union

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from ipsecmon.errors import DecodeError
from ipsecmon.wire.netlink import Message, decode_error, pull_attributes, pull_messages
from ipsecmon.wire.nflog import decode_packets
from ipsecmon.wire.nftables import decode_counter, decode_generation, decode_table_handle
from tests.unit.wire import plain
from tests.unit.wire.hexfiles import load
from tests.unit.wire.messages import DONE, PACKET, PAYLOAD, Columns, attribute, columns, message
from tests.unit.wire.plain import decode_plainly

LONGER = int(os.environ.get("IPSECMON_LONGER", "1"))
REAL = [
    datagram
    for name in ("mixed", "single", "groups", "snaplen-30", "prefix", "tagged")
    for datagram in load(name)
]
ANSWERS = [
    datagram
    for name in ("counters", "table", "generation", "bound", "in-use", "no-table")
    for datagram in load(name)
]
Outcome = Union[Columns, str]


def examples(number: int) -> settings:
    return settings(
        max_examples=number * LONGER,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


def outcome(decode: Callable[[], Columns]) -> Outcome:
    try:
        return decode()
    except DecodeError:
        return "refused"


def fast(datagrams: Sequence[bytes]) -> Outcome:
    ends = list(accumulate(map(len, datagrams)))
    return outcome(lambda: columns(decode_packets(b"".join(datagrams), ends)))


def plainly(datagrams: Sequence[bytes]) -> Outcome:
    return outcome(lambda: decode_plainly(datagrams))


# What a payload or an attribute may hold to be taken for something else: headers with and without zeros.
imitations = st.sampled_from(
    [
        struct.pack("=HHII", PACKET, 0, 0, 0),
        struct.pack("=IHHII", 20, PACKET, 0, 0, 0),
        struct.pack("=IHHII", 28, PACKET, 0, 0, 0) + bytes(12),
        struct.pack("=IHH", 20, 3, 0),
        DONE,
        struct.pack("=HH", 8, PAYLOAD),
        bytes(4),
        bytes(16),
    ]
)
lengths = st.sampled_from([0, 1, 20, 1500, 65535]) | st.integers(0, 65535)
tags = st.sampled_from([0x8100, 0x88A8, 0x0800, 0x86DD, 0x0806])
ethernet_types = st.sampled_from([0x0800, 0x86DD, 0x8100, 0x88A8, 0, 0x0806]) | st.integers(0, 65535)


@st.composite
def ip_copies(draw: DrawFn) -> bytes:
    """What looks like an IP packet of any version, behind any number of tags."""
    tagged = b"".join(struct.pack(">HH", draw(lengths), kind) for kind in draw(st.lists(tags, max_size=3)))
    version = draw(st.sampled_from([4, 4, 6, 6]) | st.integers(0, 15))
    following = draw(st.sampled_from([0, 17, 44, 50]))
    first = struct.pack(">BBH", version << 4 | draw(st.integers(0, 15)), 0, draw(lengths))
    second = struct.pack(">HBB", draw(lengths), draw(st.sampled_from([0, 0x20, 0x40, 0x1F])), following)
    if version == 6:
        second = struct.pack(">HBB", draw(lengths), following, 64)
    return tagged + first + second + draw(st.binary(min_size=52, max_size=52))


payloads = st.tuples(
    ip_copies() | st.lists(imitations, max_size=5).map(b"".join) | st.binary(max_size=60), st.integers(0, 60)
).map(lambda whole: whole[0][: whole[1]])


@st.composite
def layouts(draw: DrawFn) -> tuple[tuple[int, int], ...]:
    """(type, octets) of the attributes before the payload, and of the payload: mostly as the format wants."""
    before = st.sampled_from(
        [(1, 4), (12, 4), (2, 4), (3, 16), (10, 1), (11, 4), (16, 14), (20 | 0x8000, 16)]
    )
    odd = st.tuples(st.integers(0, 25) | st.just(12 | 0x4000), st.integers(0, 20))
    chosen = draw(st.lists(before | before | before | odd, max_size=6))
    last = draw(st.sampled_from([[PAYLOAD], [PAYLOAD], [PAYLOAD], [], [PAYLOAD | 0x8000]]))
    return (*chosen, *((kind, -1) for kind in last))


@st.composite
def values(draw: DrawFn, kind: int, octets: int) -> bytes:
    if octets < 0:
        return draw(payloads)
    if kind == 1 and octets == 4:
        return struct.pack(">HBB", draw(ethernet_types), draw(st.integers(0, 4)), 0)
    filled = draw(st.binary(min_size=octets, max_size=octets) | imitations)
    return (filled + bytes(octets))[:octets]


@st.composite
def packet_messages(draw: DrawFn, shape: tuple[tuple[int, int], ...]) -> bytes:
    """One message of a layout. Rarely with another header, a cut or octets behind the payload."""
    padding = draw(st.sampled_from([bytes(3), b"\xff" * 3]))
    body = struct.pack(">BBH", draw(st.sampled_from([2, 7, 10])), 0, draw(st.sampled_from([0, 1, 10, 65535])))
    body += b"".join(attribute(kind, draw(values(kind, octets)), padding) for kind, octets in shape)
    odd = draw(st.integers(0, 60))
    if odd == 1:
        return message(PACKET, body[: draw(st.integers(0, len(body)))])
    if odd == 2:
        return message(PACKET, body + draw(imitations))
    if odd < 6:
        return message(PACKET, body, flags=draw(st.integers(0, 2)), number=draw(st.integers(0, 2)))
    return message(PACKET, body)


@st.composite
def made_up(draw: DrawFn) -> list[bytes]:
    """Several datagrams, with and without a closing message or strange ones; few layouts among many rows."""
    shapes = draw(st.lists(layouts(), min_size=1, max_size=3))
    one = st.sampled_from(shapes).flatmap(packet_messages)
    strange = st.sampled_from(
        [DONE, message(2, bytes(20), number=1), message(PACKET, b"", flags=1), b"\0" * 4]
    )
    closing = st.sampled_from([[], [DONE], [DONE], [DONE[:-1]]])
    whole = st.tuples(st.lists(one | one | one | one | one | strange, max_size=5), closing)
    return draw(st.lists(whole.map(lambda parts: b"".join([*parts[0], *parts[1]])), min_size=1, max_size=3))


@st.composite
def damaged(draw: DrawFn, real: Sequence[bytes]) -> bytes:
    """A real datagram with bits flipped, words replaced, parts cut out or spliced in."""
    octets = bytearray(draw(st.sampled_from(real)))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, max(len(octets) - 1, 0)))
        damage = draw(st.sampled_from(["bit", "word", "cut", "splice", "end"]))
        if damage == "bit" and octets:
            octets[at] ^= 1 << draw(st.integers(0, 7))
        elif damage == "word":
            octets[at & ~3 : (at & ~3) + 4] = draw(st.sampled_from([bytes(4), b"\xff" * 4]) | imitations)[:4]
        elif damage == "cut":
            del octets[at : at + draw(st.sampled_from([1, 4, 20, 100]))]
        elif damage == "splice":
            other = draw(st.sampled_from(real))
            begin = draw(st.integers(0, len(other) // 4)) * 4
            octets[at & ~3 : at & ~3] = other[begin : begin + draw(st.sampled_from([4, 20, 156]))]
        elif damage == "end":
            del octets[at:]
    return bytes(octets)


def pairs(strategy: SearchStrategy[bytes]) -> SearchStrategy[list[bytes]]:
    return st.lists(strategy, min_size=1, max_size=2)


def of_whole_words(datagrams: Sequence[bytes]) -> bool:
    return all(len(datagram) % 4 == 0 for datagram in datagrams[:-1])


@examples(1500)
@given(made_up())
def test_made_up_datagrams_decode_as_plainly_as_can_be(datagrams: list[bytes]) -> None:
    expected = plainly(datagrams) if of_whole_words(datagrams) else "refused"

    assert fast(datagrams) == expected


@examples(500)
@given(made_up())
def test_octets_that_are_one_datagram_are_never_taken_for_several(datagrams: list[bytes]) -> None:
    together = b"".join(datagrams)

    assert fast([together]) == plainly([together])


@examples(1500)
@given(pairs(damaged(REAL)))
def test_damaged_real_datagrams_decode_as_plainly_as_can_be(datagrams: list[bytes]) -> None:
    expected = plainly(datagrams) if of_whole_words(datagrams) else "refused"

    assert fast(datagrams) == expected


@examples(300)
@given(st.binary(max_size=200) | st.lists(imitations, max_size=12).map(b"".join))
def test_any_octets_are_taken_or_refused_as_plainly_as_can_be(octets: bytes) -> None:
    assert fast([octets]) == plainly([octets])


def pulled(datagram: bytes) -> Iterator[tuple[int, bytes]]:
    for found in pull_messages(datagram):
        yield found.kind, datagram[found.start : found.end]


def attributes(datagram: bytes) -> Iterator[tuple[int, bytes]]:
    for kind, start, end in pull_attributes(datagram, 0, len(datagram)):
        yield kind, datagram[start:end]


def until_refused(items: Iterator[tuple[int, bytes]]) -> list[object]:
    """What came, and whether it ended by itself."""
    found: list[object] = []
    try:
        found.extend(items)
    except DecodeError:
        found.append("refused")
    return found


@examples(500)
@given(damaged([*ANSWERS, *REAL]))
def test_messages_are_pulled_as_plainly_as_can_be(datagram: bytes) -> None:
    assert until_refused(pulled(datagram)) == until_refused(plain.messages(datagram))


@examples(500)
@given(
    st.lists(st.builds(attribute, st.integers(0, 65535), st.binary(max_size=9)))
    .map(b"".join)
    .flatmap(lambda real: damaged([real]))
)
def test_attributes_are_pulled_as_plainly_as_can_be(body: bytes) -> None:
    assert until_refused(attributes(body)) == until_refused(plain.attributes(body))


@examples(1000)
@given(damaged(ANSWERS))
def test_an_answer_is_decoded_or_refused_and_nothing_else(datagram: bytes) -> None:
    decoders: list[Callable[[bytes, Message], object]] = [
        decode_error,
        decode_counter,
        decode_table_handle,
        decode_generation,
    ]
    for decode in decoders:
        try:
            for found in pull_messages(datagram):
                decode(datagram, found)
        except DecodeError as refused:
            assert 0 <= refused.offset <= len(datagram)
