"""SAs, their events and policies: the guest kernel's own messages, and broken ones."""

from __future__ import annotations

import struct
from ipaddress import ip_network
from typing import SupportsIndex, Union

import pytest

from ipsecmon.errors import DecodeError
from ipsecmon.ipsec import (
    AntiReplay,
    Encapsulation,
    Mark,
    Offload,
    SaEnd,
    SaFlush,
    SaId,
    SaNews,
    SaSoftExpiry,
    SecurityAssociation,
    Selector,
    Template,
)
from ipsecmon.model import Direction
from ipsecmon.wire.netlink import pull_attributes, pull_messages
from ipsecmon.wire.xfrm import decode_event, decode_sa
from ipsecmon.wire.xfrm_attributes import ALGORITHMS
from ipsecmon.wire.xfrm_policy import decode_policy
from ipsecmon.wire.xfrm_request import EVENT_GROUPS, encode_policy_dump, encode_sa_dump
from ipsecmon.wire.xfrm_stat import decode_xfrm_stat
from tests.unit.wire.hexfiles import load
from tests.unit.wire.messages import attribute, message
from tests.unit.wire.three_ways import decode_three_ways
from tests.unit.wire.xfrm_messages import (
    DELSA,
    EXPIRE,
    KEY,
    NEWSA,
    RECORDED,
    SA_ID,
    UPDSA,
    esn,
    info,
    recorded_events,
    recorded_policies,
    recorded_states,
    state,
)


def one_sa(datagram: bytes) -> SecurityAssociation:
    pulled = list(pull_messages(datagram))
    if len(pulled) != 1:
        raise DecodeError("not one message", 0)
    return decode_sa(datagram, pulled[0])


def one_event(datagram: bytes) -> object:
    pulled = list(pull_messages(datagram))
    if len(pulled) != 1:
        raise DecodeError("not one message", 0)
    return decode_event(datagram, pulled[0])


def by_spi() -> dict[int, SecurityAssociation]:
    return {sa.spi: sa for sa in recorded_states()}


def test_a_real_dump_gives_what_was_sent_through_the_tunnel() -> None:
    away, home = by_spi()[0x100], by_spi()[0x101]

    assert (away.source, away.destination, away.reqid, away.mode) == (
        "203.0.113.1",
        "203.0.113.2",
        1,
        "tunnel",
    )
    assert (away.octets, away.packets, home.octets, home.packets) == (7 * 128, 7, 5 * 128, 5)
    assert away.anti_replay == AntiReplay(highest=0, sent=7, window=64, unseen=0)
    assert home.anti_replay == AntiReplay(highest=5, sent=0, window=64, unseen=0)
    assert away.is_keyed and away.direction is Direction.UNKNOWN


def test_a_real_dump_gives_every_kind_of_sa() -> None:
    found = by_spi()

    assert found[0x1001].selector == Selector("192.0.2.1/32", "192.0.2.2/32", 17, 1701, None)
    assert found[0x1001].mode == "transport"
    assert found[0x1002].anti_replay == AntiReplay(0, 0, 128, 0, is_esn=True)
    assert found[0x1003].encapsulation == Encapsulation("espinudp", 4500, 1027, "192.0.2.9")
    assert (found[0x1004].mark, found[0x1004].set_mark) == (Mark(0x42, 0xFF), Mark(7, 15))
    assert found[0x1004].id.mark == Mark(0x42, 0xFF)
    assert found[0x1005].if_id == 0x17
    assert found[0x1006].mode == "beet"
    assert found[0x1006].selector == Selector("10.7.0.1/32", "10.8.0.0/16", 1, 8, 0)
    assert (found[0x1007].reqid, found[0x1007].family) == (2**32 - 1, 10)
    assert found[0x1007].selector == Selector("fd01::/64", "fd02::/64", 47, 1, 1)
    assert (found[0x1008].protocol, found[0x100A].protocol) == (51, 108)
    assert found[0x1009].lifetime == (1000000, 2000000, 3000, 4000, 5000, 6000, 7000, 8000)
    assert (found[0x1009].flags, found[0x1009].extra_flags) == (0x57, 3)


def test_an_sa_that_is_only_being_negotiated_has_no_algorithms() -> None:
    keyed = {sa.spi: sa.is_keyed for sa in recorded_states() if sa.protocol == 50}
    assert [spi for spi, is_keyed in keyed.items() if not is_keyed] == [0x100B]


def test_real_events_tell_the_life_of_an_sa() -> None:
    events = recorded_events()

    assert [type(event) for event in events] == [
        SaNews,
        SaNews,
        SaNews,
        SaEnd,
        SaSoftExpiry,
        SaEnd,
        SaEnd,
        SaFlush,
    ]
    added, updated, marked, deleted, soft, used, expired, flushed = events
    assert isinstance(added, SaNews) and isinstance(updated, SaNews) and isinstance(marked, SaNews)
    assert (added.is_update, updated.is_update) == (False, True)
    assert isinstance(deleted, SaEnd) and deleted.sa.id == marked.sa.id
    assert deleted.sa.id == SaId("192.0.2.2", 0x2002, 50, 2, Mark(0x42, 0xFF), marked.sa.added_s)
    assert isinstance(soft, SaSoftExpiry) and isinstance(expired, SaEnd)
    assert soft.sa.id == expired.sa.id == added.sa.id and expired.has_expired
    assert isinstance(used, SaEnd) and (used.sa.octets, used.sa.packets) == (3 * 128, 3)
    assert flushed == SaFlush(50)


