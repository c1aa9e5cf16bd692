"""Dumps decoded one after the other say what each says alone, and hold no key."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import pytest

from ipsecmon.errors import DecodeError
from ipsecmon.ipsec import SecurityAssociation
from ipsecmon.wire import xfrm_dump
from ipsecmon.wire.netlink import NLMSG_DONE, pull_messages
from ipsecmon.wire.sa_changes import NEW
from ipsecmon.wire.xfrm import decode_sa
from ipsecmon.wire.xfrm_dump import SaDumpDecoder
from tests.unit.wire.both_ends import BothEnds
from tests.unit.wire.hexfiles import load
from tests.unit.wire.messages import DONE, attribute
from tests.unit.wire.xfrm_messages import KEY, NEWSA, esn, info, state

LAST_USED = 15
CIPHER = b"rfc4106(gcm(aes))".ljust(64, b"\0") + bytes(8)


def plain(datagrams: Sequence[bytes]) -> list[SecurityAssociation]:
    return [decode_sa(one, found) for one in datagrams for found in pull_messages(one) if found.kind == NEWSA]


def sa(
    spi: int, packets: int = 7, bitmap: int = 0x7F, used_s: int = 5000, key: bytes = KEY, **fields: int
) -> bytes:
    fixed = bytearray(info(packets * 100, packets, **fields))
    struct.pack_into(">I", fixed, 72, spi)
    return state(
        attribute(LAST_USED, struct.pack("=Q", used_s)),
        attribute(18, CIPHER + key),
        attribute(10, struct.pack("=III", packets, packets, bitmap)),
        fixed=bytes(fixed),
    )


def test_an_sa_where_nothing_changed_is_the_very_object_of_the_last_dump() -> None:
    decoder = BothEnds()
    dump = load("xfrm-states")
    first, again = decoder.decode(dump), decoder.decode(dump)

    assert first == plain(dump) and len(first) > 10
    assert all(one is other for one, other in zip(first, again))
    assert (decoder.helpers.reread, decoder.helpers.reused) == (0, len(first))


@pytest.mark.parametrize(
    "changed",
    [
        sa(1, packets=9),
        sa(1, used_s=6000),
        sa(1, bitmap=0x7E),
        sa(1, packets=40, bitmap=0xFFFFFFFF),
        sa(1, packets=0, bitmap=0),
    ],
)
def test_where_counters_changed_only_these_are_read(changed: bytes) -> None:
    decoder = BothEnds()
    decoder.decode([sa(1) + sa(2)])

    assert decoder.decode([changed + sa(2)]) == plain([changed + sa(2)])
    assert (decoder.helpers.decoded, decoder.helpers.reread, decoder.helpers.reused) == (2, 1, 1)


@pytest.mark.parametrize(("highest", "words"), [(50, 0x3FF), (2**33 + 1, 0xFFFFFFFF)])
def test_an_esn_window_is_read_anew(highest: int, words: int) -> None:
    fixed = info(flags=128, window=0)
    first, second = (
        state(attribute(23, esn(high, 32, bits)), fixed=fixed)
        for high, bits in ((9, 0x1FF), (highest, words))
    )
    decoder = BothEnds()
    decoder.decode([first])

    assert decoder.decode([second]) == plain([second])
    assert (decoder.helpers.decoded, decoder.helpers.reread) == (1, 1)


@pytest.mark.parametrize(
    "changed",
    [
        sa(1, window=16),
        sa(1, flags=1),
        sa(1, key=b""),
        state(fixed=bytes(info())),
        state(attribute(31, struct.pack("=I", 7))),
    ],
)
def test_where_anything_else_changed_the_sa_is_decoded_wholly(changed: bytes) -> None:
    decoder = BothEnds()
    decoder.decode([sa(1)])

    assert decoder.decode([changed]) == plain([changed])
    assert decoder.helpers.decoded == 2


def test_sas_may_come_and_go_and_change_places() -> None:
    decoder = BothEnds()
    decoder.decode([b"".join(sa(spi) for spi in range(50))])
    dump = [sa(77), *(sa(spi) for spi in range(49, 10, -1)), DONE, sa(78) + sa(3, packets=8)]

    assert decoder.decode(dump) == plain(dump)
    assert (decoder.helpers.decoded, decoder.helpers.reread, decoder.helpers.reused) == (52, 1, 39)


@pytest.mark.parametrize("packets", [8, 9])
def test_after_a_dump_that_is_refused_the_next_tells_what_that_one_could_not(packets: int) -> None:
    decoder = BothEnds()
    decoder.decode([sa(1) + sa(2)])
    with pytest.raises(DecodeError, match="netlink length"):
        decoder.decode([sa(1, packets=8) + sa(3) + sa(2)[:-4]])

    dump = [sa(1, packets=packets) + sa(2) + sa(3)]
    assert decoder.decode(dump) == plain(dump)


@pytest.mark.parametrize("packets", [8, 9])
def test_a_dump_that_is_taken_back_is_told_by_the_next(packets: int) -> None:
    decoder = BothEnds()
    decoder.decode([sa(1) + sa(2)])
    decoder.helpers.decode([sa(3) + sa(1, packets=8)])
    decoder.helpers.take_back()

    dump = [sa(1, packets=packets) + sa(3) + sa(2)]
    assert decoder.decode(dump) == plain(dump)


def test_who_does_not_know_the_last_dump_is_told_all() -> None:
    decoder = SaDumpDecoder()
    decoder.decode([sa(1) + sa(2)])
    dump = [sa(1, packets=8) + sa(3) + sa(2)]

    changes = decoder.decode(dump, is_known=False)
    assert (changes.told, changes.runs, changes.moved) == (plain(dump), [(NEW, 3)], {})


def test_nothing_that_is_kept_holds_a_key() -> None:
    decoder = BothEnds()
    decoder.decode([sa(1) + sa(2), *load("xfrm-states")])
    decoder.decode([sa(1, packets=8) + sa(2), *load("xfrm-states")])

    pieces = [(one.moving, one.still, one.current()) for one in decoder.helpers._kept if one is not None]
    kept = repr((pieces, decoder.helpers._places, list(decoder.helpers._layouts)))
    for octet in (0xA5, 0xB6, 0xC7, 0xD8):
        assert bytes([octet] * 4).hex() not in kept and repr(bytes([octet] * 4))[2:-1] not in kept
    assert all(row.is_keyed for row in decoder.decode([sa(1)]))


def test_what_else_a_datagram_holds_is_told_with_its_place() -> None:
    decoder = BothEnds()
    datagram = sa(1) + DONE
    decoder.decode([DONE, datagram])

    [done] = decoder.helpers.others
    assert (done.kind, datagram[done.start - 16 : done.end]) == (NLMSG_DONE, DONE)
    decoder.decode([DONE, sa(1)])
    assert decoder.helpers.others == []


def test_what_is_kept_has_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xfrm_dump, "SAS_KEPT", 3)
    monkeypatch.setattr(xfrm_dump, "LAYOUTS_KEPT", 2)
    decoder = BothEnds()
    dump = [sa(spi, key=bytes(spi * 4)) for spi in range(5)]
    decoder.decode(dump)

    assert decoder.decode(dump) == plain(dump)
    assert (len(decoder.helpers._kept), len(decoder.helpers._layouts), decoder.helpers.reused) == (3, 2, 2)
