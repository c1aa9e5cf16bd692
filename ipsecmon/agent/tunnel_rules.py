"""From the user's config to the rules by which SAs are told apart."""

from __future__ import annotations

from collections.abc import Mapping

from ipsecmon.account.tunnel_match import TunnelRule
from ipsecmon.agent.plan import Resolve, peer_addresses
from ipsecmon.config import Config, Ipsec
from ipsecmon.ipsec import Mark
from ipsecmon.ruleset.model import Plan

__all__ = ["planned_rules", "tunnel_rules"]


def planned_rules(config: Config, plan: Plan, resolve: Resolve) -> list[TunnelRule]:
    """Peers that are names have the addresses they have in the plan's rules.

    Raises ConfigError where there are no such rules, and a name does not resolve.
    """
    planned = {tunnel.tap.name: tunnel.peers for tunnel in plan.tunnels}
    others = [counter for counter in config.counters if not planned.get(counter.name)]
    return tunnel_rules(config, {**planned, **peer_addresses(others, resolve)})


def tunnel_rules(config: Config, peers: Mapping[str, tuple[str, ...]]) -> list[TunnelRule]:
    """In the config's order: first match wins. peers: by counter name."""
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
