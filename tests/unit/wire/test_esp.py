"""What tells an SA, out of header copies: built by hand from RFC 791, 8200, 768, 3948 and 4303."""

from __future__ import annotations

import ipaddress
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipsecmon.packets import EspColumns
from ipsecmon.wire.nflog import decode_packets
from tests.unit.wire.messages import copy, ip4, ip6

ESP, UDP = 50, 17
GROUP, OTHER = 10, 11
UDP_HEADER = struct.pack(">HHHH", 4500, 40001, 108, 0)
TO4, TO6 = "198.51.100.7", "2001:db8::7"


def four(
    spi: int, protocol: int = ESP, to: str = TO4, options: bytes = b"", fragment: int = 0, captured: int = 36
) -> bytes:
    """The first octets of ESP over IPv4, or in UDP over it."""
    words = 5 + len(options) // 4
    head = struct.pack(">BBHHHBBH", 0x40 | words, 0, 120, 1, fragment, 64, protocol, 0)
    head += ipaddress.ip_address("192.0.2.1").packed + ipaddress.ip_address(to).packed + options
    return (head + (UDP_HEADER if protocol == UDP else b"") + struct.pack(">II", spi, 1))[:captured]


def six(spi: int, protocol: int = ESP, to: str = TO6, captured: int = 56) -> bytes:
    head = struct.pack(">IHBB", 6 << 28, 80, protocol, 64)
    head += ipaddress.ip_address("2001:db8::1").packed + ipaddress.ip_address(to).packed
    return (head + (UDP_HEADER if protocol == UDP else b"") + struct.pack(">II", spi, 1))[:captured]


def mapped(address: str) -> list[int]:
    """As four words."""
    made = ipaddress.ip_address(address)
    octets = made.packed if made.version == 6 else ipaddress.ip_address(f"::ffff:{address}").packed
    return list(struct.unpack(">4I", octets))


def decode(*copies: bytes, groups: tuple[int, ...] = (GROUP,)) -> EspColumns:
    wanted = np.zeros(1 << 16, np.bool_)
    wanted[list(groups)] = True
    found = decode_packets(b"".join(copies), esp_groups=wanted).esp
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("payload", "address"),
    [
        (four(0xC0FFEE01, captured=28), TO4),
        (four(0xC0FFEE01, UDP, captured=36), TO4),
        (four(0xC0FFEE01, options=bytes(4), captured=32), TO4),
        (six(0xC0FFEE01, captured=48), TO6),
        (six(0xC0FFEE01, UDP, captured=56), TO6),
    ],
)
def test_what_rules_copy_holds_spi_and_destination(payload: bytes, address: str) -> None:
    found = decode(copy(payload))

    assert found.spi.tolist() == [0xC0FFEE01]
    assert found.destination.tolist() == [mapped(address)]


@pytest.mark.parametrize(
    "payload",
    [
        four(7, captured=23),  # ends inside the SPI
        four(7, UDP, captured=28),  # of a rule that copies for ESP alone
        four(7, options=bytes(12), captured=28),
        four(7, fragment=0x2005),  # a later fragment has no ESP header
        six(7, captured=40),
        six(7, 60),  # destination options stand before ESP
        ip4(120, version=5),
        b"",
    ],
)
def test_a_copy_that_does_not_tell_the_spi_has_none(payload: bytes) -> None:
    assert decode(copy(payload)).spi.tolist() == [0]


def test_a_first_fragment_tells_its_spi() -> None:
    assert decode(copy(four(7, fragment=0x2000))).spi.tolist() == [7]


def test_a_vlan_tag_in_the_copy_is_not_taken_for_an_ip_header() -> None:
    tagged = struct.pack(">HH", 0x4005, 0x0800) + four(7)

    assert decode(copy(tagged, ethernet_type=0x8100)).spi.tolist() == [0]


def test_only_groups_that_are_asked_for_are_decoded() -> None:
    datagram = copy(four(1)) + copy(four(2), group=OTHER) + copy(ip6(72), group=OTHER) + copy(six(3))

    assert decode(datagram).rows.tolist() == [0, 3]
    assert decode(datagram).spi.tolist() == [1, 3]
    assert decode(datagram, groups=(OTHER,)).rows.tolist() == [1, 2]
    assert decode_packets(datagram).esp is None
    assert decode_packets(datagram, esp_groups=np.zeros(1 << 16, np.bool_)).esp is None


spis = st.integers(0, 2**32 - 1)
rows = st.one_of(
    st.tuples(spis, st.sampled_from([ESP, UDP]), st.ip_addresses(v=4).map(str)),
    st.tuples(spis, st.sampled_from([ESP, UDP]), st.ip_addresses(v=6).map(str)),
)


@given(st.lists(rows, min_size=1, max_size=20))
def test_whatever_addresses_and_spis_are_each_row_tells_its_own(made: list[tuple[int, int, str]]) -> None:
    copies = [copy((six if ":" in to else four)(spi, protocol, to)) for spi, protocol, to in made]
    found = decode(*copies)

    assert found.spi.tolist() == [spi for spi, _, _ in made]
    assert found.destination.tolist() == [mapped(to) for _, _, to in made]
    assert decode_packets(b"".join(copies)).octets.tolist() == [120] * len(made)
