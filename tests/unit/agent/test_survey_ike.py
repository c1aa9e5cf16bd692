"""Connections from swanctl's list, swanctl.conf and ipsec.conf; their secrets are passed over."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipsecmon.agent.survey_ike import Connection, read_ipsec_conf, read_list_conns, read_swanctl_conf

OWN = ("203.0.113.1",)

LISTED = """\
hq-berlin: IKEv2, no reauthentication, rekeying every 14400s
  local:  203.0.113.1
  remote: 198.51.100.7
  local pre-shared key authentication:
    id: hq.example.net
  remote pre-shared key authentication:
    id: berlin.example.net
  net-net: TUNNEL, rekeying every 3600s
    local:  10.1.0.0/24
    remote: 10.2.0.0/24
rw: IKEv1/2, reauthentication every 10800s, dpd delay 30s
  local:  %any
  remote: %any
  local public key authentication:
    id: CN=hq.example.net
two ends: IKEv2, no reauthentication, rekeying every 14400s
  local:  203.0.113.1
  local:  2001:db8:203::1
  remote: 198.51.100.8
  remote: branch.example.net
  local pre-shared key authentication:
    id: hq.example.net
  remote: TUNNEL, no rekeying
    local:  10.1.0.0/24
    remote: 10.3.0.0/24
none: IKEv1, reauthentication every 10800s
"""

SWANCTL = """\
# hq
include conf.d/*.conf
connections {
   hq-berlin {
      local_addrs  = 203.0.113.1
      remote_addrs = 198.51.100.7 # the office
      remote {
         id = "berlin { remote_addrs = 192.0.2.66 }"
         remote_addrs = 192.0.2.67
      }
      children { net { remote_ts = 10.2.0.0/24 } }
   }
   rw { pools = pool4
        remote { auth = psk } }
   "ring" { remote_addrs = 198.51.100.8,2001:db8::8, Paris.example.net, 192.0.2.0/24, 192.0.2.1-192.0.2.9 }
}
secrets {
   ike-berlin {
      id = 198.51.100.9
      secret = 0sS3cr3t+word==
      remote_addrs = 192.0.2.68
   }
}
pools { pool4 { addrs = 10.9.0.0/24 } }
"""

IPSEC = """\
version 2
config setup
    left=192.0.2.1

conn %default
    left=203.0.113.1
    keyexchange=ikev2

conn base
    authby=secret

conn hq-berlin
    also=base
    right=198.51.100.7   # the office
    rightsubnet=10.2.0.0/24
    auto=start

conn mirrored
    left=198.51.100.8
    right=203.0.113.1
    auto=add

conn rw
    right=%any
    auto=add

conn named
    right="Paris.example.net"

conn pass-lan
    right=10.1.0.9
    type=passthrough
    auto=route
"""


def test_the_running_daemons_list_tells_names_and_far_ends() -> None:
    assert read_list_conns(LISTED) == [
        Connection("hq-berlin", ("198.51.100.7",)),
        Connection("rw"),
        Connection("two ends", ("198.51.100.8", "branch.example.net")),
        Connection("none"),
    ]


def test_swanctl_conf_tells_connections_and_nothing_of_other_sections() -> None:
    assert read_swanctl_conf(SWANCTL) == [
        Connection("hq-berlin", ("198.51.100.7",)),
        Connection("rw"),
        Connection("ring", ("198.51.100.8", "2001:db8::8", "paris.example.net")),
    ]


def test_a_swanctl_conf_in_one_line_is_read_too() -> None:
    text = "connections { a { remote_addrs = 198.51.100.7 } }"

    assert read_swanctl_conf(text) == [Connection("a", ("198.51.100.7",))]


def test_ipsec_conf_tells_connections_without_shunts_and_parts() -> None:
    assert read_ipsec_conf([IPSEC], OWN) == [
        Connection("hq-berlin", ("198.51.100.7",)),
        Connection("mirrored", ("198.51.100.8",)),
        Connection("rw"),
        Connection("named", ("paris.example.net",)),
    ]


def test_parts_of_an_ipsec_conf_may_be_in_other_files() -> None:
    first = "conn office\n    also=far\n    auto=add\n"
    second = "conn far\n    right=198.51.100.7\n"

    assert Connection("office", ("198.51.100.7",)) in read_ipsec_conf([first, second], OWN)


def test_parts_that_name_each_other_come_to_an_end() -> None:
    text = "conn a\n also=b\n right=198.51.100.7\nconn b\n also=a\n"

    assert Connection("a", ("198.51.100.7",)) in read_ipsec_conf([text], OWN)


def test_right_is_the_far_side_unless_it_is_ours() -> None:
    text = "conn a\n left=198.51.100.7\n right=%defaultroute\n auto=add\n"

    assert read_ipsec_conf([text], OWN) == [Connection("a", ("198.51.100.7",))]


@pytest.mark.parametrize(
    "remote", ["%any", "%any6", "0.0.0.0/0", "::/0", "%group", "127.0.0.1", "0.0.0.0", "::1"]
)
def test_what_names_no_far_end_is_open(remote: str) -> None:
    assert read_swanctl_conf(f"connections {{\n a {{\n remote_addrs = {remote}\n }}\n}}") == [Connection("a")]


@given(st.text(alphabet=' \t\n={}#",\\%:.abconnections19', max_size=200))
def test_any_text_is_read_without_an_error(text: str) -> None:
    read_list_conns(text)
    read_swanctl_conf(f"connections {{ a {{ {text}")
    read_ipsec_conf([f"conn a\n{text}"], OWN)
