"""`ipsecmon doctor` of narrow paths, of what is too big for them, and of filters at the ingress."""

from __future__ import annotations

import pytest

from tests.netns.agent import IPSECMON
from tests.netns.doctor import Doctor
from tests.netns.exchange import exchange_udp
from tests.netns.topology import FAR, FAR_LAN

REDIRECT = "action mirred egress redirect dev"
ALL, ESP, TCP = "match u32 0 0", "match ip protocol 50 0xff", "match ip protocol 6 0xff"
# The router's socket sends to FAR; FAR says, as a router on the way would, that 1300 octets is the most (RFC
# 1191 4): the message has the header of the packet that was too big, and eight octets of it.
SENDER = (
    "import socket, sys\n"
    "one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
    "one.setsockopt(socket.IPPROTO_IP, 10, 2)\n"  # IP_MTU_DISCOVER, IP_PMTUDISC_DO
    "one.bind(('203.0.113.1', 4000)); one.connect(('203.0.113.2', 4001))\n"
    "one.send(b'x'); print('sent', flush=True); sys.stdin.read()\n"
)
TOO_BIG = (
    "import socket, struct\n"
    "def total(data):\n"
    "    part = sum(struct.unpack(f'!{len(data) // 2}H', data))\n"
    "    part = (part >> 16) + (part & 0xffff)\n"
    "    return 0xffff & ~(part + (part >> 16))\n"
    "ends = socket.inet_aton('203.0.113.1') + socket.inet_aton('203.0.113.2')\n"
    "header = struct.pack('!BBHHHBBH', 0x45, 0, 1400, 1, 0x4000, 64, 17, 0) + ends\n"
    "body = header + struct.pack('!HHHH', 4000, 4001, 1380, 0)\n"
    "head = struct.pack('!BBHHH', 3, 4, 0, 0, 1300)\n"
    "head = struct.pack('!BBHHH', 3, 4, total(head + body), 0, 1300)\n"
    "one = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)\n"
    "one.sendto(head + body, ('203.0.113.1', 0))\n"
)


def test_a_path_that_has_told_its_mtu_is_found(doctor: Doctor) -> None:
    topology = doctor.topology
    sender = topology.start("router", IPSECMON[0], "-c", SENDER)
    assert sender.stdout is not None and sender.stdout.readline() == "sent\n"
    assert "path-mtu" not in doctor.ask()[1]
    topology.run("inet", IPSECMON[0], "-c", TOO_BIG)
    found = doctor.ask()[1]["path-mtu"]

    assert found["severity"] == "risk"
    assert f"the path to {FAR} takes packets of 1300 octets at most" in found["what"]
    assert "wan0 has an MTU of 1500" in found["what"]


def test_a_route_with_an_mtu_of_its_own_is_found(doctor: Doctor) -> None:
    doctor.topology.ip("router", f"route add {FAR}/32 dev wan0 mtu 1400\n")

    assert "1400 octets" in doctor.ask()[1]["path-mtu"]["what"]


def test_packets_that_are_too_big_to_be_forwarded_are_found(doctor: Doctor) -> None:
    doctor.topology.ip("router", f"route replace {FAR_LAN}/32 via {FAR} mtu 600\n")
    flood = (
        "import socket; s = socket.socket(2, 2); s.setsockopt(0, 10, 3)\n"  # IP_PMTUDISC_PROBE: never smaller
    )
    flood += f"for _ in range(120): s.sendto(bytes(1200), ('{FAR_LAN}', 9))"
    doctor.topology.run("lan", "python3", "-c", flood)

    assert "dropped 120 packets as too big" in doctor.ask()[1]["path-mtu"]["what"]


def filtered(doctor: Doctor, *filters: str) -> dict[str, str]:
    topology = doctor.topology
    topology.ip(
        "router", "link add ifb8 type ifb\nlink add ifb9 type ifb\nlink set ifb8 up\nlink set ifb9 up\n"
    )
    topology.run("router", *["tc", "qdisc", "add", "dev", "wan0", "handle", "ffff:", "ingress"])
    for number, words in enumerate(filters, 1):
        head = f"tc filter add dev wan0 parent ffff: pref {number} "
        topology.run("router", *(head + words).split())
    return doctor.kinds()


@pytest.mark.parametrize(
    "filters",
    [
        [f"protocol ip u32 {ESP} {REDIRECT} ifb9"],
        [f"protocol ip u32 {TCP} {REDIRECT} ifb9"],
        [
            f"protocol ip u32 {ESP} flowid :1",
            f"protocol ip u32 {ALL} {REDIRECT} ifb9",
        ],
        [
            f"protocol ip u32 {ESP} {REDIRECT} ifb8",
            f"protocol ip u32 {ALL} {REDIRECT} ifb9",
        ],
    ],
)
def test_a_shaper_of_esp_or_of_what_is_not_esp_is_none(doctor: Doctor, filters: list[str]) -> None:
    assert filtered(doctor, *filters) == {}


@pytest.mark.parametrize(
    "filters",
    [
        [f"protocol ip u32 {ALL} {REDIRECT} ifb9"],
        [
            f"protocol ip u32 {ESP} {REDIRECT} ifb9",
            f"protocol ip u32 {TCP} {REDIRECT} ifb9",
        ],
        [f"protocol ip u32 match ip src 203.0.113.2 {REDIRECT} ifb9"],
    ],
)
def test_a_shaper_that_both_may_come_to_is_found(doctor: Doctor, filters: list[str]) -> None:
    assert filtered(doctor, *filters) == {"ingress-shaping": "risk"}


def test_traffic_alone_makes_no_finding(doctor: Doctor) -> None:
    exchange_udp(doctor.topology, "lan", "inet", FAR, packets=200, sizes=(1400,))

    assert doctor.kinds() == {}
