"""Tables of legacy iptables as a real kernel hands them out; their rules stand in the fixtures' heads."""

from __future__ import annotations

import struct

import pytest

from ipsecmon.errors import DecodeError
from ipsecmon.wire.xtables import ENTRIES_START, decode_log_entries, decode_size
from tests.unit.wire.hexfiles import load
from tests.unit.wire.three_ways import decode_three_ways

NEXT_OFFSET = {4: 90, 6: 142}
COUNTERS = {4: 96, 6: 152}
VERSIONS = (4, 6)


def table(version: int) -> bytes:
    (octets,) = load(f"log-legacy-{version}")
    return octets


def starts(version: int, octets: bytes | bytearray) -> list[int]:
    """Where each entry begins, and where the last one ends."""
    found = [ENTRIES_START]
    while found[-1] < len(octets):
        found.append(found[-1] + int(struct.unpack_from("=H", octets, found[-1] + NEXT_OFFSET[version])[0]))
    return found


@pytest.mark.parametrize("version", VERSIONS)
def test_a_real_table_gives_each_rule_that_logs(version: int) -> None:
    rules = decode_log_entries(table(version), version)

    assert [(one.group, one.packets, one.octets) for one in rules] == [
        (31, 2, 200),
        (32, 4, 400),
        (32, 5, 500),
        (0, 6, 600),
    ]
    first, second, equal, last = (one.text for one in rules)
    assert second == equal
    assert len({first, second, last}) == 3


@pytest.mark.parametrize("version", VERSIONS)
def test_what_a_rule_has_counted_is_no_part_of_its_text(version: int) -> None:
    octets = bytearray(table(version))
    for start in starts(version, octets)[:-1]:
        struct.pack_into("=QQ", octets, start + COUNTERS[version], 77, 7700)

    now, before = decode_log_entries(octets, version), decode_log_entries(table(version), version)
    assert [one.text for one in now] == [one.text for one in before]
    assert {(one.packets, one.octets) for one in now} == {(77, 7700)}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_table_is_decoded_three_ways(version: int) -> None:
    octets = table(version)
    decode_three_ways(lambda some: decode_log_entries(some, version), octets, ends=starts(version, octets))


@pytest.mark.parametrize("version", VERSIONS)
def test_offsets_that_lead_elsewhere_are_refused(version: int) -> None:
    for at, value in ((0, 0), (0, 8), (0, 0xFFFF), (2, 0), (2, 8), (2, 0xFFFF)):
        octets = bytearray(table(version))
        struct.pack_into("=H", octets, ENTRIES_START + NEXT_OFFSET[version] - 2 + at, value)
        with pytest.raises(DecodeError):
            decode_log_entries(octets, version)


def test_the_size_of_a_table_is_the_last_word_of_its_information() -> None:
    info = bytes(80) + struct.pack("=I", 4711)
    assert decode_size(info) == 4711
    for length in range(len(info)):
        with pytest.raises(DecodeError):
            decode_size(info[:length])
