"""The nouns of interfaces that end a tunnel's inside: GRE devices and PPP sessions, as the kernel keeps them.

What such an interface counts is the IP packet, without the headers of GRE, L2TP and PPP (docs/tunnels.md has
what was measured). Addresses are written as inet_ntop(3) writes them.
"""

from __future__ import annotations

from typing import NamedTuple, Union

__all__ = ["ETHERNET_KINDS", "GRE_KINDS", "KINDS", "PPP", "Link", "LinkCounts", "LinkEnd", "LinkEvent"]
__all__ += ["LinkNews", "LinkPeer"]

PPP = "ppp"
ETHERNET_KINDS = frozenset({"gretap", "ip6gretap"})  # these count the Ethernet header too
GRE_KINDS = frozenset({"gre", "ip6gre"}) | ETHERNET_KINDS
KINDS = GRE_KINDS | {PPP}


class LinkCounts(NamedTuple):
    """Since the interface was made."""

    in_octets: int = 0
    in_packets: int = 0
    out_octets: int = 0
    out_packets: int = 0


class Link(NamedTuple):
    """kind: one of KINDS. local, remote: the outer ends of GRE; "" is any, and of PPP not known."""

    ifindex: int
    name: str
    kind: str
    counts: LinkCounts
    local: str = ""
    remote: str = ""


class LinkNews(NamedTuple):
    """An interface is there, or has changed."""

    link: Link


class LinkEnd(NamedTuple):
    """An interface is gone; its counters are final."""

    link: Link


class LinkPeer(NamedTuple):
    """The address of the other end of an interface, inside."""

    ifindex: int
    address: str


LinkEvent = Union[LinkNews, LinkEnd, LinkPeer]
