"""Makes tests/unit/wire/fixtures/xfrm-* anew, in the guest and from its kernel, as root:

    tests/guest/run-guest -w tests/unit/wire/fixtures '.venv/bin/python -m tests.guest.capture'

The same SAs, policies and events by netlink, as annotated hex, and as ip(8) prints them. Their keys are
made up and stand in the files on purpose: a test shows that no decoded value holds one.
"""

from __future__ import annotations

import os
import platform
import socket
import subprocess
import time

from ipsecmon.wire.netlink import NLMSG_DONE, pull_messages
from ipsecmon.wire.xfrm_request import EVENT_GROUPS, NETLINK_XFRM, encode_policy_dump, encode_sa_dump
from tests.guest.topology import EspTunnel, add_esp_tunnel, add_sas
from tests.netns.agent import in_namespace
from tests.netns.exchange import exchange_udp
from tests.netns.topology import FAR_LAN, LAN, Topology
from tests.netns.topology import topology as make_topology
from tests.unit.wire.hexfiles import FIXTURES, render

__all__ = ["open_xfrm", "receive_dump", "receive_events"]

KEY = "0x" + "a5" * 20
GCM = f"aead rfc4106(gcm(aes)) {KEY} 128"
CBC = f"enc cbc(aes) 0x{'b6' * 16} auth-trunc hmac(sha256) 0x{'c7' * 32} 128"
IPV4, IPV6 = "src 192.0.2.1 dst 192.0.2.2", "src 2001:db8::1 dst 2001:db8::2"
STATES = f"""
xfrm state add {IPV4} proto esp spi 0x1001 reqid 11 mode transport replay-window 32 {CBC} sel src 192.0.2.1/32 dst 192.0.2.2/32 proto udp sport 1701
xfrm state add {IPV4} proto esp spi 0x1002 reqid 12 mode tunnel replay-window 128 flag af-unspec esn {GCM}
xfrm state add {IPV4} proto esp spi 0x1003 reqid 13 mode tunnel {GCM} encap espinudp 4500 1027 192.0.2.9
xfrm state add {IPV4} proto esp spi 0x1004 reqid 14 mode tunnel mark 0x42 mask 0xff {GCM} output-mark 0x7 mask 0xf
xfrm state add {IPV4} proto esp spi 0x1005 reqid 15 mode tunnel if_id 0x17 {GCM} replay-window 32 replay-oseq 0x10
xfrm state add {IPV4} proto esp spi 0x1006 reqid 16 mode beet {GCM} sel src 10.7.0.1/32 dst 10.8.0.0/16 proto icmp type 8 code 0
xfrm state add {IPV6} proto esp spi 0x1007 reqid 4294967295 mode tunnel replay-window 32 {CBC} sel src fd01::/64 dst fd02::/64 proto gre key 65537
xfrm state add {IPV6} proto ah spi 0x1008 mode transport auth hmac(sha1) 0x{"d8" * 20}
xfrm state add {IPV4} proto esp spi 0x1009 mode tunnel flag noecn decap-dscp nopmtudisc icmp align4 extra-flag dont-encap-dscp oseq-may-wrap {GCM} limit byte-soft 1000000 limit byte-hard 2000000 limit packet-soft 3000 limit packet-hard 4000 limit time-soft 5000 limit time-hard 6000 limit time-use-soft 7000 limit time-use-hard 8000
xfrm state add {IPV4} proto comp spi 0x100a mode tunnel comp deflate
xfrm state allocspi {IPV4} proto esp reqid 19 mode tunnel min 0x100b max 0x100b
"""  # noqa: E501 - ip(8) wants each on one line
POLICIES = """
xfrm policy add src 10.1.0.0/24 dst 10.2.0.0/24 proto tcp dport 443 dir out priority 7 if_id 0x17 mark 0x42 mask 0xff tmpl src 203.0.113.1 dst 203.0.113.2 proto esp reqid 15 mode tunnel
xfrm policy add src 192.0.2.1/32 dst 192.0.2.2/32 dir out tmpl proto comp reqid 3 mode transport level use tmpl proto esp reqid 2 mode transport
xfrm policy add src 10.9.0.0/16 dst 0.0.0.0/0 dir in action block
xfrm policy add src fd01::/64 dst fd02::/64 dir out tmpl src 2001:db8::1 dst 2001:db8::2 proto esp spi 0x1007 reqid 4294967295 mode tunnel
"""  # noqa: E501
EVENTS = f"""
xfrm state add {IPV4} proto esp spi 0x2001 reqid 1 mode tunnel replay-window 32 {GCM}
xfrm state update {IPV4} proto esp spi 0x2001 reqid 1 mode tunnel replay-window 32 {GCM} limit time-soft 1 limit time-hard 2
xfrm state add {IPV4} proto esp spi 0x2002 reqid 1 mode tunnel mark 0x42 mask 0xff replay-window 128 flag esn {GCM}
xfrm state delete {IPV4} proto esp spi 0x2002 mark 0x42 mask 0xff
"""  # noqa: E501


