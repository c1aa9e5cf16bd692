"""`ipsecmon backfill`: sends a range of the own history to InfluxDB once more."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Optional

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from ipsecmon.agent.backfill import Sent, Target, backfill, targets
from ipsecmon.cli.options import config_option, range_options
from ipsecmon.cli.ranges import AskedRange, Range, local_time
from ipsecmon.config import load
from ipsecmon.store import first_kept_ns

__all__ = ["backfill_command"]


@click.command("backfill")
@config_option
@range_options
@click.option("--sink", "name", metavar="NAME", help="Only this sink; all of InfluxDB when left out.")
def backfill_command(
    config_file: Path,
    asked: AskedRange,
    name: Optional[str],
) -> None:
    """Send a range of the own history to InfluxDB again: intervals as they were, and the sums of hours.

    What is there already is written over with itself, so it may be repeated, and stopped at any time.
    """
    range_ = asked.at(time.time_ns())
    config = load(config_file)
    folder = Path(config.store.path)
    refused = 0
    for target in targets(config, name):
        sent = _backfilled(folder, range_, target)
        refused += sent.refused
        click.echo(f"{target.name}: {_told(sent)}")
    note = _note(first_kept_ns(folder), range_)
    if note:
        click.echo(note)
    sys.exit(1 if refused else 0)


def _backfilled(folder: Path, asked: Range, target: Target) -> Sent:
    """With a bar on a terminal, about how far in the range it is: once for intervals, once for hours."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
    bars = Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True)
    with bars:
        bar = bars.add_task(target.name, total=asked.end_ns - asked.start_ns)
        return backfill(
            folder,
            asked.start_ns,
            asked.end_ns,
            target,
            lambda end_ns: bars.update(bar, completed=max(0, end_ns - asked.start_ns)),
        )


def _told(sent: Sent) -> str:
    said = f"{sent.points:,} points of {sent.intervals:,} intervals and {sent.hours:,} hours"
    return f"{said}, {sent.refused:,} of them refused: {sent.refusal}" if sent.refused else said


def _note(kept_ns: Optional[int], asked: Range) -> str:
    """Empty where all intervals of the range are kept."""
    if kept_ns is None:
        return "no intervals are kept yet: start this version of ipsecmon first"
    if asked.start_ns >= kept_ns:
        return ""
    return f"intervals are kept since {local_time(kept_ns)}: of the time before there are only sums of hours"
