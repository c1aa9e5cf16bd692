"""Facts of a router where nothing is amiss, for tests that change one of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ipsecmon.agent.doctor import diagnose
from ipsecmon.agent.doctor_facts import AgentFacts, Facts, Offloaded, Ruleset
from ipsecmon.agent.doctor_findings import Finding
from ipsecmon.model import Direction, TunnelIncrement, TunnelKey

__all__ = ["AGENT", "GOOD", "found", "inbound", "kinds"]

AGENT = AgentFacts(
    rules_stand=True, receive_buffer=32 << 20, ports=[77], sas=2, offloaded=Offloaded(), fragments=(0, 3600.0)
)
GOOD = Facts(
    table="ipsecmon",
    ranges=[(5600, 5999)],
    wanted_buffer=32 << 20,
    has_tunnels=True,
    is_managed=True,
    release="6.1.0-44-amd64",
    lower={"wan0": ["wan0"]},
    gro={"wan0": False},
    gro_beside=(),
    modules=frozenset(("esp4", "nf_tables")),
    ruleset=Ruleset([], []),
    owners={5600: 77},
    ingress={"wan0": []},
    rmem_max=212_992,
    is_clock_synchronised=True,
    has_conntrack_accounting=True,
    last_hour=[],
    agent=AGENT,
    tags=True,
    nfmark_uses=(),
    lacking=(),
    path_mtus=(),
    wishes=(),
)


def found(**facts: Any) -> list[Finding]:
    """What the doctor finds where these facts differ from a good router's."""
    return list(diagnose(replace(GOOD, **facts)).findings)


def kinds(**facts: Any) -> list[tuple[str, str]]:
    """Kind and severity of each finding."""
    return [(one.kind, one.severity.value) for one in found(**facts)]


def inbound(tunnel: str = "vpn", **numbers: int) -> TunnelIncrement:
    return TunnelIncrement(TunnelKey(tunnel, "", Direction.IN), **numbers)