def main() -> None:
    subprocess.run(["modprobe", "ipv6"], check=True)
    with make_topology("parent") as topology:
        capture_states(topology)
        capture_events(topology)


def capture_states(topology: Topology) -> None:
    """With traffic through two pairs of SAs, so that counters and windows are not all zero."""
    add_esp_tunnel(topology, EspTunnel())
    topology.ip("router", POLICIES)
    exchange_udp(topology, "lan", "parent", FAR_LAN, packets=7)
    exchange_udp(topology, "parent", "lan", LAN, packets=5, source_address=FAR_LAN)
    add_sas(topology, EspTunnel(spi=0x200, cipher="cbc"))
    topology.ip("router", STATES)
    with open_xfrm(topology) as asking:
        asking.send(encode_sa_dump(1))
        states = receive_dump(asking)
        asking.send(encode_policy_dump(2))
        policies = receive_dump(asking)
    text = print_states(topology)
    write_hex("xfrm-states", STATES, states)
    write_hex("xfrm-policies", POLICIES, policies)
    write_text("xfrm-states", "ip -s xfrm state list nokeys", text)
    keyed = topology.run("router", "env", "TZ=UTC0", "ip", "-s", "-s", "xfrm", "state", "list")
    write_text("xfrm-states-keyed", "ip -s -s xfrm state list", keyed)
    write_text("xfrm-policies", "ip xfrm policy list", topology.run("router", "ip", "xfrm", "policy", "list"))


def capture_events(topology: Topology) -> None:
    with open_xfrm(topology, EVENT_GROUPS) as listening:
        monitor = topology.start("router", "env", "TZ=UTC0", "ip", "-s", "xfrm", "monitor", "SA", "expire")
        time.sleep(1)  # ip(8) does not say when it listens
        topology.ip("router", EVENTS)
        exchange_udp(topology, "lan", "parent", FAR_LAN, packets=3)
        topology.ip("router", "xfrm state delete src 203.0.113.1 dst 203.0.113.2 proto esp spi 0x200")
        time.sleep(3)  # the limits of EVENTS
        topology.ip("router", "xfrm state flush proto esp")
        time.sleep(1)
        write_hex("xfrm-events", EVENTS, receive_events(listening))
        text, _ = end(monitor)
    write_text("xfrm-monitor", "ip -s xfrm monitor SA expire", text)


def end(process: subprocess.Popen[str]) -> tuple[str, int]:
    process.terminate()
    text, _ = process.communicate()
    return text, process.returncode


def open_xfrm(topology: Topology, groups: int = 0) -> socket.socket:
    """An XFRM socket of the router."""
    with in_namespace(topology.name("router")):
        opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_XFRM)
        opened.bind((0, groups))
    return opened


def receive_dump(asking: socket.socket) -> list[bytes]:
    datagrams: list[bytes] = []
    while not datagrams or all(found.kind != NLMSG_DONE for found in pull_messages(datagrams[-1])):
        datagrams.append(asking.recv(1 << 17))
    return datagrams


def receive_events(listening: socket.socket) -> list[bytes]:
    """What has come so far."""
    datagrams = []
    while True:
        try:
            datagrams.append(listening.recv(1 << 17, socket.MSG_DONTWAIT))
        except BlockingIOError:
            return datagrams


def print_states(topology: Topology) -> str:
    """What the text reader reads, in UTC."""
    return topology.run("router", "env", "TZ=UTC0", "ip", "-s", "xfrm", "state", "list", "nokeys")


def write_hex(name: str, how: str, datagrams: list[bytes]) -> None:
    head = [f"Linux {platform.release()}, {platform.machine()}; made by tests/guest/capture.py with"]
    (FIXTURES / f"{name}.hex").write_text(render([*head, *how.strip().splitlines()], datagrams))


def write_text(name: str, command: str, text: str) -> None:
    version = subprocess.run(["ip", "-V"], capture_output=True, text=True, check=True).stdout.strip()
    head = f"# Linux {os.uname().release}; {version}; TZ=UTC0 {command}\n"
    (FIXTURES / f"{name}.txt").write_text(head + text)


if __name__ == "__main__":
    main()
