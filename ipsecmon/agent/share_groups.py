"""Whose header copies are told apart by SPI: built-in parts that hold ESP of tunnels no rule can tell."""

from __future__ import annotations

from ipsecmon.config import Config
from ipsecmon.model import CounterKey
from ipsecmon.ruleset.model import Kind, Plan

__all__ = ["share_groups"]


def share_groups(config: Config, plan: Plan) -> dict[int, CounterKey]:
    """By NFLOG group. None where each tunnel has its ESP to itself."""
    on_the_wire = {part.tap.name for part in plan.parts if part.kind is Kind.PEER}
    if all(one.ipsec is None or one.name in on_the_wire for one in config.counters):
        return {}
    shared = (part.tap for part in plan.parts if part.kind in (Kind.ESP, Kind.NATT))
    return {tap.group: tap.key for tap in shared}
