"""`ipsecmon tunnels`: what passed inside each tunnel, exact through rekeys."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Optional

import click

from ipsecmon.agent.agreement import agreements
from ipsecmon.agent.wire_octets import wire_octets as certain_octets
from ipsecmon.cli.closing import close_interval, now_option
from ipsecmon.cli.layer_sums import NO_INSIDE, insides_of
from ipsecmon.cli.options import config_option, json_option
from ipsecmon.cli.render import wide_console
from ipsecmon.cli.tunnel_json import print_json
from ipsecmon.cli.tunnel_sums import tunnels_of
from ipsecmon.cli.tunnel_table import Answer, print_table
from ipsecmon.config import Config, load
from ipsecmon.model import Direction, Pair, Reconciliation
from ipsecmon.store import Report, TunnelReport, layer_rows, report, tunnel_report

__all__ = ["answer_of", "sa_agreements", "tunnels_command", "wire_octets"]

_NS = 10**9
_DAY_NS = 86400 * _NS


@click.command("tunnels")
@config_option
@now_option
@json_option
@click.option("--warriors", "with_links", is_flag=True, help="List road warriors, and GRE interfaces.")
def tunnels_command(config_file: Path, close_first: bool, as_json: bool, with_links: bool) -> None:
    """Print what passed inside each tunnel, by the counters of its SAs, exact through rekeys.

    Totals are since the store began, rates of the newest interval. Every tunnel of the config is listed,
    and `unnamed`: all SAs that no counter of the config takes. Tunnels with `inside` are shown layer by layer
    too; in each layer are the same packets.
    """
    config = load(config_file)
    folder = Path(config.store.path)
    if close_first:
        close_interval(folder)
    answer = answer_of(config, folder)
    if as_json:
        print_json(answer)
    else:
        print_table(answer, wide_console(), with_links)


def wire_octets(folder: Path, found: TunnelReport, tolerance_ns: int) -> Mapping[tuple[str, Direction], int]:
    """Octets on the line, by counter and direction, over the time that the totals of tunnels cover.

    Nothing where history cannot be cut to that time: it counted the line before it counted tunnels.
    """
    history = _history(folder, found, tolerance_ns)
    return certain_octets(history.rows) if history else {}


def sa_agreements(
    folder: Path, found: TunnelReport, tolerance_ns: int
) -> Mapping[tuple[str, Direction], Reconciliation]:
    """Whether the rules inside saw what SAs counted, by tunnel and direction, over the same time."""
    history = _history(folder, found, tolerance_ns)
    told = agreements(history) if history else []
    return {(one.key.name, one.key.direction): one for one in told if one.pair is Pair.SA_RULE}


def _history(folder: Path, found: TunnelReport, tolerance_ns: int) -> Optional[Report]:
    if found.start_ns == found.last_end_ns:
        return None
    for start_ns in (found.start_ns // _DAY_NS * _DAY_NS, found.start_ns):
        history = report(folder, start_ns, found.last_end_ns)
        shifts = (history.start_ns - found.start_ns, history.end_ns - found.last_end_ns)
        if max(map(abs, shifts)) <= tolerance_ns:
            return history
    return None


def answer_of(config: Config, folder: Path) -> Answer:
    """What the store has on every tunnel."""
    found = tunnel_report(folder)
    named = [counter.name for counter in config.counters if counter.ipsec is not None]
    on_the_line = wire_octets(folder, found, config.interval_s * _NS)
    agreed = sa_agreements(folder, found, config.interval_s * _NS)
    insides = insides_of(layer_rows(folder))
    carried = {counter.name: counter.inside for counter in config.counters}
    tunnels = [
        replace(one, carries=carried.get(one.name), inside=insides.get(one.name, NO_INSIDE))
        for one in tunnels_of(found, named, on_the_line, agreed)
    ]
    return Answer(config.router, found, tunnels, int(time.time()), config.interval_s)
