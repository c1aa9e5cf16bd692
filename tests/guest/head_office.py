"""A head office with everything at once on its Internet line, which leads through a capture (wire_tap.py).

    lan ── router ── wire ── parent ┬─ berlin            10.3.0.1, fd03::1 in GRE over transport ESP
     10.1.0.2  NAT             │    ├─ nat ── warrior    10.9.0.2, ESP in UDP
     10.1.5.2 (guests)         │    └─ caller            10.9.1.2 on ppp0, in L2TP over transport ESP
                               └ 10.2.0.1 and 10.4.0.1: two pairs of subnets; fd02::1 by ESP over IPv6

All ESP but that of the first pair is of the null cipher, so that the capture shows what is in it; the first
pair is AES-GCM, and what is in it is known from the sockets that speak through it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Optional

from tests.guest.conversation import HOSTS6, End
from tests.guest.routers import Transport, gre_link, l2tp_session
from tests.guest.sites import BERLIN, NAT, QUIET, TO_WARRIOR, WARRIOR_LAN, NattPort, Sites, hold_natt_ports
from tests.guest.topology import EspTunnel, add_esp_tunnel, delete_ipsec
from tests.guest.wire_tap import add_wire, wait_for_silence
from tests.netns.agent import Agent
from tests.netns.topology import FAR, FAR6, FAR_LAN, LAN, WAN

__all__ = [
    "ACCOUNTING",
    "BY_IPV6",
    "CALLER",
    "COUNTERS",
    "HOSTS_OF",
    "HeadOffice",
    "TO_PARENT",
    "accounted",
    "head_office",
    "road_warrior_calls",
    "tunnels_stand",
]

GUEST, CALLER, CALLER_INSIDE = "10.1.5.2", "198.18.0.2", "10.9.1.2"
TO_PARENT = EspTunnel(spi=0x100, reqid=1)
ACCOUNTING = EspTunnel(spi=0x200, reqid=2, cipher="null", inner_remote="10.4.0.0/24")
BY_IPV6 = EspTunnel(
    spi=0x300, reqid=3, cipher="null", outer=6, inner_local="fd01::/64", inner_remote="fd02::/64"
)
WARRIOR_BEHIND_NAT = replace(TO_WARRIOR, cipher="null")
TO_BERLIN = Transport(0x700, "proto gre", "proto gre", parent=BERLIN, far="berlin", cipher="null")
TO_CALLER = Transport(
    0x800, "proto udp sport 1701", "proto udp dport 1701", parent=CALLER, far="caller", cipher="null"
)
COUNTERS: list[dict[str, Any]] = [
    {"name": "VPN-to-parent", "ipsec": {"peer": FAR}},
    {"name": "VPN-by-IPv6", "ipsec": {"peer": FAR6}},
    {"name": "branch-berlin", "ipsec": {"peer": BERLIN}},
    {"name": "road-warriors", "ipsec": {"peer": NAT}},
    {"name": "l2tp-warriors", "ipsec": {"peer": CALLER}},
    {"name": "web", "match": {"proto": "tcp", "port": 443}},
    {"name": "guests", "match": {"local": "10.1.5.0/24"}},
    {"name": "voip-in-parent", "match": {"proto": "udp", "port": 5060}, "inside_tunnel": "VPN-to-parent"},
]
_LAN_HOST, _GUEST = End("lan", LAN), End("lan", GUEST)
# who speaks with whom through the tunnel, or in the clear
HOSTS_OF = {
    "parent": (_LAN_HOST, End("parent", FAR_LAN)),
    "accounting": (_LAN_HOST, End("parent", "10.4.0.1")),
    "ipv6": HOSTS6,
    "berlin": (_LAN_HOST, End("berlin", "10.3.0.1")),
    "berlin-ipv6": (HOSTS6[0], End("berlin", "fd03::1")),
    "warrior": (_LAN_HOST, End("warrior", WARRIOR_LAN)),
    "caller": (_LAN_HOST, End("caller", CALLER_INSIDE)),
    "guest-into-tunnel": (_GUEST, End("parent", "10.4.0.1")),
    "clear": (_LAN_HOST, End("parent", FAR)),
    "clear-ipv6": (HOSTS6[0], End("parent", FAR6)),
    "guest": (_GUEST, End("parent", FAR)),
    "gateways": (End("router", WAN), End("parent", FAR)),
}
_NAT = """table ip nat {
 chain postrouting {
  type nat hook postrouting priority srcnat
  oifname "wan0" ip saddr 10.1.5.0/24 ip daddr 10.4.0.0/24 snat to 10.1.0.77
  oifname "wan0" rt ipsec missing ip saddr 10.1.0.0/16 masquerade
 }
}
"""
_GRE = "gre-berlin"
_BATCHES = {
    "lan": f"addr add {GUEST}/32 dev lo\n",
    "router": f"route add 10.1.5.0/24 via {LAN}\nroute add 10.4.0.0/24 via {FAR}\n"
    f"route add 198.18.0.0/24 via {FAR}\n",
    "parent": "addr add 10.4.0.1/24 dev lo\nlink set caller0 up\naddr add 198.18.0.1/24 dev caller0\n",
    "caller": f"link set lo up\nlink set eth0 {QUIET}\nlink set eth0 up\naddr add {CALLER}/24 dev eth0\n"
    "route add default via 198.18.0.1\n",
    "berlin": "addr add fd03::1/64 dev lo nodad\n",
}


class HeadOffice(Sites):
    """Its sites, a caller, and the wire between wan0 and the far side's eth0."""

    def __init__(self) -> None:
        super().__init__("caller", "wire", kind="head-office")

    def gateways(self) -> tuple[str, ...]:
        return (*super().gateways(), "caller")

    def connect(self, role: str, interface: str, far_role: str, far_interface: str) -> None:
        if interface == "wan0" and role == "router":
            add_wire(self, (role, interface), (far_role, far_interface))
        else:
            super().connect(role, interface, far_role, far_interface)

    def connect_rest(self) -> None:
        self.connect("parent", "caller0", "caller", "eth0")
        for role, batch in _BATCHES.items():
            self.ip(role, batch)
        self.translate()

    def translate(self) -> None:
        """The router's NAT: guests into the accounting's tunnel, and the whole LAN to the Internet."""
        self.run("router", "nft", "-f", "-", text=_NAT)


