"""The nouns of interfaces that end a tunnel's inside: GRE, PPP and xfrm interfaces, as the kernel keeps them.

What such an interface counts is the IP packet, without the headers of GRE, L2TP and PPP (docs/tunnels.md has
what was measured). Addresses are written as inet_ntop(3) writes them.
"""

from __future__ import annotations

from typing import NamedTuple, Union

__all__ = ["ETHERNET_KINDS", "GRE_KINDS", "KINDS", "PPP", "XFRM", "Link", "LinkCounts", "LinkEnd"]
__all__ += ["LinkEvent", "LinkNews", "LinkPeer"]

PPP, XFRM = "ppp", "xfrm"
ETHERNET_KINDS = frozenset({"gretap", "ip6gretap"})  # these count the Ethernet header too
GRE_KINDS = frozenset({"gre", "ip6gre"}) | ETHERNET_KINDS
KINDS = GRE_KINDS | {PPP, XFRM}


class LinkCounts(NamedTuple):
    """Since the interface was made."""

    in_octets: int = 0
    in_packets: int = 0
    out_octets: int = 0
    out_packets: int = 0


class Link(NamedTuple):
    """kind: one of KINDS. local, remote: the outer ends of GRE; "" is any, and of others not known.

    if_id: of an xfrm interface whose SAs are in this network namespace; 0 where it has none.
    """

    ifindex: int
    name: str
    kind: str
    counts: LinkCounts
    local: str = ""
    remote: str = ""
    if_id: int = 0


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
