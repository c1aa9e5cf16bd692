"""Both views of a router's addresses, as the kernel's own NAT makes them, packet by packet."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ipsecmon.model import Direction
from ipsecmon.ruleset.iptables import digest_of, show
from ipsecmon.ruleset.model import Match
from ipsecmon.ruleset.nft import render
from ipsecmon.ruleset.saved import parse_saved
from tests.unit.helper.conftest import require_root

from .plans import small_plan

# In a namespace of its own: lan0 and wan0 are ends of this program (tun(4)). A LAN host asks outside and is
# answered, masqueraded; an outside host asks the port that is forwarded to the LAN host and is answered.
PROGRAM = """
import fcntl, os, socket, struct, subprocess, sys

def tun(name):
    descriptor = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(descriptor, 0x400454CA, struct.pack("16sH22x", name.encode(), 0x1001))  # TUNSETIFF
    return descriptor

def udp(source, source_port, destination, destination_port):
    header = bytearray(struct.pack(">BBHHHBBH4s4s", 0x45, 0, 28, 0, 0, 64, 17, 0,
                                   socket.inet_aton(source), socket.inet_aton(destination)))
    total = sum(struct.unpack(">10H", header))
    header[10:12] = struct.pack(">H", ~(total + (total >> 16)) & 0xFFFF)
    return bytes(header) + struct.pack(">HHHH", source_port, destination_port, 8, 0)

def ends(packet):
    return (socket.inet_ntoa(packet[12:16]), *struct.unpack(">H", packet[20:22]),
            socket.inet_ntoa(packet[16:20]), *struct.unpack(">H", packet[22:24]))

def passes(packet, into, out_of):
    os.write(into, packet)
    return ends(os.read(out_of, 2000))

os.system("echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6; echo 1 >/proc/sys/net/ipv4/ip_forward")
lan, wan = tun("lan0"), tun("wan0")
for line in ("addr add 10.1.5.1/24 dev lan0", "link set lan0 up",
             "addr add 203.0.113.2/24 dev wan0", "link set wan0 up"):
    subprocess.run(["ip", *line.split()], check=True)
nat, rules = sys.stdin.read().split("# rules\\n")
subprocess.run(["nft", "-f", "-"], input=nat, text=True, check=True)
subprocess.run(sys.argv[1].split(), input=rules, text=True, check=True)
source, port, *_ = passes(udp("10.1.5.9", 4000, "203.0.113.9", 53), lan, wan)
assert source == "203.0.113.2"
assert passes(udp("203.0.113.9", 53, source, port), wan, lan)[2:] == ("10.1.5.9", 4000)
assert passes(udp("203.0.113.9", 5000, "203.0.113.2", 8080), wan, lan)[2:] == ("10.1.5.9", 80)
assert passes(udp("10.1.5.9", 80, "203.0.113.9", 5000), lan, wan)[:2] == ("203.0.113.2", 8080)
print(subprocess.run(sys.argv[2].split(), capture_output=True, text=True, check=True).stdout)
"""
NAT = """
table ip nat {
  chain leaving {
    type nat hook postrouting priority srcnat;
    oifname "wan0" masquerade
  }
  chain arriving {
    type nat hook prerouting priority dstnat;
    iifname "wan0" udp dport 8080 dnat to 10.1.5.9:80
  }
}
"""


def printed(rules: str, load: str, listing: str) -> str:
    """What lists the counters, when everything has passed."""
    require_root("unshare", "nft", "ip", load.split()[0])
    if not Path("/dev/net/tun").exists() and "CI" not in os.environ:
        pytest.skip("needs /dev/net/tun")
    argv = ["unshare", "--net", sys.executable, "-c", PROGRAM, load, listing]
    text = f"{NAT}# rules\n{rules}"
    done = subprocess.run(argv, input=text, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def counted(match: Match, flavour: str = "") -> tuple[int, int]:
    """Packets that the match took on the line, of the two in and the two out. flavour: of iptables."""
    plan = replace(small_plan(match=match), does_nat=True)
    taps = {part.tap.direction: part.tap for part in plan.parts if part.tap.name == "web"}
    if not flavour:
        text = printed(render(plan), "nft -f -", "nft list counters")
        packets = {way: text.split(f"counter {tap.object_name} ")[1].split()[2] for way, tap in taps.items()}
        return int(packets[Direction.IN]), int(packets[Direction.OUT])
    saved = parse_saved(printed(show(plan), f"iptables-{flavour}-restore", f"iptables-{flavour}-save -c"))
    sums = {
        way: sum(one.packets for one in saved.rules if one.chain == f"ipsecmon-a-{digest_of(tap)}")
        for way, tap in taps.items()
    }
    return sums[Direction.IN], sums[Direction.OUT]


@pytest.mark.parametrize(
    ("match", "packets"),
    [
        (Match(local=("10.1.5.9/32",)), (2, 2)),
        (Match(local=("10.1.5.9/32",), lan_view=False), (0, 0)),
        (Match(local=("203.0.113.2/32",)), (0, 0)),
        (Match(local=("203.0.113.2/32",), lan_view=False), (2, 2)),
        (Match(ports=((80, 80),)), (1, 1)),
        (Match(ports=((80, 80),), lan_view=False), (0, 0)),
        (Match(ports=((8080, 8080),), lan_view=False), (1, 1)),
        (Match(ports=((8080, 8080),)), (0, 0)),
        (Match(source_ports=((4000, 4000),), host=("10.1.5.0/24",)), (0, 1)),
        (Match(remote=("203.0.113.9/32",), lan_view=False), (2, 2)),
        (Match(remote=("203.0.113.9/32",)), (2, 2)),
    ],
)
def test_each_view_sees_its_own_addresses_and_ports_in_both_directions(
    match: Match, packets: tuple[int, int]
) -> None:
    assert counted(match) == packets


@pytest.mark.parametrize("flavour", ["nft", "legacy"])
@pytest.mark.parametrize(
    ("match", "packets"),
    [
        (Match(local=("10.1.5.9/32",)), (1, 2)),
        (Match(local=("10.1.5.9/32",), lan_view=False), (0, 1)),
        (Match(local=("203.0.113.2/32",)), (1, 0)),
        (Match(local=("203.0.113.2/32",), lan_view=False), (2, 1)),
        (Match(ports=((80, 80),)), (0, 1)),
        (Match(ports=((80, 80),), lan_view=False), (0, 0)),
        (Match(ports=((8080, 8080),), lan_view=False), (1, 1)),
        (Match(ports=((8080, 8080),)), (1, 0)),
        (Match(source_ports=((4000, 4000),), host=("10.1.5.0/24",)), (0, 1)),
        (Match(remote=("203.0.113.9/32",), lan_view=False), (2, 2)),
        (Match(remote=("203.0.113.9/32",)), (2, 2)),
    ],
)
def test_with_iptables_a_connections_first_packet_alone_is_seen_before_its_translation(
    match: Match, packets: tuple[int, int], flavour: str
) -> None:
    """Of the four packets one in and one out are the first of their connection."""
    assert counted(match, flavour) == packets
