"""From the user's config to the rules by which SAs are told apart."""

from __future__ import annotations

from collections.abc import Mapping

from ipsecmon.account.tunnel_match import TunnelRule
from ipsecmon.config import Config, Ipsec
from ipsecmon.ipsec import Mark

__all__ = ["tunnel_rules"]


def tunnel_rules(config: Config, peers: Mapping[str, tuple[str, ...]]) -> list[TunnelRule]:
    """In the config's order: first match wins. peers: peer_addresses() of the config."""
    return [
        _rule(counter.name, counter.ipsec, peers.get(counter.name, ()))
        for counter in config.counters
        if counter.ipsec
    ]


def _rule(name: str, ipsec: Ipsec, peers: tuple[str, ...]) -> TunnelRule:
    pairs = (pair for subnets in ipsec.subnets for pair in subnets.pairs)
    return TunnelRule(
        name,
        peers=frozenset(peers),
        subnets=tuple((str(local), str(remote)) for local, remote in pairs),
        if_ids=frozenset(ipsec.if_ids),
        marks=frozenset(Mark(value, mask) for value, mask in ipsec.xfrm_marks),
        reqids=ipsec.reqids,
        connections=frozenset(ipsec.connections),
    )
