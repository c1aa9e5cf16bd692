"""SAs between this router and one peer, and Tunnels that are polled with them."""

from __future__ import annotations

from typing import Any, Optional

from ipsecmon.account.tunnel_match import Place, TunnelMatcher, TunnelRule
from ipsecmon.account.tunnels import Tunnels, Volume
from ipsecmon.ipsec import (
    IkeNames,
    SecurityAssociation,
)
from ipsecmon.model import Direction, TunnelIncrement, TunnelKey
from tests.unit.account.simulated_xfrm import OWN, State

__all__ = ["AWAY", "BERLIN", "HOME", "IN", "OUT", "PEER", "T0", "poll", "sa", "tunnels"]

PEER = "198.51.100.7"
T0 = 5000
OUT, IN = Place("vpn", Direction.OUT), Place("vpn", Direction.IN)
BERLIN = IkeNames({(PEER, 0x100): frozenset(("berlin", "berlin-net"))}, {})
AWAY, HOME = TunnelKey("vpn", PEER, Direction.OUT), TunnelKey("vpn", PEER, Direction.IN)


def sa(
    octets: int = 0, packets: Optional[int] = None, spi: int = 0x100, inbound: bool = False, **fields: Any
) -> SecurityAssociation:
    ends = (PEER, OWN[0]) if inbound else (OWN[0], PEER)
    made = State(*ends, spi, 1, T0, octets, octets // 100 if packets is None else packets).sa()
    return made._replace(**fields)


def tunnels(*rules: TunnelRule) -> Tunnels:
    matcher = TunnelMatcher(rules or (TunnelRule("vpn", peers=frozenset((PEER,))),))
    matcher.learn((), OWN)
    return Tunnels(matcher)


def poll(
    made: Tunnels,
    *rows: SecurityAssociation,
    at_s: int = T0 + 60,
    rules: Optional[dict[Place, Volume]] = None,
) -> dict[Place, TunnelIncrement]:
    made.dump(rows, at_s)
    return {Place(one.key.tunnel, one.key.direction): one for one in made.settle(rules or {}, at_s)}
