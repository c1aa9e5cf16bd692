"""What ip(8) and tc(8) (iproute2 6.1, Linux 6.1) printed about a router with one of everything.

Two lines (wan0 with HTB and an ifb, wan1 with TBF), lan0 with a VLAN, GRE, VTI and xfrm interfaces, one
tunnel to 198.51.100.7, and 198.51.100.20 in transport mode with its ESP in UDP. JSON is one object a row,
without keys that nobody reads.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ipsecmon.agent.survey import Answers

FOLDER = Path(__file__).parent / "survey_recorded"
OWN = ("203.0.113.1", "2001:db8:203::1", "192.0.2.9", "10.1.0.1", "fd01::1", "10.1.5.1")


def recorded(name: str) -> str:
    return (FOLDER / name).read_text()


def router(**changes: Any) -> Answers:
    """The recorded router, with other answers where a test wants them."""
    answers: dict[str, Any] = {
        "router": "hq-gw1",
        "links": recorded("links.json"),
        "addresses": recorded("addresses.json"),
        "routes": recorded("routes.json"),
        "states": recorded("states.txt"),
        "policies": recorded("policies.txt"),
    }
    return Answers(**{**answers, **changes})
