"""What libreswan prints of its SAs: real output, other versions' forms, and anything else."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipsecmon.wire.whack_text import decode_states

CAPTURED = (Path(__file__).parent / "fixtures/whack-showstates.txt").read_text()
LINE = '000 #5: "hq" esp.c1474ce2@203.0.113.2 esp.611910af@203.0.113.1 tun.0@203.0.113.2 Traffic: ESPin=0B'


def names(*of: str) -> frozenset[str]:
    return frozenset(of)


def test_real_output_tells_the_spis_of_both_directions_and_no_reqid() -> None:
    found = decode_states(CAPTURED)

    assert found.by_reqid == {}
    assert found.by_spi["203.0.113.2", 0xB0D16790] == names("hq-branch")
    assert found.by_spi["203.0.113.1", 0x5270E9E0] == names("hq-branch")
    assert found.by_spi["203.0.113.1", 0xEA5808BE] == names("many/1x0", "many")
    assert found.by_spi["203.0.113.3", 0x05439490] == names("rw")  # a road warrior
    assert found.by_spi["2001:db8::1", 0x6F3AC83C] == names("six")
    assert len(found.by_spi) == 10


def test_an_instance_of_a_road_warrior_has_its_connections_name() -> None:
    found = decode_states(LINE.replace('"hq"', '"road"[3] 198.51.100.9'))
    assert set(found.by_spi.values()) == {names("road")}


def test_versions_without_the_leading_number_are_read_too() -> None:
    assert decode_states(LINE[4:]) == decode_states(LINE)


def test_an_ipv6_end_has_a_colon_before_its_spi() -> None:
    found = decode_states('#2: "six" esp:1f@2001:db8::2 esp:c0ffee@2001:DB8:0::1 tun:0@2001:db8::2')
    assert set(found.by_spi) == {("2001:db8::2", 0x1F), ("2001:db8::1", 0xC0FFEE)}


def test_ah_counts_and_tunnels_without_an_spi_and_compression_do_not() -> None:
    found = decode_states('#2: "a" ah.7@192.0.2.1 tun.0@192.0.2.1 comp.9@192.0.2.1 esp.0@192.0.2.1')
    assert set(found.by_spi) == {("192.0.2.1", 7)}


@pytest.mark.parametrize(
    "text",
    [
        "",
        '000 #1: "hq":500 STATE_V2_ESTABLISHED_IKE_SA (established IKE SA); newest; idle;',
        "whack: Pluto is not running",
        'esp.c1474ce2@203.0.113.2 "hq"',
        '#5: "hq" esp.c1474ce2@203.0.113.256',
        '#5: "hq" esp.123456789@203.0.113.2',
        '#5: "hq" esp.xyz@203.0.113.2',
    ],
)
def test_what_tells_no_sa_is_passed_over(text: str) -> None:
    assert decode_states(text).by_spi == {}


@given(st.text(alphabet='#0123456789: "hq[]esp.@abcdef\n', max_size=200))
def test_any_text_is_read_without_an_error(text: str) -> None:
    assert all(spi for _, spi in decode_states(text).by_spi)
