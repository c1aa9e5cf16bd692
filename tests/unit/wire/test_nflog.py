"""NFLOG datagrams: real ones, odd ones, and those that break the format."""

from __future__ import annotations

import itertools
import struct
import sys

import pytest

from ipsecmon.errors import DecodeError
from ipsecmon.wire import nflog
from ipsecmon.wire.nflog import decode_packets
from tests.unit.wire.hexfiles import load
from tests.unit.wire.messages import (
    DONE,
    PACKET,
    PAYLOAD,
    Columns,
    attribute,
    columns,
    copy,
    header,
    ip4,
    ip6,
    message,
    packet_header,
    sequence,
)
from tests.unit.wire.plain import decode_plainly
from tests.unit.wire.three_ways import decode_three_ways

REAL = ("mixed", "single", "groups", "snaplen-30", "prefix", "tagged")
ONE_WAY = [40, 128, 1029, 60, 148, 1049]  # 12, 100 and 1001 octets over UDP over IPv4, then IPv6
IMITATION = struct.pack("=IHHII", 28, PACKET, 0, 0, 0)


def decode(*messages: bytes) -> Columns:
    return columns(decode_packets(b"".join(messages)))


def boundaries(datagram: bytes) -> list[int]:
    """Where its messages end."""
    ends = [0]
    while ends[-1] < len(datagram):
        length: int = struct.unpack_from("=I", datagram, ends[-1])[0]
        ends.append(ends[-1] + length + -length % 4)
    return ends


def test_both_families_and_hooks_with_and_without_nfmark_are_taken_in_order() -> None:
    (datagram,) = load("mixed")

    assert decode(datagram) == ([10] * 24, ONE_WAY * 4, list(range(24)), {"short": 12})


def test_a_datagram_of_one_message_has_no_closing_message() -> None:
    (datagram,) = load("single")

    assert len(boundaries(datagram)) == 2
    assert decode(datagram) == ([10], [128], [0], {})


def test_two_groups_come_in_datagrams_of_their_own() -> None:
    datagrams = load("groups")
    ends = list(itertools.accumulate(map(len, datagrams)))

    found = columns(decode_packets(b"".join(datagrams), ends))
    assert found == ([11] * 12 + [10] * 12, ONE_WAY * 4, [*range(12), *range(12)], {"short": 6})


def test_a_snap_length_that_is_no_multiple_of_4_is_padded() -> None:
    (datagram,) = load("snaplen-30")

    assert decode(datagram) == ([10] * 12, ONE_WAY * 2, list(range(12)), {"short": 6})


def test_a_rules_prefix_and_the_highest_group_are_taken() -> None:
    (datagram,) = load("prefix")

    assert decode(datagram) == ([65535] * 12, ONE_WAY * 2, list(range(12)), {})


def test_tags_on_a_bridge_are_passed_whether_the_kernel_took_them_off_or_not() -> None:
    (datagram,) = load("tagged")  # no tag; a tag taken off; the outer of two taken off

    assert decode(datagram) == ([10] * 3, [28] * 3, [0, 1, 2], {"vlan": 2})


@pytest.mark.parametrize("name", REAL)
def test_real_datagrams_decode_as_plainly_as_can_be(name: str) -> None:
    for datagram in load(name):
        assert decode(datagram) == decode_plainly([datagram])


@pytest.mark.parametrize("block", [1, 2, 5])
@pytest.mark.parametrize("name", REAL)
def test_more_messages_than_one_block_decode_as_plainly_as_can_be(
    name: str, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nflog, "_BLOCK", block)
    for datagram in load(name):
        assert decode(datagram) == decode_plainly([datagram])


def test_a_row_of_another_layout_behind_the_first_block_is_not_taken_for_the_firsts() -> None:
    marked = copy(ip4(300), number=1, extra=attribute(3, bytes(4)))
    prefixed = copy(ip4(300), number=2, extra=attribute(10, bytes(4)))
    several = [marked] * (nflog._BLOCK + 1) + [prefixed] * (nflog._BLOCK + 1)
    assert len(marked) == len(prefixed)

    assert decode(*several)[2] == [1] * (nflog._BLOCK + 1) + [2] * (nflog._BLOCK + 1)
    assert decode(*several[1:], marked) == decode_plainly([b"".join([*several[1:], marked])])


@pytest.mark.parametrize("name", REAL)
def test_a_real_datagram_decodes_whole_and_is_refused_in_part(name: str) -> None:
    for datagram in load(name):
        decode_three_ways(decode_packets, datagram, ends=boundaries(datagram))


def test_no_datagram_is_no_packet() -> None:
    assert decode() == ([], [], [], {})
    assert decode(DONE) == ([], [], [], {})


@pytest.mark.parametrize("captured", [0, 1, 3, 4, 7, 8, 19])
def test_a_copy_that_ends_inside_the_ipv4_header_is_short(captured: int) -> None:
    octets = 300 if captured >= 4 else 0

    assert decode(copy(ip4(300)[:captured])) == ([10], [octets], [0], {"short": 1})


