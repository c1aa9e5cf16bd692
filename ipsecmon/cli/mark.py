"""`ipsecmon mark`: says what happened on this router, for dashboards and comparisons."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

import click

from ipsecmon.agent.control import NotRunning, ask
from ipsecmon.agent.marks import describe_event
from ipsecmon.cli.event_lines import event_line
from ipsecmon.cli.options import config_option
from ipsecmon.cli.ranges import parse_moment
from ipsecmon.clock import SystemClock
from ipsecmon.config import Config, load
from ipsecmon.qos import MAX_EVENT_TEXT, Event, EventKind, event_text
from ipsecmon.store import Store, events

__all__ = ["mark_command"]


@click.command("mark")
@click.argument("text")
@click.option("--at", metavar="TIME", help="When it was, such as 2026-11-22T14:30; now when left out.")
@click.option("--end", metavar="TIME", help="When it ended, of something that lasted.")
@config_option
def mark_command(text: str, at: Optional[str], end: Optional[str], config_file: Path) -> None:
    """Remember an event: TEXT, in the own history and in every sink.

    Times are of the local time zone. Without a running agent it waits in the store for the next one.
    """
    start_ns = parse_moment("--at", at) if at is not None else SystemClock().now().wall_ns
    end_ns = parse_moment("--end", end) if end is not None else None
    _check(text, start_ns, end_ns, "later than --at" if at is not None else "and --at TIME too")
    config = load(config_file)
    folder = Path(config.store.path)
    try:
        kept = ask(folder, "mark", text=text, start_ns=start_ns, end_ns=end_ns)["event"]
    except NotRunning:
        kept = _mark_without_agent(config, folder, text, start_ns, end_ns)
    click.echo(event_line(kept))


def _check(text: str, start_ns: int, end_ns: Optional[int], wanted: str) -> None:
    if not event_text(text):
        raise click.BadParameter("is empty: say in a few words what happened", param_hint="TEXT")
    if len(text) > MAX_EVENT_TEXT:
        raise click.BadParameter(
            f"is longer than {MAX_EVENT_TEXT} characters: say it shorter", param_hint="TEXT"
        )
    if end_ns is not None and end_ns < start_ns:
        raise click.BadParameter(f"is before it began: write it {wanted}", param_hint="--end")


def _mark_without_agent(
    config: Config, folder: Path, text: str, start_ns: int, end_ns: Optional[int]
) -> dict[str, Any]:
    """Straight into the store, whose lock keeps an agent from starting meanwhile."""
    events(folder, 0, 1)  # says it where there is no store
    store = Store(folder, config.interval_s, config.store.retention_s, max_octets=config.store.max_octets)
    store.start(SystemClock().now())
    try:
        end_ns = start_ns if end_ns is None else end_ns
        return describe_event(store.add_event(Event(EventKind.MARK, start_ns, end_ns, event_text(text))))
    finally:
        store.stop()
