"""`ipsecmon compare`: what changed between two ranges of time, row by row, and how sure that is."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Optional

import click

from ipsecmon.cli.closing import close_interval, now_option
from ipsecmon.cli.compare_windows import DEFAULT_WINDOW, LAST, beside_event, two_ranges
from ipsecmon.cli.options import config_option, json_option
from ipsecmon.cli.render import wide_console
from ipsecmon.config import load

__all__ = ["compare_command"]

_MATCHES = {"weekday-hour": True, "none": False}
_CHARTS = (".svg", ".png", ".pdf")


@click.command("compare")
@config_option
@click.option("--event", metavar="TIME", help=f"The event that began then; `{LAST}` is the newest one.")
@click.option(
    "--window", metavar="DURATION", help=f"How long before and after the event.  [default: {DEFAULT_WINDOW}]"
)
@click.option("--before", metavar="FROM..TO", help="The earlier range, where there is no event.")
@click.option("--after", metavar="FROM..TO", help="The later one; without TO, until now.")
@click.option(
    "--match",
    type=click.Choice(list(_MATCHES)),
    help="Compare equal weekdays and times of day, or all with all.  [default: as the ranges allow]",
)
@now_option
@json_option
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, a row for each row and direction.")
@click.option(
    "--chart", metavar="FILE", type=click.Path(path_type=Path), help="Also draw it: FILE.svg, .png or .pdf."
)
@click.option("--bits/--octets", "in_bits", default=None, help="Rates and totals, both in bits or in octets.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), help="Of the draws; the same one without.")
def compare_command(
    config_file: Path,
    event: Optional[str],
    window: Optional[str],
    before: Optional[str],
    after: Optional[str],
    match: Optional[str],
    close_first: bool,
    as_json: bool,
    as_csv: bool,
    chart: Optional[Path],
    in_bits: Optional[bool],
    seed: Optional[int],
) -> None:
    """Compare the line, the VPN and everything else before and after: beside an event, or two ranges.

    Without an option: before and after the newest event. Times are of the local time zone. Each difference
    has an interval that it is in with 95 % certainty, and one word.
    """
    if as_json and as_csv:
        raise click.UsageError("--json and --csv are two formats: write one")
    if (before is None) != (after is None):
        raise click.UsageError("--before and --after are two ranges: write both")
    if before is not None and (event is not None or window is not None):
        raise click.UsageError("--event and --before are two ways to say it: write one")
    if chart is not None:
        _check_chart(chart)
    config = load(config_file)
    folder = Path(config.store.path)
    if close_first:
        close_interval(folder)
    now_ns = time.time_ns()
    if before is not None and after is not None:
        windows = two_ranges(folder, before, after, now_ns)
    else:
        windows = beside_event(folder, event or LAST, window or DEFAULT_WINDOW, now_ns)
    # numpy is loaded here and not with the command line, which must not need it
    from ipsecmon.agent.compare import Asked, compare_ranges

    asked = Asked(windows.before, windows.after, _MATCHES.get(match or ""), windows.event is not None)
    found = compare_ranges(config, folder, asked if seed is None else asked._replace(seed=seed))
    if chart is not None:
        from ipsecmon.cli.compare_chart import draw_chart

        draw_chart(found, windows, chart)
    from ipsecmon.cli import compare_formats, compare_text

    if as_json:
        compare_formats.print_json(found, windows)
    elif as_csv:
        compare_formats.print_csv(found)
    else:
        compare_text.print_comparison(found, windows, wide_console(), in_bits)


def _check_chart(file: Path) -> None:
    if file.suffix.lower() not in _CHARTS:
        raise click.BadParameter(f"{str(file)!r} must end with {', '.join(_CHARTS)}", param_hint="--chart")
    if not file.absolute().parent.is_dir():
        raise click.BadParameter(f"no folder {file.absolute().parent}", param_hint="--chart")
