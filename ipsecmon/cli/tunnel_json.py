"""Tunnels for programs. Keys are promised; more may come."""

from __future__ import annotations

import json
from typing import Any, Optional

import click

from ipsecmon.cli.agreement import describe_agreement
from ipsecmon.cli.layer_table import describe_inside
from ipsecmon.cli.ranges import iso_time
from ipsecmon.cli.tunnel_notes import tunnel_notes
from ipsecmon.cli.tunnel_sums import Tunnel, Way
from ipsecmon.cli.tunnel_table import Answer
from ipsecmon.model import Direction, TunnelIncrement

__all__ = ["NUMBERS", "describe_total", "describe_tunnel", "print_json"]

NUMBERS = (
    "octets",
    "packets",
    "error_bound_octets",
    "error_bound_packets",
    "payload_octets",
    "derived_octets",
    "bridged_octets",
    "bridged_packets",
    "unseen_ends",
    "unbounded_ends",
    "rekeys",
    "sas",
)
_TROUBLES = ("late_packets", "replayed_packets", "integrity_failures")


def print_json(answer: Answer) -> None:
    found = answer.found
    document = {
        "router": answer.router,
        "since": iso_time(found.start_ns) if answer.seconds else None,
        "until": iso_time(found.last_end_ns) if answer.seconds else None,
        "seconds": answer.seconds,
        "tunnels": [describe_tunnel(one, answer) for one in answer.tunnels],
        "xfrm_errors": dict(found.xfrm_errors),
    }
    click.echo(json.dumps(document, indent=2))


def describe_total(total: TunnelIncrement) -> dict[str, int]:
    return {name: getattr(total, name) for name in NUMBERS}


def describe_tunnel(tunnel: Tunnel, answer: Answer) -> dict[str, Any]:
    """JSON values only."""
    return {
        "name": tunnel.name,
        "peers": list(tunnel.peers),
        **{direction.value: _way(way, answer.seconds) for direction, way in tunnel.ways.items()},
        "sas": tunnel.sas,
        "sas_without_anti_replay": tunnel.ways[Direction.IN].total.sas_without_anti_replay,
        "rekeys": tunnel.rekeys,
        "path_loss_packets": tunnel.lost_packets,
        "path_open_packets": None if tunnel.lost_packets is None else tunnel.sum("open_packets"),
        **{name: tunnel.sum(name) for name in _TROUBLES},
        "overhead_ratio": _rounded(tunnel.overhead_ratio),
        **describe_inside(tunnel.inside, answer.seconds),
        "age_s": _since(tunnel.latest("added_s"), answer.now_s),
        "unused_s": _since(tunnel.latest("last_used_s"), answer.now_s),
        "notes": tunnel_notes(tunnel),
    }


def _way(way: Way, seconds: float) -> dict[str, Any]:
    return {
        **describe_total(way.total),
        "wire_octets": way.wire_octets,
        "agreement": describe_agreement(way.agreement),
        "bits_per_s": _rounded(way.bits_per_s(seconds), 1),
        "packets_per_s": _rounded(way.packets_per_s(seconds), 1),
    }


def _since(at_s: Optional[int], now_s: int) -> Optional[int]:
    return None if at_s is None else max(0, now_s - at_s)


def _rounded(value: Optional[float], digits: int = 4) -> Optional[float]:
    return None if value is None else round(value, digits)
