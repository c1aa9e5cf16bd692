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

__all__ = ["EspTunnel", "add_esp_tunnel", "add_sas", "delete_sas", "flush_ipsec", "sa_volume"]

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
}


@dataclass(frozen=True)
class EspTunnel:
    """spi: of the outbound SA; the inbound one has spi + 1. inner_*: networks of one family.

    cipher: gcm, or cbc (with SHA-256). outer: 4 or 6.
    """

    spi: int = 0x100
    reqid: int = 1
    cipher: str = "gcm"
    outer: int = 4
    inner_local: str = "10.1.0.0/24"
    inner_remote: str = "10.2.0.0/24"
    router: str = ""
    parent: str = ""

    @property
    def ends(self) -> tuple[str, str]:
        """The outer addresses: the router's, the parent's."""
        defaults = (WAN, FAR) if self.outer == 4 else (WAN6, FAR6)
        return self.router or defaults[0], self.parent or defaults[1]

    def esp_octets(self, inner: int) -> int:
        """Octets on the wire, outer IP header included, of one inner packet (RFC 4303 2)."""
        cipher = CIPHERS[self.cipher]
        padded = -(-(inner + ESP_TRAILER) // cipher.block) * cipher.block
        return (20 if self.outer == 4 else 40) + ESP_HEADER + cipher.iv + padded + cipher.icv

    def _states(self) -> list[str]:
        """One line of ip(8) selectors for each SA: outbound, inbound."""
        router, parent = self.ends
        pairs = ((router, parent, self.spi), (parent, router, self.spi + 1))
        return [f"src {source} dst {to} proto esp spi {spi:#x}" for source, to, spi in pairs]

    def _policies(self, role: str) -> list[str]:
        router, parent = self.ends
        away, home = ("out",), ("in", "fwd")
        template = "tmpl src {} dst {} proto esp reqid {} mode tunnel".format
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
    for role in ("router", topology.far):
        topology.ip(role, "".join(f"xfrm policy add {policy}\n" for policy in tunnel._policies(role)))


def add_sas(topology: Topology, tunnel: EspTunnel) -> None:
    """The SAs alone: with another spi and the same reqid, a rekey's new ones."""
    algorithms = CIPHERS[tunnel.cipher].algorithms.format(tunnel.spi)
    # af-unspec: either family inside, whatever the outer one
    rest = f"reqid {tunnel.reqid} mode tunnel replay-window 64 flag af-unspec {algorithms}"
    for role in ("router", topology.far):
        topology.ip(role, "".join(f"xfrm state add {state} {rest}\n" for state in tunnel._states()))


def delete_sas(topology: Topology, tunnel: EspTunnel) -> None:
    """Delete the two SAs at both ends, each with its DELSA event."""
    for role in ("router", topology.far):
        topology.ip(role, "".join(f"xfrm state delete {state}\n" for state in tunnel._states()))


def flush_ipsec(topology: Topology) -> None:
    """No SA and no policy at either end."""
    for role in ("router", topology.far):
        topology.ip(role, "xfrm policy flush\nxfrm state flush\n")


def sa_volume(topology: Topology, role: str, spi: int) -> Volume:
    """What the SA has counted: inner packets and octets (tunnel mode), as ip(8) prints them."""
    text = topology.run(role, "ip", "-s", "xfrm", "state", "list", "nokeys", "spi", f"{spi:#x}")
    matched = re.search(r"lifetime current:\s*(\d+)\(bytes\), (\d+)\(packets\)", text)
    assert matched, f"no SA of SPI {spi:#x}"
    return Volume(packets=int(matched[2]), octets=int(matched[1]))
