"""lan ── router ── far: the smallest network with an Internet line, with not one frame of its own.

    lan                 router                       far ("inet" or "parent")
    10.1.0.2/24   lan0  10.1.0.1     203.0.113.1     wan0   203.0.113.2/24      10.2.0.1/24 on lo
    fd01::2/64          fd01::1      2001:db8:203::1        2001:db8:203::2/64  fd02::1/64  on lo

lan and far call their interface eth0. Every frame that a NIC counts was sent by a test: there are no
link-local addresses, no router solicitations; links are `multicast off arp off`, which keeps addresses
from joining groups that MLD would report; neighbours are permanent entries, and so are the broadcast
addresses, as `arp off` alone would send these to nobody. A test that adds an address adds its entries
too (`neighbours`). Multicast needs none.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from tests.netns.namespaces import Namespaces

__all__ = ["FAR", "FAR6", "FAR_LAN", "FAR_LAN6", "LAN", "LAN6", "Topology", "WAN", "WAN6", "topology"]

LAN, LAN6 = "10.1.0.2", "fd01::2"
WAN, WAN6 = "203.0.113.1", "2001:db8:203::1"
FAR, FAR6 = "203.0.113.2", "2001:db8:203::2"
FAR_LAN, FAR_LAN6 = "10.2.0.1", "fd02::1"

OFFLOADS = ("gro", "gso", "tso", "tx")
# A veth that sends with TSO counts every frame with its link header, whatever its other end does, which
# ipsecmon cannot see. TSO of IPv6 alone leaves TCP over IPv4 in frames of the MTU.
KEPT = {("router", "wan0"): ("tx", "sg", "tx-tcp6-segmentation")}
BROADCAST = "ff:ff:ff:ff:ff:ff"
QUIET_LINK = "arp off multicast off addrgenmode none"
QUIET_IPV6 = {"accept_dad": 0, "accept_ra": 0, "router_solicitations": 0, "autoconf": 0}

_ADDRESSES = {
    "lan": "addr add 10.1.0.2/24 dev eth0\naddr add fd01::2/64 dev eth0 nodad\n"
    "route add default via 10.1.0.1\nroute add default via fd01::1\n",
    "router": "addr add 10.1.0.1/24 dev lan0\naddr add fd01::1/64 dev lan0 nodad\n"
    "addr add 203.0.113.1/24 dev wan0\naddr add 2001:db8:203::1/64 dev wan0 nodad\n"
    "route add 10.2.0.0/24 via 203.0.113.2\nroute add fd02::/64 via 2001:db8:203::2\n",
    "far": "addr add 203.0.113.2/24 dev eth0\naddr add 2001:db8:203::2/64 dev eth0 nodad\n"
    "addr add 10.2.0.1/24 dev lo\naddr add fd02::1/64 dev lo nodad\n"
    "route add 10.1.0.0/24 via 203.0.113.1\nroute add fd01::/64 via 2001:db8:203::1\n",
}


class Topology(Namespaces):
    """Namespaces of the roles lan, router and `far`, with the links between them; more: others, alone."""

    def __init__(self, far: str, *more: str) -> None:
        super().__init__("lan", "router", far, *more)
        self.far = far

    def gateways(self) -> tuple[str, ...]:
        """The roles where tunnels may end."""
        return ("router", self.far)

    def interfaces(self) -> Iterator[tuple[str, str]]:
        """(role, interface) of each end of a link."""
        yield from (("lan", "eth0"), ("router", "lan0"), ("router", "wan0"), (self.far, "eth0"))

    def neighbours(self, role: str, interface: str, link_address: str, *addresses: str) -> None:
        """Permanent neighbour entries: the addresses live at link_address."""
        entry = f"dev {interface} lladdr {link_address} nud permanent\n"
        self.ip(role, "".join(f"neigh replace {address} {entry}" for address in addresses))

    def connect_all(self, offloads: bool) -> None:
        for role in ("lan", "router", self.far):
            self.ip(role, "link set lo up")
            self.sysctl(role, **{f"net__ipv6__conf__default__{key}": to for key, to in QUIET_IPV6.items()})
        self.connect("lan", "eth0", "router", "lan0")
        self.connect("router", "wan0", self.far, "eth0")
        for role, interface in self.interfaces():
            self.ip(role, f"link set {interface} {QUIET_LINK}\nlink set {interface} up")
            if not offloads:
                self.do_without_offloads(role, interface)

    def do_without_offloads(self, role: str, interface: str) -> None:
        kept = KEPT.get((role, interface), ())
        words = [(name, "off") for name in OFFLOADS if name not in kept] + [(name, "on") for name in kept]
        self.run(role, "ethtool", "-K", interface, *(word for one in words for word in one))

    def address_all(self) -> None:
        for role in ("lan", "router", self.far):
            self.ip(role, _ADDRESSES["far" if role == self.far else role])
        for role, interface in self.interfaces():
            net = "10.1.0.255" if "lan" in (role, interface[:3]) else "203.0.113.255"
            self.neighbours(role, interface, BROADCAST, net, "255.255.255.255")
        self.neighbours("lan", "eth0", self.link_address("router", "lan0"), "10.1.0.1", "fd01::1")
        self.neighbours("router", "lan0", self.link_address("lan", "eth0"), LAN, LAN6)
        self.neighbours("router", "wan0", self.link_address(self.far, "eth0"), FAR, FAR6)
        self.neighbours(self.far, "eth0", self.link_address("router", "wan0"), WAN, WAN6)
        self.sysctl("router", net__ipv4__ip_forward=1, net__ipv6__conf__all__forwarding=1)


@contextlib.contextmanager
def topology(far: str = "inet", offloads: bool = False) -> Iterator[Topology]:
    """The network, up and silent, until the end of the block.

    offloads: leave the interfaces' GRO, GSO and checksum offloads as the kernel has them; without, each
    frame is one IP packet of at most 1500 octets.
    """
    made = Topology(far)
    with made:
        made.connect_all(offloads)
        made.address_all()
        yield made
