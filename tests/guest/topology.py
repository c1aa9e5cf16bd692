"""IPsec between `router` and `parent` of the lan - router - parent network, by ip(8) alone.

An EspTunnel is a pair of SAs in tunnel mode and the policies that use them, at both ends. Directions are
the router's. Its arithmetic (`esp_octets`) is RFC 4303's, so that a test knows what must be on the wire
without asking any counter.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tests.netns.exchange import Volume
from tests.netns.topology import FAR, FAR6, WAN, WAN6, Topology

__all__ = [
    "CIPHERS",
    "NATT_PORT",
    "EspTunnel",
    "add_esp_tunnel",
    "add_sas",
    "delete_ipsec",
    "delete_sas",
    "flush_ipsec",
    "sa_volume",
]

NATT_PORT = 4500
ESP_HEADER, ESP_TRAILER = 8, 2  # SPI and sequence number; pad length and next header


@dataclass(frozen=True)
class _Cipher:
    """algorithms: for `ip xfrm state`. iv, block, icv: octets of each packet."""

    algorithms: str
    iv: int
    block: int
    icv: int


CIPHERS = {
    "gcm": _Cipher("aead rfc4106(gcm(aes)) 0x{:040x} 128", iv=8, block=4, icv=16),
    "cbc": _Cipher("enc cbc(aes) 0x{0:032x} auth-trunc hmac(sha256) 0x{0:064x} 128", iv=16, block=16, icv=16),
    # RFC 2410: whoever captures it can read what is inside
    "null": _Cipher('enc ecb(cipher_null) "" auth-trunc hmac(sha256) 0x{:064x} 128', iv=0, block=4, icv=16),
}


@dataclass(frozen=True)
class EspTunnel:
    """spi: of the outbound SA; the inbound one has spi + 1. inner_*: networks of one family.

    cipher: gcm; cbc or null (with SHA-256). outer: 4 or 6. window: of anti-replay, 0 is none.
    far: the role of the far end, the topology's own by default. behind_nat: its own address, where the router
    sees another one. udp_port: NAT-T, the far end's as the router sees it; its own and the router's are 4500.
    if_id: of the xfrm interface at the router. secret: up to 128 bits, what the keys are made of; 0: the SPI.
    """

    spi: int = 0x100
    reqid: int = 1
    cipher: str = "gcm"
    outer: int = 4
    inner_local: str = "10.1.0.0/24"
    inner_remote: str = "10.2.0.0/24"
    router: str = ""
    parent: str = ""
    window: int = 64
    far: str = ""
    behind_nat: str = ""
    udp_port: int = 0
    if_id: int = 0
    secret: int = 0

    @property
    def ends(self) -> tuple[str, str]:
        """The outer addresses: the router's, the parent's."""
        defaults = (WAN, FAR) if self.outer == 4 else (WAN6, FAR6)
        return self.router or defaults[0], self.parent or defaults[1]

    def esp_octets(self, inner: int) -> int:
        """Octets on the wire, outer IP header included, of one inner packet (RFC 4303 2)."""
        cipher = CIPHERS[self.cipher]
        padded = -(-(inner + ESP_TRAILER) // cipher.block) * cipher.block
        return (
            (20 if self.outer == 4 else 40)
            + (8 if self.udp_port else 0)
            + ESP_HEADER
            + cipher.iv
            + padded
            + cipher.icv
        )

    def states(self, role: str) -> tuple[str, str]:
        """What ip(8) finds the SAs by: the outbound one, the inbound one."""
        router, parent = self._ends_at(role)
        pairs = ((router, parent, self.spi), (parent, router, self.spi + 1))
        out, back = (f"src {source} dst {to} proto esp spi {spi:#x}" for source, to, spi in pairs)
        return out, back

    def new_states(self, role: str) -> tuple[str, str]:
        """What ip(8) adds the SAs by: the outbound one, the inbound one."""
        algorithms = CIPHERS[self.cipher].algorithms.format(self.secret or self.spi)
        # af-unspec: either family inside, whatever the outer one
        rest = f"reqid {self.reqid} mode tunnel replay-window {self.window} flag af-unspec {algorithms}"
        if self.if_id and role == "router":
            rest += f" if_id {self.if_id:#x}"
        out, back = self.states(role)
        ports = NATT_PORT, self.udp_port if role == "router" else NATT_PORT
        encaps = (f" encap espinudp {one} {other} 0.0.0.0" for one, other in (ports, ports[::-1]))
        out_encap, back_encap = encaps if self.udp_port else ("", "")
        return f"{out} {rest}{out_encap}", f"{back} {rest}{back_encap}"

    def _ends_at(self, role: str) -> tuple[str, str]:
        router, parent = self.ends
        return router, (role != "router" and self.behind_nat) or parent

    def _policies(self, role: str) -> list[str]:
        router, parent = self._ends_at(role)
        away, home = ("out",), ("in", "fwd")
        if_id = f"if_id {self.if_id:#x} " if self.if_id and role == "router" else ""
        template = (if_id + "tmpl src {} dst {} proto esp reqid {} mode tunnel").format
        return [
            f"src {source} dst {to} dir {direction} {template(*ends, self.reqid)}"
            for source, to, ends, directions in (
                (self.inner_local, self.inner_remote, (router, parent), away if role == "router" else home),
                (self.inner_remote, self.inner_local, (parent, router), home if role == "router" else away),
            )
            for direction in directions
        ]


def add_esp_tunnel(topology: Topology, tunnel: EspTunnel) -> None:
    """SAs and policies of the tunnel, at both ends."""
    add_sas(topology, tunnel)
    for role in ("router", tunnel.far or topology.far):
        topology.ip(role, "".join(f"xfrm policy add {policy}\n" for policy in tunnel._policies(role)))


def add_sas(topology: Topology, tunnel: EspTunnel, limits: str = "") -> None:
    """The SAs alone: with another spi and the same reqid, a rekey's new ones. limits: of the router's."""
    for role in (tunnel.far or topology.far, "router"):
        rest = limits if role == "router" else ""
        topology.ip(role, "".join(f"xfrm state add {state} {rest}\n" for state in tunnel.new_states(role)))


def delete_sas(topology: Topology, tunnel: EspTunnel) -> None:
    """Delete the two SAs at both ends, each with its DELSA event."""
    for role in ("router", tunnel.far or topology.far):
        topology.ip(role, "".join(f"xfrm state delete {state}\n" for state in tunnel.states(role)))


def delete_ipsec(topology: Topology) -> None:
    """No SA and no policy at any end; a DELSA event for each SA, which flush_ipsec() does not give."""
    for role in topology.gateways():
        topology.ip(role, "xfrm policy flush\nxfrm state deleteall\n")


def flush_ipsec(topology: Topology) -> None:
    """No SA and no policy at any end."""
    for role in topology.gateways():
        topology.ip(role, "xfrm policy flush\nxfrm state flush\n")


def sa_volume(topology: Topology, role: str, spi: int) -> Volume:
    """What the SA has counted: inner packets and octets (tunnel mode), as ip(8) prints them."""
    text = topology.run(role, "ip", "-s", "xfrm", "state", "list", "nokeys", "spi", f"{spi:#x}")
    matched = re.search(r"lifetime current:\s*(\d+)\(bytes\), (\d+)\(packets\)", text)
    assert matched, f"no SA of SPI {spi:#x}"
    return Volume(packets=int(matched[2]), octets=int(matched[1]))
