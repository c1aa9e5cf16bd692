"""What /proc/net says of L2TP: as Linux 6.1 wrote it in a router that xl2tpd had called, and broken."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipsecmon.errors import DecodeError
from ipsecmon.wire.l2tp_text import decode_pppol2tp, decode_udp_peers
from ipsecmon.wire.warriors_text import decode_warriors

PPPOL2TP = """PPPoL2TP driver info, V2.0
TUNNEL name, user-data-ok session-count
 debug tx-pkts/bytes/errs rx-pkts/bytes/errs
  SESSION name, addr/port src-tid/sid dest-tid/sid state user-data-ok
   mtu/mru/rcvseq/sendseq/lns debug reorderto
   nr/ns tx-pkts/bytes/errs rx-pkts/bytes/errs

TUNNEL 'tunl 15005', Y 3
 00000000 58/12222/0 35/31260/0
  SESSION 'sess 15005/14936' CB007101/1701 3A9D/3A58 -> BEC1/20C7 3 Y
   0/0/-/-/LNS 00000000 0
   0/0 58/12222/0 35/31260/0
   interface ppp0
  SESSION 'sess 15005/0' CB007101/1701 3A9D/0000 -> BEC1/0000 1 Y
   0/0/-/-/LAC 00000000 0
   0/0 0/0/0 0/0/0
   interface (null)
"""
UDP_HEAD = (
    "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref\n"
)
UDP = f"""{UDP_HEAD}  983: 017100CB:06A5 027100CB:06A5 01 00000000:00000000 00:00000000 00000000 0 0 645 3 00
  983: 017100CB:06A5 00000000:0000 07 00000000:00000000 00:00000000 00000000 0 0 636 2 00
  120: 017100CB:0035 037100CB:1234 01 00000000:00000000 00:00000000 00000000 0 0 700 2 00
"""


def test_the_interface_of_a_session_is_told_and_a_tunnels_own_session_has_none() -> None:
    assert decode_pppol2tp(PPPOL2TP) == {"ppp0"}


def test_only_connected_sockets_of_l2tp_name_a_gateway() -> None:
    assert decode_udp_peers(UDP) == {"203.0.113.2"}


def test_ipv6_has_a_heading_of_its_own() -> None:
    assert decode_udp_peers(UDP_HEAD.replace("rem_address", "            remote_address    ")) == set()


def test_ipv6_is_read_word_by_word() -> None:
    peer = "B80D0120000003020000000002000000"  # 2001:db8:203::2, on a machine that is little-endian
    row = f"  7: {'0' * 32}:06A5 {peer}:06A5 01 00:00 00:00 0 0 0 1 2 0\n"
    assert decode_udp_peers(UDP_HEAD + row) == {"2001:db8:203::2"}


@pytest.mark.parametrize("text", ["", "other\n", PPPOL2TP[1:]])
def test_what_is_no_table_of_sessions_is_refused(text: str) -> None:
    with pytest.raises(DecodeError):
        decode_pppol2tp(text)


@pytest.mark.parametrize("text", ["", "sl\n", UDP_HEAD + "  x: y\n", UDP[: UDP.index("027100CB") + 4]])
def test_what_is_no_table_of_sockets_is_refused(text: str) -> None:
    with pytest.raises(DecodeError):
        decode_udp_peers(text)


def test_names_stand_behind_addresses_and_the_last_line_holds() -> None:
    text = "# pppd's ip-up\n10.9.0.2 anna\n\n10.9.0.3 old # was\n10.9.0.3\tBert the second\nFD01::2 carol\n"
    assert decode_warriors(text) == {"10.9.0.2": "anna", "10.9.0.3": "Bert the second", "fd01::2": "carol"}


@pytest.mark.parametrize("text", ["10.9.0.2\n", "anna 10.9.0.2\n", "10.9.0.2 \x07\n"])
def test_a_line_that_is_no_address_and_name_is_refused(text: str) -> None:
    with pytest.raises(DecodeError):
        decode_warriors(text)


@given(st.text(max_size=200))
def test_any_text_is_read_or_a_decode_error(text: str) -> None:
    for decode in (decode_pppol2tp, decode_udp_peers, decode_warriors):
        try:
            decode(text)
        except DecodeError:
            pass