def test_real_policies_say_direction_subnets_and_templates() -> None:
    policies = {(policy.selector.source, policy.direction): policy for policy in recorded_policies()}

    out = policies["10.1.0.0/24", "out"]
    assert out.selector == Selector("10.1.0.0/24", "10.2.0.0/24", 0, None, None)
    assert out.templates == (Template("203.0.113.1", "203.0.113.2", 2, 0, 50, "tunnel", 1, False),)
    assert {direction for source, direction in policies if source == "10.2.0.0/24"} == {"in", "fwd"}
    compressed = policies["192.0.2.1/32", "out"].templates
    assert [(one.protocol, one.reqid, one.is_optional) for one in compressed] == [
        (108, 3, True),
        (50, 2, False),
    ]
    assert policies["10.9.0.0/16", "in"].is_blocking
    assert policies["fd01::/64", "out"].templates[0].spi == 0x1007


def test_a_policy_has_its_interface_and_mark() -> None:
    (found,) = [policy for policy in recorded_policies() if policy.if_id]
    assert (found.if_id, found.mark, found.priority) == (0x17, Mark(0x42, 0xFF), 7)


def test_every_real_message_decodes_whole_and_is_refused_in_part() -> None:
    for datagram in RECORDED:
        for found in pull_messages(datagram):
            alone = datagram[found.start - 16 : found.end + -(found.end - found.start) % 4]
            if found.kind in (NEWSA, DELSA, EXPIRE, UPDSA):
                decode_three_ways(one_event, alone)


def test_a_policy_decodes_whole_and_is_refused_in_part() -> None:
    (datagram, *_) = load("xfrm-policies")
    found = next(pull_messages(datagram))

    def decode(part: bytes) -> object:
        pulled = list(pull_messages(part))
        if len(pulled) != 1:
            raise DecodeError("not one message", 0)
        return decode_policy(part, pulled[0])

    decode_three_ways(decode, datagram[: found.end])


class Watched(bytes):
    """Remembers which octets were sliced out of it."""

    def __new__(cls, octets: bytes) -> Watched:
        made = super().__new__(cls, octets)
        made.sliced = set()
        return made

    sliced: set[int]

    def __getitem__(self, which: Union[SupportsIndex, slice]) -> object:  # type: ignore[override]
        if isinstance(which, slice):
            self.sliced.update(range(*which.indices(len(self))))
        return super().__getitem__(which)


def key_places(datagram: bytes) -> set[int]:
    """Every octet of the value of an algorithm's attribute."""
    found: set[int] = set()
    for one in pull_messages(datagram):
        fixed = {NEWSA: 224, UPDSA: 224, DELSA: 24, EXPIRE: 232}.get(one.kind)
        if fixed is not None:
            attributes = pull_attributes(datagram, one.start + fixed, one.end)
            found.update(*(range(start, end) for kind, start, end in attributes if kind in ALGORITHMS))
    return found


@pytest.mark.parametrize("name", ["xfrm-states", "xfrm-events"])
def test_no_slice_of_a_key_is_ever_made(name: str) -> None:
    keys = 0
    for datagram in map(Watched, load(name)):
        for found in pull_messages(datagram):
            decode_event(datagram, found)
        places = key_places(bytes(datagram))
        keys += len(places)
        assert datagram.sliced.isdisjoint(places)
    assert keys > 200


def test_an_sa_decodes_the_same_whatever_its_key() -> None:
    def keyed(key: bytes) -> SecurityAssociation:
        return one_sa(state(attribute(18, b"rfc4106(gcm(aes))".ljust(64, b"\0") + bytes(8) + key)))

    assert keyed(KEY) == keyed(bytes(20)) == one_sa(state(attribute(18, b"")))
    assert keyed(KEY).is_keyed


def test_no_decoded_value_holds_a_key() -> None:
    said = repr((recorded_states(), recorded_events()))
    for key in ("a5a5", "b6b6", "c7c7", "d8d8", str(KEY)):
        assert key not in said
    assert b"\xa5\xa5" in b"".join(RECORDED)


@pytest.mark.parametrize(
    ("kind", "value", "field", "expected"),
    [
        (33, b"\1", "direction", Direction.IN),
        (33, b"\2", "direction", Direction.OUT),
        (33, b"\7", "direction", Direction.UNKNOWN),
        (15, struct.pack("=Q", 1700000000), "last_used_s", 1700000000),
        (28, struct.pack("=iB3x", 7, 2), "offload", Offload(True, False)),
        (28, struct.pack("=iB3x", 7, 4), "offload", Offload(False, True)),
        (35, struct.pack("=I", 3), "cpu", 3),
        (29, struct.pack("=I", 3), "set_mark", Mark(3, 0xFFFFFFFF)),
        (4, struct.pack(">H", 0)[::-1] + bytes(22), "encapsulation", Encapsulation("0", 0, 0, "0.0.0.0")),
    ],
)
def test_an_attribute_fills_its_field(kind: int, value: bytes, field: str, expected: object) -> None:
    assert getattr(one_sa(state(attribute(kind, value))), field) == expected


