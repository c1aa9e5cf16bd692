"""`ipsecmon check`: is this file right, and if not, what to mend."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Optional

import click

from ipsecmon.agent.plan import build_plan
from ipsecmon.config import Config, ConfigErrors, json_schema, load, warnings
from ipsecmon.errors import ConfigError
from ipsecmon.model import ObservationPoint
from ipsecmon.ruleset.iptables import MOST_REQIDS, MOST_TOLD, without_rule
from ipsecmon.ruleset.model import Plan
from ipsecmon.units import render_whole_rate

__all__ = ["check_command"]

_SOME_ADDRESS = "192.0.2.1"  # a peer's name is looked up for the warnings only: DNS may be down


@click.command("check")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--schema", is_flag=True, help="Print the JSON Schema of such a file, for editors.")
def check_command(file: Optional[Path], schema: bool) -> None:
    """Check a configuration FILE and say everything that is wrong with it."""
    if schema:
        click.echo(json.dumps(json_schema(), indent=2))
    elif file is None:
        raise click.UsageError("name the configuration file to check")
    else:
        _check(file)


def _check(file: Path) -> None:
    try:
        config = load(file)
        plan = build_plan(config, lambda name: (_SOME_ADDRESS,))
    except ConfigErrors as errors:
        click.echo(str(errors), err=True)
        raise SystemExit(1) from None
    except ConfigError as error:  # right as a file, but no rules can be made of it
        click.echo(f"{file}: {error}", err=True)
        raise SystemExit(1) from None
    click.echo(f"{file}: ok")
    for row in _summary(config):
        click.echo(f"  {row}")
    for warning in (*warnings(config), *_backend_limits(plan)):
        click.echo(f"warning: {warning}")


def _backend_limits(plan: Plan) -> Iterator[str]:
    for name in without_rule(plan) if plan.backend.startswith("iptables") else ():
        yield (
            f"counter {name}: no rule counts inside it, as iptables tells at most {MOST_REQIDS} reqids "
            f"and {MOST_TOLD} combinations of peers, reqids and networks: use backend nft"
        )


def _rules(config: Config) -> Iterator[str]:
    """With rules of the administrator's own: what each group of theirs counts as."""
    if config.rules == "off":
        counted = "interfaces and tunnels' SAs" if config.counters else "interfaces"
        yield f"rules     off: {counted} only, no NFLOG"
    if config.rules != "manual":
        return
    yield "rules     your own; none is installed, and none is touched"
    for counter in config.counters:
        for pin in counter.pins:
            part = " (a part of the line)" if pin.observed_at is ObservationPoint.WIRE else ""
            yield f"group {pin.group:<5} {counter.name}, {pin.direction.value}, {pin.observed_at.value}{part}"


def _summary(config: Config) -> Iterator[str]:
    yield f"router    {config.router}, every {config.interval_s} s"
    for line in config.lines:
        rates = ""
        if line.capacity:
            ways = (line.capacity.in_bits_per_s, line.capacity.out_bits_per_s)
            rates = ", in {}, out {}".format(*map(render_whole_rate, ways))
        yield f"line      {line.name} on {line.interface}{rates}"
    yield f"counters  {', '.join(counter.name for counter in config.counters) or 'none of its own'}"
    yield from _rules(config)
    yield f"sinks     {', '.join(entry.kind for entry in config.sinks) or 'none: only the own history'}"
