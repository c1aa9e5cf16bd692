"""`ipsecmon report`: totals of a range out of the own history."""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Optional

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ipsecmon.agent.control import NotRunning, ask
from ipsecmon.cli.options import config_option, json_option
from ipsecmon.cli.render import POINTS, number
from ipsecmon.config import load
from ipsecmon.model import CounterKey, Direction, ObservationPoint
from ipsecmon.store import Report, ReportRow, report
from ipsecmon.units import parse_duration

__all__ = ["report_command"]

_EXTRAS = {"lost_packets": "lost", "pending_packets": "pending", "bridged_packets": "bridged"}


def _duration(ctx: click.Context, param: click.Parameter, value: str) -> int:
    try:
        return parse_duration(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


@click.command("report")
@config_option
@click.option("--since", "since_s", callback=_duration, default="1h", show_default=True, help="How far back.")
@click.option("--now", "close_first", is_flag=True, help="Have the running agent close its interval first.")
@json_option
def report_command(config_file: Path, since_s: int, close_first: bool, as_json: bool) -> None:
    """Print what each counter carried, by kernel counters, and how much of it NFLOG saw and lost."""
    config = load(config_file)
    folder = Path(config.store.path)
    if close_first:
        _close_interval(folder)
    now_ns = time.time_ns()
    found = report(folder, now_ns - since_s * 10**9, now_ns + 1)
    if as_json:
        click.echo(json.dumps(_as_json(config.router, found), indent=2))
    else:
        _show(config.router, found, {line.name for line in config.lines})


def _close_interval(folder: Path) -> None:
    try:
        ask(folder, "close-interval")
    except NotRunning as error:
        click.echo(f"ipsecmon: {error}; the report ends with the last closed interval", err=True)


def _as_json(router: str, found: Report) -> dict[str, Any]:
    return {
        "router": router,
        "start": _iso(found.start_ns),
        "end": _iso(found.end_ns),
        "counters": [_row(row) for row in found.rows if row.key.observed_at is not ObservationPoint.NIC],
        "interfaces": [
            {
                "name": row.key.name,
                "direction": row.key.direction.value,
                "octets": row.octets,
                "frames": row.packets,
            }
            for row in found.rows
            if row.key.observed_at is ObservationPoint.NIC
        ],
    }


def _row(row: ReportRow) -> dict[str, Any]:
    return {
        "name": row.key.name,
        "direction": row.key.direction.value,
        "observed_at": row.key.observed_at.value,
        "octets": row.octets,
        "packets": row.packets,
        "nflog_octets": row.nflog_octets,
        "nflog_packets": row.nflog_packets,
        "lost_packets": row.lost_packets,
        "pending_packets": row.pending_packets,
        "bridged_octets": row.bridged_octets,
        "bridged_packets": row.bridged_packets,
    }


def _iso(at_ns: int) -> str:
    moment = datetime.datetime.fromtimestamp(at_ns / 1e9, datetime.timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _show(router: str, found: Report, lines: set[str]) -> None:
    """Both directions of a counter side by side; columns of what did not happen are left out."""
    extras = [name for name in _EXTRAS if any(getattr(row, name) for row in found.rows)]
    table = Table(
        title=f"{router}: {_iso(found.start_ns)} to {_iso(found.end_ns)}",
        caption="" if "lost_packets" in extras else "no header copy was lost",
        box=box.SIMPLE_HEAD,
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("counter")
    for heading in (
        "octets in",
        "octets out",
        "packets in",
        "packets out",
        *(_EXTRAS[name] for name in extras),
    ):
        table.add_column(heading, justify="right")
    rows = {row.key: row for row in found.rows}
    for point, title in POINTS.items():
        names = dict.fromkeys(row.key.name for row in found.rows if row.key.observed_at is point)
        if names:
            table.add_section()
            table.add_row(Text(title, style="dim italic"))
        for name in sorted(names, key=lambda one: one not in lines):
            both = [rows.get(CounterKey(name, way, point)) for way in (Direction.IN, Direction.OUT)]
            table.add_row(*_cells(name, both, extras), style="bold" if name in lines else "")
    Console().print(table)


def _cells(name: str, both: Sequence[Optional[ReportRow]], extras: Sequence[str]) -> Iterator[Text]:
    yield Text(f"  {name}")
    for field in ("octets", "packets"):
        for row in both:
            yield number(getattr(row, field) if row else 0)
    for field in extras:
        yield number(sum(getattr(row, field) for row in both if row))