@pytest.mark.parametrize(("bitmap", "unseen"), [(0b1111111, 0), (0b1011011, 2), (0, 7)])
def test_numbers_that_have_not_come_are_counted_in_the_window(bitmap: int, unseen: int) -> None:
    found = one_sa(state(attribute(10, struct.pack("=III", 9, 7, bitmap))))
    assert found.anti_replay == AntiReplay(highest=7, sent=9, window=32, unseen=unseen)


@pytest.mark.parametrize(
    ("highest", "window", "words", "unseen"),
    [
        (5, 64, (0x1F, 0), 0),
        (6, 64, (0x2F, 0), 1),
        (2**33 + 1, 40, (0xFFFFFFFF, 0xFFFFFFFF), 0),
        (2**33 + 1, 40, (0xFFFFFFFF, 0xFFFFFF7F), 1),
    ],
)
def test_esn_has_both_halves_and_a_ring_of_its_own(
    highest: int, window: int, words: tuple[int, ...], unseen: int
) -> None:
    fixed = info(flags=128, window=0)
    found = one_sa(state(attribute(23, esn(highest, window, *words, sent=2**32 + 5)), fixed=fixed))
    assert found.anti_replay == AntiReplay(highest, 2**32 + 5, window, unseen, is_esn=True)


@pytest.mark.parametrize(
    ("datagram", "reason"),
    [
        (state(kind=0x13), "unexpected message type"),
        (state(fixed=info(family=7)), "unknown address family"),
        (state(attribute(23, struct.pack("=6I", 129, 0, 0, 0, 0, 0) + bytes(4 * 129))), "ESN bitmap outside"),
        (state(attribute(23, struct.pack("=6I", 2, 0, 0, 0, 0, 0) + bytes(4))), "ESN bitmap outside"),
        (state(attribute(10, bytes(8))), "replay state cut short"),
        (state(attribute(23, bytes(20))), "ESN replay state cut short"),
        (state(attribute(4, bytes(20))), "encapsulation cut short"),
        (state(attribute(21, bytes(4))), "mark cut short"),
        (state(attribute(28, bytes(4))), "offload cut short"),
        (state(attribute(31, bytes(2))), "integer cut short"),
        (state(attribute(15, bytes(4))), "integer cut short"),
    ],
)
def test_a_broken_sa_is_refused(datagram: bytes, reason: str) -> None:
    with pytest.raises(DecodeError, match=reason):
        one_sa(datagram)


@pytest.mark.parametrize(
    ("datagram", "reason"),
    [
        (message(DELSA, SA_ID), "deletion without its SA"),
        (message(DELSA, SA_ID + attribute(6, info()[:-8])), "SA cut short"),
        (message(EXPIRE, info()), "message cut short"),
        (struct.pack("=IHHII", 16, 0x1C, 0, 0, 0), "flush without a protocol"),
    ],
)
def test_a_broken_event_is_refused(datagram: bytes, reason: str) -> None:
    with pytest.raises(DecodeError, match=reason):
        one_event(datagram)


def test_other_messages_are_no_events() -> None:
    assert one_event(message(0x1E, bytes(48))) is None


def test_a_dump_is_asked_for_by_a_header_alone() -> None:
    assert encode_sa_dump(7) == message(0x12, b"", flags=0x301, number=7)
    assert encode_policy_dump(8) == message(0x15, b"", flags=0x301, number=8)
    assert EVENT_GROUPS == 0b110


def test_a_dump_may_be_of_one_protocol_between_two_networks() -> None:
    between = ip_network("192.0.2.0/24"), ip_network("198.51.100.7/32")
    asked = encode_sa_dump(7, 50, between)

    ends = bytes((192, 0, 2, 0)) + bytes(12) + bytes((198, 51, 100, 7)) + bytes(12)
    wanted = attribute(25, b"\x32", bytes(3)) + attribute(26, ends + struct.pack("=HBB", 2, 24, 32))
    assert asked == message(0x12, wanted, flags=0x301, number=7)


def test_the_namespaces_errors_are_read_by_name() -> None:
    errors = decode_xfrm_stat("XfrmInError             \t0\nXfrmInNoStates          \t17\n")
    assert (errors.of("XfrmInNoStates"), errors.of("XfrmInError"), errors.of("XfrmNew")) == (17, 0, 0)


@pytest.mark.parametrize("text", ["XfrmInError\n", "XfrmInError\tmany\n", "Other\t1\n", "XfrmInError\t²\n"])
def test_a_broken_table_of_errors_is_refused(text: str) -> None:
    with pytest.raises(DecodeError):
        decode_xfrm_stat(text)
