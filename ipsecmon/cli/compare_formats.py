"""A comparison for programs and for spreadsheets: rates in bit/s, times in UTC."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from typing import Any, Optional

import click

from ipsecmon.agent.compare import Comparison, Cover
from ipsecmon.agent.compare_sides import Change, Row, Side
from ipsecmon.cli.compare_windows import Windows
from ipsecmon.cli.compare_words import notes, sentences
from ipsecmon.cli.events import tell_event
from ipsecmon.cli.ranges import iso_time

__all__ = ["print_csv", "print_json"]


def print_json(found: Comparison, windows: Windows) -> None:
    document = {
        "router": found.router,
        "event": tell_event(windows.event) if windows.event else None,
        "other_events": [tell_event(one) for one in windows.others],
        "before": _cover(found.before),
        "after": _cover(found.after),
        "matched_by": None
        if found.slot_s is None
        else {"weekday_and_time_of_day": True, "seconds": found.slot_s},
        "resolution_s": found.step_s,
        "capacities": [
            {"line": one.line, "direction": one.direction.value, "bits_per_s": one.bits_per_s}
            for one in found.capacities
        ],
        "summary": [
            {"line": line, "direction": way.value, "sentence": sentence}
            for line, way, sentence in sentences(found)
        ],
        "notes": list(notes(found)),
        "rows": [_row(found, row) for row in found.rows],
    }
    click.echo(json.dumps(document, indent=2))


def print_csv(found: Comparison) -> None:
    """The notes go to standard error."""
    rows = csv.writer(sys.stdout, lineterminator="\n")
    for place, row in enumerate(found.rows):
        flat = dict(_flat(_row(found, row)))
        if not place:
            rows.writerow(("router", *flat))
        rows.writerow((found.router, *("" if value is None else value for value in flat.values())))
    for note in notes(found):
        click.echo(f"ipsecmon: {note}", err=True)


def _cover(cover: Cover) -> dict[str, Any]:
    return {
        "start": iso_time(cover.start_ns),
        "end": iso_time(cover.end_ns),
        "asked_s": round((cover.end_ns - cover.start_ns) / 1e9, 3),
        "known_s": round(cover.known_s, 3),
        "compared_s": round(cover.compared_s, 3),
        "intervals_without_rules": cover.gone,
        "bridged_octets": cover.bridged_octets,
    }


def _row(found: Comparison, row: Row) -> dict[str, Any]:
    word = found.headline.get(row.key)
    return {
        "line": row.key.line,
        "direction": row.key.direction.value,
        "kind": row.key.kind.value,
        "name": row.key.name,
        "before": _side(row.before),
        "after": _side(row.after),
        "mean": _change(row.mean, row.before.figures.mean if row.before.figures else None),
        "p95": _change(row.p95, row.before.figures.p95 if row.before.figures else None),
        "verdict": row.mean.verdict.value,
        "verdict_together": word.value if word else None,
    }


def _side(side: Side) -> dict[str, Any]:
    figures = side.figures
    numbers = figures._asdict() if figures else dict.fromkeys(("mean", "p50", "p95", "max"))
    return {
        "octets": side.octets if figures else None,
        **{f"{name}_bits_per_s": _rounded(value) for name, value in numbers.items()},
        "share": _rounded(side.share, 4),
        "offered_octets": side.offered_octets,
        "offered_bits_per_s": _rounded(side.offered_bits_per_s),
        "seconds_above_90_percent": _rounded(side.busy_s),
        "share_above_90_percent": _rounded(side.busy_share, 4),
        "missing_packets": side.missing_packets,
        "missing_share": _rounded(side.missing_share, 6),
        "surety": side.surety.value,
    }


def _change(change: Change, before: Optional[float]) -> dict[str, Any]:
    return {
        "difference_bits_per_s": _rounded(change.difference),
        "low_bits_per_s": _rounded(change.low),
        "high_bits_per_s": _rounded(change.high),
        "difference": _rounded(change.difference / before, 4) if before else None,
        "verdict": change.verdict.value,
    }


def _flat(described: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in described.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}_")
        else:
            yield f"{prefix}{name}", value


def _rounded(value: Optional[float], digits: int = 1) -> Optional[float]:
    return None if value is None else round(value, digits)
