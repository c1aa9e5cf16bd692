"""lan - router - parent, and what a head office has besides: another site, and a road warrior behind NAT.

    parent ── 198.51.100.2  berlin   10.3.0.1/24 on lo
       │
       └───── 192.0.2.2  nat  192.168.7.1 ── 192.168.7.2  warrior   10.9.0.2/32 on lo

The parent forwards between them and the router, whose Internet line is the one that it was. The NAT router
shows the warrior's port 4500 as WARRIOR_PORT.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.guest.topology import EspTunnel
from tests.netns.topology import FAR, Topology

__all__ = [
    "BERLIN",
    "BERLIN_LAN",
    "NAT",
    "TO_BERLIN",
    "TO_WARRIOR",
    "WARRIOR_LAN",
    "WARRIOR_PORT",
    "NattPort",
    "Sites",
    "hold_natt_ports",
    "sites",
    "xfrm_interface",
]

BERLIN, BERLIN_LAN = "198.51.100.2", "10.3.0.1"
NAT, WARRIOR, WARRIOR_LAN, WARRIOR_PORT = "192.0.2.2", "192.168.7.2", "10.9.0.2", 40001
TO_BERLIN = EspTunnel(spi=0x500, reqid=5, parent=BERLIN, far="berlin", inner_remote="10.3.0.0/24")
TO_WARRIOR = EspTunnel(
    spi=0x600,
    reqid=6,
    parent=NAT,
    far="warrior",
    behind_nat=WARRIOR,
    udp_port=WARRIOR_PORT,
    inner_remote="10.9.0.2/32",
)
QUIET = "multicast off addrgenmode none"
HOLDER = (sys.executable, "-I", "-S", str(Path(__file__).with_name("udp_encap.py")))

_LINKS = (
    ("parent", "berlin0", "198.51.100.1/24", "berlin", "eth0", "198.51.100.2/24"),
    ("parent", "nat0", "192.0.2.1/24", "nat", "wan0", "192.0.2.2/24"),
    ("nat", "lan0", "192.168.7.1/24", "warrior", "eth0", "192.168.7.2/24"),
)
_ROUTES = {
    "router": "".join(
        f"route add {net} via {FAR}\n"
        for net in ("198.51.100.0/24", "192.0.2.0/24", "10.3.0.0/24", "10.9.0.2/32")
    ),
    "berlin": "addr add 10.3.0.1/24 dev lo\nroute add default via 198.51.100.1\n",
    "nat": "route add default via 192.0.2.1\n",
    "warrior": "addr add 10.9.0.2/32 dev lo\nroute add default via 192.168.7.1\n",
}
_MASQUERADE = "-t nat -A POSTROUTING -o wan0 -p udp --sport 4500 -j MASQUERADE --to-ports"


class Sites(Topology):
    """Namespaces of the roles lan, router, parent, berlin, nat and warrior; more: others, alone.

    kind: it lives beside others of the same process, which have another one.
    """

    def __init__(self, *more: str, kind: str = "sites") -> None:
        super().__init__("parent", "berlin", "nat", "warrior", *more)
        self._names = {role: f"{name}-of-{kind}" for role, name in self._names.items()}

    def gateways(self) -> tuple[str, ...]:
        return ("router", "parent", "berlin", "warrior")

    def connect_sites(self) -> None:
        batches = {role: "link set lo up\n" for role in _ROUTES}
        for role, interface, address, far, far_interface, far_address in _LINKS:
            self.connect(role, interface, far, far_interface)
            for end, name, own in ((role, interface, address), (far, far_interface, far_address)):
                up = f"link set {name} {QUIET}\nlink set {name} up\naddr add {own} dev {name}\n"
                batches[end] = batches.get(end, "") + up
        for role, batch in batches.items():
            self.ip(role, batch + _ROUTES.get(role, ""))
        for role in ("parent", "nat"):
            self.sysctl(role, net__ipv4__ip_forward=1)
        self.run("nat", "iptables-legacy", *_MASQUERADE.split(), str(WARRIOR_PORT))


@contextlib.contextmanager
def sites() -> Iterator[Sites]:
    """All of it, up; the router's links as silent as those of topology()."""
    made = Sites()
    with made:
        made.connect_all(offloads=False)
        made.address_all()
        made.connect_sites()
        yield made


@contextlib.contextmanager
def hold_natt_ports(topology: Topology, *roles: str) -> Iterator[list[NattPort]]:
    """UDP port 4500 of each role takes ESP, as an IKE daemon's does."""
    ports = [NattPort(topology.start(role, *HOLDER)) for role in roles]
    try:
        for port in ports:
            assert port.said() == "ready\n"
        yield ports
    finally:
        for port in ports:
            port.close()


class NattPort:
    """A process that holds one, and sends what an IKE daemon does beside ESP."""

    def __init__(self, holder: subprocess.Popen[str]) -> None:
        self._holder = holder

    def said(self) -> str:
        assert self._holder.stdout is not None
        return self._holder.stdout.readline()

    def send(self, address: str, port: int, payload: bytes) -> None:
        """It is on its way on return."""
        assert self._holder.stdin is not None
        self._holder.stdin.write(f"{address} {port} {payload.hex()}\n")
        self._holder.stdin.flush()
        assert self.said() == "sent\n"

    def close(self) -> None:
        self._holder.communicate(timeout=20)


@contextlib.contextmanager
def xfrm_interface(topology: Topology, if_id: int, *networks: str) -> Iterator[None]:
    """xf0 of the router, which networks are routed to."""
    routes = "".join(f"route replace {network} dev xf0\n" for network in networks)
    topology.ip("router", f"link add xf0 type xfrm dev wan0 if_id {if_id:#x}\n")
    try:
        topology.ip("router", f"link set xf0 {QUIET}\nlink set xf0 up\n{routes}")
        yield
    finally:
        back = "".join(f"route replace {network} via {FAR}\n" for network in networks)
        topology.ip("router", f"{back}link del xf0\n")
