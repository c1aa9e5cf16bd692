"""`ipsecmon doctor`: where this router makes a number false, which one, and what to do."""

from __future__ import annotations

import json
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Optional

import click
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

__all__ = ["doctor_command", "show"]

FOUND, USAGE = 1, 2
_WIDEST = 110  # of a line of text that is easy to read
_NARROWEST = 20
_SEVERITY_WIDTH, _LABEL_WIDTH = 7, 22  # the longest kind has 20
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
        show(config.router, diagnosis, wide_console())
    sys.exit(FOUND if diagnosis.standing() else 0)


def _agent(folder: Path) -> Fact[AgentFacts]:
    try:
        told = ask(folder, "doctor")["facts"]
        return AgentFacts(**told)
    except TypeError:
        return Unread("the running agent is of another version: restart it")
    except NotRunning:
        return Unread("only a running agent knows, and none runs")
    except SourceError as error:
        return Unread(str(error))


def show(router: str, diagnosis: Diagnosis, console: Console) -> None:
    """For people: the worst first, and what is not known last."""
    width = min(console.width, _WIDEST)
    looked = f"{printable(router)}: {len(diagnosis.checked)} conditions looked for"
    console.print(Text(f"{looked}{_summary(diagnosis)}", style="bold"), soft_wrap=True)
    for one in diagnosis.findings:
        if not one.what.startswith(UNKNOWN):
            console.print()
            _show_finding(one, console, width)
    for why, kinds in _unknown(diagnosis).items():
        console.print()
        _show_row(Severity.NOTE, Text("unknown"), f"{', '.join(kinds)}: {why}", console, width)
    if not diagnosis.standing():
        console.print()
        console.print(Text("nothing found that makes a number false", style="green"), soft_wrap=True)


def _summary(diagnosis: Diagnosis) -> str:
    """How many findings of each severity; a kind of which nothing is known is one."""
    told = [one for one in diagnosis.findings if not one.what.startswith(UNKNOWN)]
    numbers = {severity.value: sum(one.severity is severity for one in told) for severity in Severity}
    numbers["unknown"] = len({kind for kinds in _unknown(diagnosis).values() for kind in kinds})
    said = [f"{number} {_plural(word, number)}" for word, number in numbers.items() if number]
    return f": {', '.join(said)}" if said else ""


def _plural(word: str, number: int) -> str:
    return f"{word}s" if number > 1 and word in ("risk", "note") else word


def _show_finding(one: Finding, console: Console, width: int) -> None:
    _show_row(one.severity, Text(one.kind, style="bold"), printable(one.what), console, width)
    if one.severity is not Severity.NOTE:
        _show_row(None, Text("falsifies", style="dim"), one.falsifies, console, width)
        _show_row(None, Text("mend", style="dim"), one.mend, console, width)


def _show_row(severity: Optional[Severity], label: Text, said: str, console: Console, width: int) -> None:
    """A severity, a label and what is said, wrapped in a column of its own."""
    label.truncate(_LABEL_WIDTH, pad=True)
    head = Text(f"{severity.value if severity else '':<{_SEVERITY_WIDTH}}")
    if severity:
        head.stylize(_STYLES[severity])
    indent = _SEVERITY_WIDTH + _LABEL_WIDTH
    for number, line in enumerate(textwrap.wrap(said, max(_NARROWEST, width - indent))):
        before = Text.assemble(head, label) if number == 0 else Text(" " * indent)
        console.print(before.append(line), soft_wrap=True)


def _unknown(diagnosis: Diagnosis) -> dict[str, list[str]]:
    """Kinds by the reason why nothing is known of them."""
    found: dict[str, list[str]] = {}
    for one in diagnosis.findings:
        if one.what.startswith(UNKNOWN):
            found.setdefault(printable(one.what[len(UNKNOWN) :]), []).append(one.kind)
    return found
