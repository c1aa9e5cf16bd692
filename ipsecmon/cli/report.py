"""`ipsecmon report`: totals of a range out of the own history."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import click

from ipsecmon.agent.agreement import agreements, lines_of
from ipsecmon.cli.closing import close_interval, now_option
from ipsecmon.cli.options import config_option, json_option, range_options
from ipsecmon.cli.ranges import AskedRange, Range, local_time
from ipsecmon.cli.report_formats import Answer, print_csv, print_json, print_table
from ipsecmon.config import Config, load
from ipsecmon.model import Direction, ObservationPoint
from ipsecmon.store import ClockStep, Report, ReportRow, events, report

__all__ = ["report_command", "uncut"]

_DAY_NS = 86400 * 10**9  # the longest row of history that no gap has stretched

_STEPS_TOLD = 3


@click.command("report")
@config_option
@range_options
@now_option
@json_option
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, a row a counter and direction.")
def report_command(
    config_file: Path,
    asked: AskedRange,
    close_first: bool,
    as_json: bool,
    as_csv: bool,
) -> None:
    """Print what each counter carried, by kernel counters, and how much of it NFLOG saw and lost.

    Days, months and times are of the local time zone. Give one range, or none for the last hour.
    """
    if as_json and as_csv:
        raise click.UsageError("--json and --csv are two formats: write one")
    asked.at(time.time_ns())  # a mistake is said before anything is read or asked
    config = load(config_file)
    folder = Path(config.store.path)
    if close_first:
        close_interval(folder)
    answer = _answer(config, folder, asked.at(time.time_ns()))
    if as_json:
        print_json(answer)
    elif as_csv:
        print_csv(answer)
    else:
        print_table(answer, {line.name for line in config.lines})


def uncut(folder: Path, asked: Range, found: Report, tolerance_ns: int) -> tuple[int, ...]:
    """The ends of the range that history is too coarse for: a row longer than tolerance_ns lies across them.

    Such a row counts, whole, where it begins: before the range, or in it.
    """
    before = report(folder, asked.start_ns - _DAY_NS, asked.start_ns)
    ends = ((asked.start_ns, before), (asked.end_ns, found))
    return tuple(end_ns for end_ns, side in ends if side.end_ns > end_ns + tolerance_ns)


def _answer(config: Config, folder: Path, asked: Range) -> Answer:
    found = report(folder, asked.start_ns, asked.end_ns)
    across = uncut(folder, asked, found, config.interval_s * 10**9)
    notes = []
    if across:
        ends = " and ".join(local_time(end_ns) for end_ns in across)
        notes.append(
            f"not cut at {ends}: history has a longer row there, and it counts whole where it begins"
        )
    if found.clock_steps:
        notes.append(_clock_note(found.clock_steps))
    gone = _gone_note(found.rows)
    if gone:
        notes.append(gone)
    return Answer(
        config.router,
        asked,
        found,
        "; ".join(notes),
        agreements(found, lines_of(config)),
        events(folder, asked.start_ns, asked.end_ns),
    )


def _gone_note(rows: Sequence[ReportRow]) -> str:
    """Empty where rules stood all the time."""
    octets = {way: 0 for way in (Direction.IN, Direction.OUT)}
    for row in rows:
        if row.key.observed_at is ObservationPoint.RULES_GONE:
            octets[row.key.direction] += row.octets
    if not any(octets.values()):
        return ""
    most = f"at most {octets[Direction.IN]:,} octets in and {octets[Direction.OUT]:,} out"
    return f"our rules did not stand all the time: {most}, with link headers, are in no counter"


def _clock_note(steps: Sequence[ClockStep]) -> str:
    """The newest few; the JSON has them all."""
    told = [f"from {local_time(one.from_ns)} to {local_time(one.to_ns)}" for one in steps[-_STEPS_TOLD:]]
    others = f" and {len(steps) - len(told)} times before" if len(steps) > len(told) else ""
    return f"the clock was set {', '.join(told)}{others}: times in this range are by the clock as it stood"
