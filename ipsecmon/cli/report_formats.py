"""A report for people, for programs and for spreadsheets.

JSON and CSV have times in UTC and the range that the rows really cover as start and end.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Optional

import click
from rich import box
from rich.table import Table
from rich.text import Text

from ipsecmon.agent.marks import describe_event
from ipsecmon.cli.agreement import agreement_line, describe_agreement
from ipsecmon.cli.event_lines import event_line
from ipsecmon.cli.events import tell_event
from ipsecmon.cli.ranges import Range, iso_time, local_span
from ipsecmon.cli.render import POINTS, number, wide_console
from ipsecmon.cli.report_tunnels import describe_tunnels, sum_directions, tunnel_section
from ipsecmon.model import (
    LINE_TERMS,
    CounterKey,
    Direction,
    ObservationPoint,
    Pair,
    Reconciliation,
    line_of,
)
from ipsecmon.qos import Event
from ipsecmon.store import Report, ReportRow

__all__ = ["NUMBERS", "Answer", "print_csv", "print_json", "print_table"]

NUMBERS = (
    "octets",
    "packets",
    "nflog_octets",
    "nflog_packets",
    "lost_packets",
    "pending_packets",
    "bridged_octets",
    "bridged_packets",
)
_NO_COUNTERS = LINE_TERMS | {ObservationPoint.NIC}
_OF_TUNNELS = ("octets", "packets", "bridged_octets", "bridged_packets")  # of an SA no header is copied
_EVENTS_TOLD = 10
_EXTRAS = {"lost_packets": "lost", "pending_packets": "pending", "bridged_packets": "bridged"}


@dataclass(frozen=True)
class Answer:
    """note: in words, what this range is short of: where it could not be cut exactly, where the clock was
    set, where rules did not stand; empty where there is nothing. agreements: of its counters and tunnels.
    events: what changed in the range.
    """

    router: str
    asked: Range
    found: Report
    note: str
    agreements: Sequence[Reconciliation] = ()
    events: Sequence[Event] = ()


def print_json(answer: Answer) -> None:
    found = answer.found
    told = {(one.key, one.pair): one for one in answer.agreements}
    document = {
        "router": answer.router,
        "start": iso_time(found.start_ns),
        "end": iso_time(found.end_ns),
        "asked": {"start": iso_time(answer.asked.start_ns), "end": iso_time(answer.asked.end_ns)},
        "note": answer.note,
        "clock_steps": [
            {"from": iso_time(one.from_ns), "to": iso_time(one.to_ns)} for one in found.clock_steps
        ],
        "events": list(map(tell_event, answer.events)),
        "counters": [
            {**_counter(row), "agreement": describe_agreement(told.get((row.key, Pair.RULE_NFLOG)))}
            for row in found.rows
            if row.key.observed_at not in _NO_COUNTERS
        ],
        "lines": [
            {
                "name": one.key.name,
                "direction": one.key.direction.value,
                "agreement": describe_agreement(one),
            }
            for one in answer.agreements
            if one.pair is Pair.NIC_PARTS
        ],
        "interfaces": [_nic(row) for row in found.rows if row.key.observed_at is ObservationPoint.NIC],
        "rules_gone": [_nic(row) for row in found.rows if row.key.observed_at is ObservationPoint.RULES_GONE],
        "tunnels": [
            {**one, "agreement": describe_agreement(told.get((_inside(one), Pair.SA_RULE)))}
            for one in describe_tunnels(found.tunnels)
        ],
    }
    click.echo(json.dumps(document, indent=2))


def print_csv(answer: Answer) -> None:
    """Columns and rows as the file sink's; interfaces are at `nic`. The note goes to standard error."""
    found = answer.found
    rows = csv.writer(sys.stdout, lineterminator="\n")
    rows.writerow(("start", "end", "router", "counter", "direction", "observed_at", *NUMBERS))
    range_ = (iso_time(found.start_ns), iso_time(found.end_ns), answer.router)
    for row in found.rows:
        if row.key.observed_at in LINE_TERMS:
            continue
        key = (row.key.name, row.key.direction.value, row.key.observed_at.value)
        rows.writerow((*range_, *key, *(getattr(row, name) for name in NUMBERS)))
    for one in sum_directions(found.tunnels):
        numbers = (getattr(one, name) if name in _OF_TUNNELS else 0 for name in NUMBERS)
        rows.writerow((*range_, one.key.tunnel, one.key.direction.value, "tunnel", *numbers))
    if answer.note:
        click.echo(f"ipsecmon: {answer.note}", err=True)


