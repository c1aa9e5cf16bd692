"""The kernel's IP counters as text: of a 6.18 kernel, and broken ones refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipsecmon.errors import DecodeError
from ipsecmon.wire.snmp_text import decode_snmp, decode_snmp6

SNMP = (
    "Ip: Forwarding DefaultTTL InReceives FragOKs FragFails FragCreates\n"
    "Ip: 1 64 1200 3 0 9\n"
    "Icmp: InMsgs InErrors\n"
    "Icmp: 4 0\n"
)
SNMP6 = "ifIndex                         \t2\nIp6InReceives                   \t12\nIp6FragCreates\t4\n"


def test_a_protocol_is_two_lines_of_names_and_numbers() -> None:
    found = decode_snmp(SNMP)

    assert (found["FragOKs"], found["FragCreates"], found["InReceives"]) == (3, 9, 1200)
    assert "InMsgs" not in found


def test_an_interface_has_a_name_and_a_number_a_line() -> None:
    assert decode_snmp6(SNMP6) == {"Ip6InReceives": 12, "Ip6FragCreates": 4}


@pytest.mark.parametrize("text", ["", "Ip: A B\n", "Ip: A B\nIp: 1\n", "Ip: A\nIp: x\n", "Ip: A\nIp: -\n"])
def test_what_is_not_of_that_form_is_refused(text: str) -> None:
    with pytest.raises(DecodeError):
        decode_snmp(text)


@pytest.mark.parametrize("text", ["Ip6InReceives\n", "Ip6InReceives 1 2\n", "Ip6InReceives x\n"])
def test_an_interface_s_broken_line_is_refused(text: str) -> None:
    with pytest.raises(DecodeError):
        decode_snmp6(text)


@given(st.text())
def test_any_text_is_decoded_or_refused(text: str) -> None:
    for decode in (decode_snmp, decode_snmp6):
        for before in ("", "Ip: A\nIp: ", "A "):
            try:
                decode(before + text)
            except DecodeError:
                pass
