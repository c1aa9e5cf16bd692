"""`ipsecmon line`: the line, its parts, and how they add up to what the interface counted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

import click

from ipsecmon.agent.line import LineReport, LineWay, line_reports
from ipsecmon.cli.closing import close_interval, now_option
from ipsecmon.cli.line_table import print_lines
from ipsecmon.cli.options import config_option, json_option
from ipsecmon.cli.ranges import iso_time
from ipsecmon.cli.render import wide_console
from ipsecmon.cli.tunnel_json import describe_tunnel
from ipsecmon.cli.tunnel_table import Answer
from ipsecmon.cli.tunnels import answer_of
from ipsecmon.config import Config, Line, load
from ipsecmon.errors import ConfigError
from ipsecmon.model import Direction

__all__ = ["describe_line", "line_command"]


@click.command("line")
@config_option
@now_option
@json_option
@click.option("--bits/--octets", "in_bits", default=None, help="Rates and totals, both in bits or in octets.")
@click.option("--line", "name", metavar="NAME", help="One of several lines.  [default: all]")
def line_command(
    config_file: Path, close_first: bool, as_json: bool, in_bits: Optional[bool], name: Optional[str]
) -> None:
    """Print the line's parts, which never overlap, and the terms that tie them to the interface's counter.

    Totals are since the store began, rates of the newest interval, in bit/s; totals in octets. What passed
    inside tunnels is shown apart, as it is in the parts already.
    """
    config = load(config_file)
    chosen = _chosen(config, name)
    folder = Path(config.store.path)
    if close_first:
        close_interval(folder)
    found = [one for one in line_reports(config, folder) if one.line in chosen]
    tunnels = answer_of(config, folder)
    if as_json:
        click.echo(json.dumps(_document(found, tunnels), indent=2))
    else:
        print_lines(found, tunnels, wide_console(), in_bits)


def _chosen(config: Config, name: Optional[str]) -> Sequence[Line]:
    chosen = [one for one in config.lines if name in (None, one.name)]
    if not chosen:
        names = ", ".join(one.name for one in config.lines)
        raise ConfigError(f"--line {name}: the config has no such line; there are: {names}")
    return chosen


def _document(found: Sequence[LineReport], tunnels: Answer) -> dict[str, Any]:
    """One line's form; of several, the first one's, and all of them as a list."""
    described = [describe_line(one, tunnels) for one in found]
    return {**described[0], **({"lines": described} if len(described) > 1 else {})}


def describe_line(found: LineReport, tunnels: Answer) -> dict[str, Any]:
    """JSON values only. Keys are promised; more may come."""
    has_any = found.end_ns > found.start_ns
    return {
        "router": tunnels.router,
        "since": iso_time(found.start_ns) if has_any else None,
        "until": iso_time(found.end_ns) if has_any else None,
        "seconds": found.seconds,
        "line": {
            "name": found.line.name,
            "interface": found.line.interface,
            **({"interfaces": list(found.line.interfaces)} if len(found.line.interfaces) > 1 else {}),
            "capacity_bits_per_s": {
                direction.value: way.capacity_bits_per_s for direction, way in found.ways.items()
            },
        },
        **{
            direction.value: {
                **_way(way, found.seconds),
                **(_queue(way) if direction is Direction.OUT else {}),
            }
            for direction, way in found.ways.items()
        },
        "tunnels": [describe_tunnel(one, tunnels) for one in tunnels.tunnels],
    }


def _way(way: LineWay, seconds: float) -> dict[str, Any]:
    identity = way.identity
    bits_per_s = way.last.octets * 8 / seconds if seconds else None
    capacity = way.capacity_bits_per_s
    return {
        "nic_octets": way.nic.octets,
        "nic_frames": way.nic.packets,
        "terms": dict(identity.terms),
        "term_packets": dict(identity.packets),
        "bounds": {name: {"least": least, "most": most} for name, (least, most) in identity.bounds.items()},
        "estimated": list(identity.estimated),
        "parts": [
            {
                "name": part.name,
                "octets": part.total.octets,
                "packets": part.total.packets,
                "how": part.how.value,
                "bits_per_s": round(part.last.octets * 8 / seconds, 1) if seconds else None,
            }
            for part in way.parts
        ],
        "bits_per_s": None if bits_per_s is None else round(bits_per_s, 1),
        "utilization": None if bits_per_s is None or not capacity else round(bits_per_s / capacity, 4),
        "agreement": identity.agreement.value,
        "unexplained_octets": identity.unexplained,
        "reasons": list(identity.reasons),
    }


def _queue(way: LineWay) -> dict[str, Any]:
    """Before and behind the queueing discipline."""
    return {
        "offered_octets": way.total.octets,
        "carried_octets": way.carried_octets,
        "dropped_octets": way.dropped.octets,
        "dropped_packets": way.dropped.packets,
    }