@pytest.mark.parametrize("captured", [4, 7, 8, 39])
def test_a_copy_that_ends_inside_the_ipv6_header_is_short(captured: int) -> None:
    octets = 340 if captured >= 8 else 0

    assert decode(copy(ip6(300)[:captured])) == ([10], [octets], [0], {"short": 1})


def test_a_message_without_a_copy_is_short() -> None:
    assert decode(header(10, packet_header(), sequence(5))) == ([10], [0], [5], {"short": 1})


@pytest.mark.parametrize("version", sorted({*range(16)} - {4, 6}))
def test_neither_4_nor_6_is_an_odd_version(version: int) -> None:
    assert decode(copy(ip4(300, version=version))) == ([10], [0], [0], {"version": 1})


@pytest.mark.parametrize("bits", [0x2000, 0x0001, 0x1FFF, 0x2010])
def test_more_fragments_or_an_offset_is_a_fragment(bits: int) -> None:
    assert decode(copy(ip4(300, fragment=bits))) == ([10], [300], [0], {"fragment": 1})


@pytest.mark.parametrize("bits", [0x4000, 0x8000])
def test_dont_fragment_and_the_reserved_bit_are_not_odd(bits: int) -> None:
    assert decode(copy(ip4(300, fragment=bits))) == ([10], [300], [0], {})


def test_an_ipv6_fragment_header_is_a_fragment() -> None:
    assert decode(copy(ip6(300, following=44))) == ([10], [340], [0], {"fragment": 1})


def test_a_length_of_zero_is_not_made_up_in_either_family() -> None:
    assert decode(copy(ip4(0)), copy(ip6(0))) == ([10] * 2, [0, 0], [0, 0], {"length-zero": 2})


def test_an_ipv6_packet_that_is_a_header_and_nothing_else_has_40_octets() -> None:
    """No next header (59); but what a jumbo payload may follow (0, hop-by-hop) is not known."""
    bare, jumbo = ip6(0, following=59)[:40], ip6(0, following=0)[:40]

    assert decode(copy(bare), copy(jumbo)) == ([10] * 2, [40, 0], [0, 0], {"length-zero": 1})


def test_the_largest_lengths_are_taken_whole() -> None:
    assert decode(copy(ip4(65535)), copy(ip6(65535)))[1] == [65535, 65575]


@pytest.mark.parametrize("tag", [0x8100, 0x88A8])
def test_up_to_two_tags_in_the_copy_are_passed(tag: int) -> None:
    one = struct.pack(">HH", 0x6005, 0x0800)
    two = struct.pack(">HHHH", 0x4005, 0x8100, 0x6006, 0x86DD)

    found = decode(
        copy(one + ip4(300), ethernet_type=tag),
        copy(ip4(400), number=1),
        copy(two + ip6(300), ethernet_type=tag, number=2),
    )
    assert found == ([10] * 3, [300, 400, 340], [0, 1, 2], {"vlan": 2})


@pytest.mark.parametrize("behind", [0x8864, 0x8100, 0x0806])
def test_what_is_not_ip_behind_its_tags_is_never_read_as_ip(behind: int) -> None:
    tags = struct.pack(">HHHH", 0x6005, 0x8100, 0x6006, behind)

    found = decode(copy(tags + ip4(300), ethernet_type=0x8100))
    assert found == ([10], [0], [0], {"version": 1, "vlan": 1})


@pytest.mark.parametrize("captured", range(8))
def test_a_copy_that_ends_inside_or_right_behind_a_tag_is_short(captured: int) -> None:
    tagged = struct.pack(">HH", 0x6005, 0x0800) + ip4(300)

    found = decode(copy(tagged[:captured], ethernet_type=0x8100))
    assert found == ([10], [0], [0], {"short": 1, "vlan": 1})


def test_a_tag_beside_the_copy_counts_as_vlan() -> None:
    nested = attribute(20 | 0x8000, attribute(2, b"\0\5") + attribute(1, b"\x81\0"))

    assert decode(copy(ip4(300), extra=nested)) == ([10], [300], [0], {"vlan": 1})


def test_a_message_without_a_sequence_number_says_so() -> None:
    unnumbered = header(10, packet_header(), attribute(PAYLOAD, ip4(300)))

    assert decode(copy(ip4(200), number=3), unnumbered)[2] == [3, -1]


def test_the_highest_sequence_number_is_not_negative() -> None:
    assert decode(copy(ip4(200), number=2**32 - 1))[2] == [2**32 - 1]


def test_a_payload_that_imitates_headers_does_not_make_rows() -> None:
    imitating = copy(IMITATION + IMITATION + bytes(8), number=7)

    assert decode(imitating, copy(ip4(200), number=8), DONE) == ([10] * 2, [0, 200], [7, 8], {"version": 1})


def test_a_payload_may_be_a_whole_message_and_the_closing_one() -> None:
    imitating = copy(copy(ip4(999)) + DONE, number=7)

    assert decode(copy(ip4(200), number=6), imitating)[2] == [6, 7]


