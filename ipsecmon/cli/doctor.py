"""`ipsecmon doctor`: where this router makes a number false, which one, and what to do."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.table import Table
from rich.text import Text

from ipsecmon.agent.control import NotRunning, ask
from ipsecmon.agent.doctor import Diagnosis, diagnose
from ipsecmon.agent.doctor_facts import AgentFacts, Fact, Unread
from ipsecmon.agent.doctor_findings import UNKNOWN, Finding, Severity
from ipsecmon.cli.options import config_option, json_option
from ipsecmon.cli.render import printable, wide_console
from ipsecmon.config import load
from ipsecmon.errors import ConfigError, SourceError

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["doctor_command"]

FOUND, USAGE = 1, 2
_STYLES = {Severity.WRONG: "red", Severity.RISK: "yellow", Severity.NOTE: "dim"}


@click.command("doctor")
@config_option
@json_option
def doctor_command(config_file: Path, as_json: bool) -> None:
    """Say what on this router makes a number false, which one, and what to do.

    Exit status: 0 nothing, 1 a number is wrong or at risk, 2 the command or the config is wrong. As root it
    sees the most; some it knows only from the running agent.
    """
    from ipsecmon.agent.doctor_machine import read_facts  # loads pyroute2, which other commands do without

    try:
        config = load(config_file)
    except ConfigError as error:
        for line in str(error).splitlines():
            click.echo(f"ipsecmon: {line}", err=True)
        sys.exit(USAGE)
    folder = Path(config.store.path)
    diagnosis = diagnose(read_facts(config, _agent(folder), folder))
    if as_json:
        click.echo(json.dumps({"router": config.router, **diagnosis.describe()}, indent=2))
    else:
        _show(config.router, diagnosis, wide_console())
    sys.exit(FOUND if diagnosis.standing() else 0)


def _agent(folder: Path) -> Fact[AgentFacts]:
    try:
        return AgentFacts(**ask(folder, "doctor")["facts"])
    except NotRunning:
        return Unread("only a running agent knows, and none runs")
    except SourceError as error:
        return Unread(str(error))


def _show(router: str, diagnosis: Diagnosis, console: Console) -> None:
    console.print(Text(f"{printable(router)}: {len(diagnosis.checked)} conditions looked for", style="bold"))
    table = Table.grid(padding=(0, 2))
    for one in diagnosis.findings:
        if not one.what.startswith(UNKNOWN):
            _add(table, one)
    for what, kinds in _unknown(diagnosis).items():
        table.add_row(Text("note", style="dim"), Text(f"{what}: {', '.join(kinds)}"))
    console.print(table)
    if not diagnosis.standing():
        console.print(Text("nothing found that makes a number false", style="green"))


def _add(table: Table, one: Finding) -> None:
    said = Text.assemble((one.kind, "bold"), f": {printable(one.what)}")
    table.add_row(Text(one.severity.value, style=_STYLES[one.severity]), said)
    if one.severity is not Severity.NOTE:
        table.add_row("", Text(f"falsifies: {one.falsifies}"))
        table.add_row("", Text(f"mend: {one.mend}"))


def _unknown(diagnosis: Diagnosis) -> dict[str, list[str]]:
    """Kinds by the reason why nothing is known of them."""
    found: dict[str, list[str]] = {}
    for one in diagnosis.findings:
        if one.what.startswith(UNKNOWN):
            found.setdefault(printable(one.what), []).append(one.kind)
    return found
