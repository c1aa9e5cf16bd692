"""`ipsecmon top`: what passes now, from a running agent, each second until q."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import click
from rich.console import Console
from rich.live import Live

from ipsecmon.agent.control import NotRunning, Totals, ask_totals
from ipsecmon.cli.gauges import Gauges
from ipsecmon.cli.keyboard import Keyboard, keyboard
from ipsecmon.cli.options import config_option, json_option
from ipsecmon.cli.rates import Rate, describe_rates, rates
from ipsecmon.cli.render import wide_console
from ipsecmon.config import Config, load
from ipsecmon.errors import SourceError
from ipsecmon.model import CounterKey

__all__ = ["top_command"]

_EVERY_S = 1.0
_QUIT = "qQ"
_FIRST = "measuring …"
_ONCE_WIDTH = 110  # wide enough; bars need no more


@click.command("top")
@config_option
@click.option("--once", is_flag=True, help="Measure one second, print and end; so without a terminal, too.")
@json_option
def top_command(config_file: Path, once: bool, as_json: bool) -> None:
    """Show the rates of each counter and how full the line is, each second; q quits.

    --json measures one second, too.
    """
    config = load(config_file)
    folder = Path(config.store.path)
    if as_json:
        click.echo(json.dumps(describe_rates(config, *_measured(folder)), indent=2))
    elif once or not (sys.stdin.isatty() and sys.stdout.isatty()):
        _print_once(config, folder)
    else:
        _watch(config, folder)


def _measured(folder: Path) -> tuple[float, dict[CounterKey, Rate]]:
    """Seconds between two readings, and the rates."""
    before = ask_totals(folder)
    time.sleep(_EVERY_S)
    after = ask_totals(folder)
    found = rates(before, after)
    if not found:
        raise SourceError("the agent was started again in between: ask once more")
    return (after.monotonic_ns - before.monotonic_ns) / 1e9, found


def _print_once(config: Config, folder: Path) -> None:
    console = wide_console()
    gauges = Gauges(config, plain=console.options.ascii_only)
    gauges.feed(_measured(folder)[1])
    console.print(gauges.picture(min(console.width, _ONCE_WIDTH)))


def _watch(config: Config, folder: Path) -> None:
    before = ask_totals(folder)  # whoever may not ask, or asks nobody, is told on the usual screen
    console = Console()
    gauges = Gauges(config, plain=console.options.ascii_only)
    with keyboard() as keys, Live(console=console, screen=True, auto_refresh=False) as live:
        try:
            _refresh(gauges, folder, before, keys, live)
        except KeyboardInterrupt:
            pass  # Ctrl-C quits, too


def _refresh(gauges: Gauges, folder: Path, before: Totals, keys: Keyboard, live: Live) -> None:
    """Until q. An agent that stops, or has a bad moment, is waited for."""
    notice = _FIRST
    while True:
        width, height = live.console.size
        live.update(gauges.picture(width, height, notice), refresh=True)
        if keys.pressed(_QUIT, _EVERY_S):
            return
        try:
            after = ask_totals(folder)
        except SourceError as error:
            gauges.feed({})
            notice = "no agent is running: waiting for it" if isinstance(error, NotRunning) else str(error)
            continue
        found = rates(before, after)
        gauges.feed(found)
        notice = "" if found else _FIRST
        before = after