def test_other_messages_among_the_packets_are_passed() -> None:
    answer = message(2, bytes(20), number=1, port=77)
    numbered = message(PACKET, copy(ip4(300), number=1)[16:], number=5, port=9)

    assert decode(answer, copy(ip4(200)), answer, numbered, DONE, answer)[2] == [0, 1]


def test_more_layouts_than_templates_are_all_decoded() -> None:
    kinds = (2, 3, 4, 5, 6, 7)
    several = [
        copy(ip4(100 + number), number=number, extra=b"".join(attribute(kind, bytes(4)) for kind in chosen))
        for number, chosen in enumerate(
            subset for n in range(7) for subset in itertools.combinations(kinds, n)
        )
    ]
    assert len(several) > 2 * nflog.MAX_TEMPLATES

    found = decode(*several, *several)
    assert found == decode_plainly([b"".join(several + several)])
    assert found[2] == [*range(len(several))] * 2


def test_the_last_of_two_equal_attributes_counts_as_in_the_plain_decoder() -> None:
    twice = header(
        10, sequence(1), sequence(2), packet_header(), packet_header(), attribute(PAYLOAD, ip4(60))
    )

    assert decode(twice) == decode_plainly([twice]) == ([10], [60], [2], {})


def test_flags_in_an_attributes_type_do_not_hide_it() -> None:
    flagged = header(10, attribute(12 | 0x4000, bytes(3) + b"\5"), attribute(PAYLOAD | 0x8000, ip4(60)))

    assert decode(copy(ip4(200)), flagged, flagged)[1:3] == ([200, 60, 60], [0, 5, 5])


def test_a_messages_own_length_is_never_taken_for_an_ethernet_type() -> None:
    octets = int.from_bytes(struct.pack(">H", 0x88A8), sys.byteorder)
    untyped = header(10, sequence(0), attribute(PAYLOAD, ip4(300).ljust(octets - 32, b"\0")))
    assert len(untyped) == octets

    assert decode(untyped) == ([10], [300], [0], {})


def test_any_buffer_of_octets_is_taken_and_left_as_it_is() -> None:
    (datagram,) = load("mixed")
    changeable = bytearray(datagram)

    assert columns(decode_packets(changeable)) == columns(decode_packets(memoryview(changeable)))
    assert changeable == datagram


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (header(10, attribute(PAYLOAD, ip4(60)), sequence(1)), "attribute after the payload"),
        (header(10, attribute(PAYLOAD, ip4(60)), attribute(PAYLOAD, ip4(60))), "attribute after the payload"),
        (header(10, attribute(12, bytes(8))), "attribute of a wrong length"),
        (header(10, attribute(12, b"")), "attribute of a wrong length"),
        (header(10, attribute(1, bytes(2))), "attribute of a wrong length"),
        (header(10, struct.pack("=HH", 3, 12)), "attribute length outside its message"),
        (header(10, struct.pack("=HH", 9, 9) + bytes(4)), "attribute length outside its message"),
        (copy(b"")[:-4] + struct.pack("=HH", 3, PAYLOAD), "attribute length outside its message"),
        (header(10, b"\0\0"), "attribute header cut short"),
        (message(PACKET, b"\0\0"), "packet message without nfgenmsg"),
        (message(PACKET, b""), "packet message without nfgenmsg"),
        (struct.pack("=IHHII", 15, PACKET, 0, 0, 0), "netlink length outside the datagram"),
        (struct.pack("=IHHII", 0, PACKET, 0, 0, 0) + bytes(4), "netlink length outside the datagram"),
        (struct.pack("=IHHII", 2**32 - 1, PACKET, 0, 0, 0) + bytes(4), "netlink length outside the datagram"),
    ],
)
def test_what_breaks_the_format_is_refused_alone_and_among_good_ones(broken: bytes, reason: str) -> None:
    good = copy(ip4(60))
    for datagram in (broken, good + broken, good + good + broken + good):
        with pytest.raises(DecodeError, match=reason):
            decode_packets(datagram)
        with pytest.raises(DecodeError):
            decode_plainly([datagram])


def test_padding_that_the_length_leaves_out_may_be_missing_but_no_octet_of_the_message() -> None:
    body = copy(ip4(60)[:25])[16:-3]
    unpadded = struct.pack("=IHHII", 16 + len(body), PACKET, 0, 0, 0) + body
    assert len(unpadded) % 4 == 1

    assert decode(unpadded) == decode_plainly([unpadded]) == ([10], [60], [0], {})
    with pytest.raises(DecodeError):
        decode_packets(struct.pack("=I", len(unpadded) + 2) + unpadded[4:])


def test_a_message_never_reaches_into_the_next_datagram() -> None:
    cut, good = copy(ip4(60))[:-4], copy(ip4(70))
    for following in (good, message(2, bytes(20)), bytes(20)):
        swallowing = struct.pack("=I", len(cut) + len(following)) + cut[4:]
        with pytest.raises(DecodeError, match="netlink length outside the datagram"):
            decode_packets(swallowing + following, [len(cut), len(cut) + len(following)])
    with pytest.raises(DecodeError, match="datagram of broken words"):
        decode_packets(cut[:-1] + good, [len(cut) - 1, len(cut) - 1 + len(good)])
