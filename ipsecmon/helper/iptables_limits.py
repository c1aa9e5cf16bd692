"""What iptables can't do on this router, in words for its administrator."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from pathlib import Path

from ipsecmon.errors import RulesRefused
from ipsecmon.helper.programs import output
from ipsecmon.helper.xtables import Xtables, family_is_on
from ipsecmon.ruleset.iptables import MOST_REQIDS, MOST_TOLD, without_rule
from ipsecmon.ruleset.model import Kind, Plan

__all__ = ["explained", "has_xfrm", "limits"]

_XFRM = Path("/proc/sys/net/core/xfrm_acq_expires")
_MATCHES = Path("/proc/net/ip_tables_matches")


def has_xfrm() -> bool:
    """Whether the kernel has IPsec at all."""
    return _XFRM.exists()


def limits(plan: Plan, tables: Sequence[Xtables]) -> list[str]:
    """One line for each that holds here."""
    found = []
    if plan.does_nat and " dir out " in output("ip", "xfrm", "policy"):
        found.append(
            "this router does NAT and has IPsec policies: a packet that is translated into a tunnel is "
            "counted twice, clear and as ESP, which iptables cannot tell: use backend nft"
        )
    if plan.does_nat and any(part.kind is Kind.CLEAR for part in plan.parts):
        found.append(
            "this router does NAT: the first packet of each forwarded connection is compared by its address "
            "before translation, as iptables has no hook behind it: use backend nft"
        )
    if _shares_beginnings(plan):
        found.append(
            "IPv4 inside tunnels to IPv6 peers whose addresses begin with the same 32 bits counts for the "
            "first of these, as iptables compares no more: use backend nft"
        )
    found += [
        f"counter {name}: no rule counts inside it, as iptables tells at most {MOST_REQIDS} reqids "
        f"and {MOST_TOLD} combinations of peers, reqids and networks: use backend nft"
        for name in without_rule(plan)
    ]
    if family_is_on(6) and not any(table.family == 6 for table in tables):
        found.append("ip6tables is not installed: IPv6 is not counted")
    return found


def explained(refused: RulesRefused | None) -> RulesRefused:
    """The error, or what is behind it where that is known."""
    if has_xfrm() and _MATCHES.exists() and "policy" not in _MATCHES.read_text().split():
        return RulesRefused(
            "the kernel has IPsec but no policy match for iptables (xt_policy): use backend nft"
        )
    return refused or RulesRefused("iptables refused our rules")


def _shares_beginnings(plan: Plan) -> bool:
    named = {(peer, tunnel.tap.name) for tunnel in plan.tunnels for peer in tunnel.peers if ":" in peer}
    begun = {(ipaddress.ip_address(peer).packed[:4], name) for peer, name in named}
    return len({beginning for beginning, _ in begun}) < len(begun)
