"""`ipsecmon events`: what changed on this router, and what people marked."""

from __future__ import annotations

import json
import time
from pathlib import Path

import click

from ipsecmon.agent.marks import describe_event
from ipsecmon.cli.event_lines import event_line
from ipsecmon.cli.options import config_option, json_option
from ipsecmon.cli.ranges import chosen_range, iso_time
from ipsecmon.config import load
from ipsecmon.qos import Event
from ipsecmon.store import events

__all__ = ["events_command", "tell_event"]

_END_OF_TIME_NS = (1 << 63) - 1  # marks may be of what is planned


@click.command("events")
@config_option
@click.option("--since", metavar="DURATION", default="30d", show_default=True, help="How far back.")
@json_option
def events_command(config_file: Path, since: str, as_json: bool) -> None:
    """List changes of queueing disciplines and of our rules, and marks, planned ones too; oldest first."""
    config = load(config_file)
    asked = chosen_range({"--since": since}, None, time.time_ns())
    found = events(Path(config.store.path), asked.start_ns, _END_OF_TIME_NS)
    if as_json:
        click.echo(json.dumps({"router": config.router, "events": list(map(tell_event, found))}, indent=2))
        return
    for one in found:
        click.echo(event_line(describe_event(one)))
    if not found:
        click.echo(f"no event in the last {since}")


def tell_event(event: Event) -> dict[str, object]:
    """For JSON: times in UTC too."""
    return {
        **describe_event(event),
        "start": iso_time(event.start_ns),
        "end": iso_time(event.end_ns),
    }
