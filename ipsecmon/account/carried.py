"""Which tunnel encrypts what this machine sends from one address to another: told by the IPsec policies.

It is the same in transport and tunnel mode, so that GRE between two gateways and GRE between loopbacks inside
a tunnel are found alike. Policies of an xfrm interface or with a mark take what is routed or marked so, which
addresses do not tell: they are left out, and who asks gets no answer rather than a wrong one. What is routed
into an xfrm interface is in SAs of its if_id and in no others (xfrmi_xmit2 and xfrmi_rcv_cb in the kernel).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple, Optional

from ipsecmon.account.tunnel_match import TunnelMatcher, is_within
from ipsecmon.ipsec import SecurityAssociation, Selector
from ipsecmon.model import Direction

__all__ = ["GRE", "NOTHING_CARRIED", "UDP", "Carried", "Carrier", "carried_by"]

GRE, UDP = 47, 17
L2TP_PORT = 1701
_ANY_PORT = (None, L2TP_PORT)


class Carrier(NamedTuple):
    """An outbound policy that an SA serves, and whose tunnel that is. priority: the lower one is taken."""

    selector: Selector
    priority: int
    tunnel: str


class Carried(NamedTuple):
    """Compared by identity: another one where anything may have changed.

    by_if_id: the tunnels that have SAs of it, UNNAMED too.
    """

    carriers: tuple[Carrier, ...]
    by_if_id: Mapping[int, frozenset[str]] = {}

    def tunnel(self, source: str, destination: str, protocol: int) -> Optional[str]:
        """None where no policy takes such packets, or those of several tunnels do. source: "" is any."""
        taking = [one for one in self.carriers if _takes(one.selector, source, destination, protocol)]
        first = min((one.priority for one in taking), default=0)
        tunnels = {one.tunnel for one in taking if one.priority == first}
        return tunnels.pop() if len(tunnels) == 1 else None


NOTHING_CARRIED = Carried(())


def carried_by(matcher: TunnelMatcher, sas: Iterable[SecurityAssociation]) -> Carried:
    """From the policies that the matcher has learnt."""
    found: dict[Carrier, None] = {}
    by_if_id: dict[int, frozenset[str]] = {}
    for sa in sas:
        key = matcher.key(sa)
        if sa.if_id and sa.is_keyed:  # else it is being negotiated, and carries nothing
            by_if_id[sa.if_id] = by_if_id.get(sa.if_id, frozenset()) | {key.tunnel}
        for policy in matcher.users(sa) if key.direction is Direction.OUT else ():
            if policy.direction == "out" and not policy.if_id and not policy.mark.mask:
                found[Carrier(policy.selector, policy.priority, key.tunnel)] = None
    return Carried(tuple(found), by_if_id)


def _takes(selector: Selector, source: str, destination: str, protocol: int) -> bool:
    return (
        selector.protocol in (0, protocol)
        and (protocol != UDP or selector.source_port in _ANY_PORT or selector.destination_port in _ANY_PORT)
        and is_within(destination, selector.destination)
        and (not source or is_within(source, selector.source))
    )