@contextlib.contextmanager
def head_office() -> Iterator[HeadOffice]:
    """All of it, up and silent, without IPsec."""
    made = HeadOffice()
    with made:
        made.connect_all(offloads=False)
        made.address_all()
        made.connect_sites()
        made.connect_rest()
        yield made


@contextlib.contextmanager
def accounted(office: HeadOffice, folder: Path) -> Iterator[Agent]:
    """By an agent with a new store, whose rules go with it."""
    agent = Agent(office, folder, {"interval": "10s", "counters": COUNTERS})
    try:
        agent.start()
        yield agent
    finally:
        agent.end()
        office.run("router", "nft", "delete", "table", "inet", "ipsecmon")


@contextlib.contextmanager
def tunnels_stand(office: HeadOffice) -> Iterator[list[NattPort]]:
    """Every SA and the GRE link; the ports 4500 of router and warrior."""
    for tunnel in (TO_PARENT, ACCOUNTING, BY_IPV6, WARRIOR_BEHIND_NAT):
        add_esp_tunnel(office, tunnel)
    for transport in (TO_BERLIN, TO_CALLER):
        transport.add(office)
    with hold_natt_ports(office, "router", "warrior") as ports, gre_link(office, _GRE, WAN, BERLIN, "berlin"):
        office.ip("router", f"route replace 10.3.0.0/24 dev {_GRE}\nroute add fd03::/64 dev {_GRE}\n")
        office.ip("berlin", f"route add 10.1.0.0/24 dev {_GRE}\nroute add fd01::/64 dev {_GRE}\n")
        yield ports
    delete_ipsec(office)


@contextlib.contextmanager
def road_warrior_calls(office: HeadOffice, folder: Path) -> Iterator[None]:
    """The caller's L2TP session, by xl2tpd and pppd at both ends."""
    with l2tp_session(office, folder, "10.9.1.1", CALLER_INSIDE, ("caller", CALLER)):
        office.ip("caller", "route add 10.1.0.0/24 dev ppp0\n")
        wait_for_silence(office)
        yield


def tunnel_by_peer(peer: str) -> Optional[str]:
    """The counter that names this gateway."""
    return next((one["name"] for one in COUNTERS if one.get("ipsec") == {"peer": peer}), None)