def print_table(answer: Answer, lines: set[str]) -> None:
    """Both directions of a counter side by side; columns of what did not happen are left out."""
    found = answer.found
    console = wide_console()
    console.print(Text(f"{answer.router}: {answer.asked.title}", style="bold"), soft_wrap=True)
    if found.start_ns == found.end_ns:
        console.print("nothing is recorded in this range")
        return
    console.print(f"covers {local_span(found.start_ns, found.end_ns)}", soft_wrap=True)
    if answer.note:
        console.print(Text(answer.note, style="yellow"), soft_wrap=True)
    console.print(_table(found, lines))
    if found.tunnels:
        console.print()
        console.print(tunnel_section(found.tunnels))
    said = agreement_line(answer.agreements)
    if said:
        console.print(Text(said, style="yellow" if "disagree" in said else ""), soft_wrap=True)
    for one in answer.events[-_EVENTS_TOLD:]:
        console.print(Text(event_line(describe_event(one)), style="cyan"), soft_wrap=True)
    if len(answer.events) > _EVENTS_TOLD:
        console.print(f"and {len(answer.events) - _EVENTS_TOLD} events before: ipsecmon events")


def _counter(row: ReportRow) -> dict[str, Any]:
    numbers = {name: getattr(row, name) for name in NUMBERS}
    return {
        "name": row.key.name,
        "direction": row.key.direction.value,
        "observed_at": row.key.observed_at.value,
        **numbers,
    }


def _inside(tunnel: dict[str, Any]) -> CounterKey:
    return CounterKey(tunnel["name"], Direction(tunnel["direction"]), ObservationPoint.INNER)


def _nic(row: ReportRow) -> dict[str, Any]:
    return {
        "name": row.key.name,
        "direction": row.key.direction.value,
        "octets": row.octets,
        "frames": row.packets,
    }


def _table(found: Report, lines: set[str]) -> Table:
    extras = [name for name in _EXTRAS if any(getattr(row, name) for row in found.rows)]
    table = Table(
        caption="" if "lost_packets" in extras else "no header copy was lost",
        box=box.SIMPLE_HEAD,
        caption_justify="left",
    )
    table.add_column("counter")
    headings = ("octets in", "octets out", "packets in", "packets out")
    for heading in (*headings, *(_EXTRAS[name] for name in extras)):
        table.add_column(heading, justify="right")
    rows = {row.key: row for row in found.rows}
    for point, title in POINTS.items():
        names = dict.fromkeys(row.key.name for row in found.rows if row.key.observed_at is point)
        if names:
            table.add_section()
            table.add_row(Text(title, style="dim italic"))
        for name in sorted(names, key=lambda one: (one not in lines, bool(line_of(one)))):
            both = [rows.get(CounterKey(name, way, point)) for way in (Direction.IN, Direction.OUT)]
            table.add_row(*_cells(name, both, extras), style="bold" if name in lines else "")
    return table


def _cells(name: str, both: Sequence[Optional[ReportRow]], extras: Sequence[str]) -> Iterator[Text]:
    yield Text(f"  {name}")
    for field in ("octets", "packets"):
        for row in both:
            yield number(getattr(row, field) if row else 0)
    for field in extras:
        yield number(sum(getattr(row, field) for row in both if row))
