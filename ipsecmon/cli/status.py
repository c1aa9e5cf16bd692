"""`ipsecmon status`: how the running agent is, for people, programs and exit codes."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ipsecmon.agent.control import NotRunning, ask
from ipsecmon.cli.event_lines import event_line
from ipsecmon.cli.options import config_option, json_option
from ipsecmon.cli.ranges import local_time
from ipsecmon.cli.render import printable
from ipsecmon.config import load
from ipsecmon.units import render_octets

__all__ = ["status_command"]

TROUBLE, NOT_RUNNING = 1, 3
_TOLD = 8  # interfaces
_LOST = ("dropped_batches", "rejected_points")


@click.command("status")
@config_option
@json_option
def status_command(config_file: Path, as_json: bool) -> None:
    """Say how the agent is. Exit status: 0 all is well, 1 something is not, 3 it is not running."""
    config = load(config_file)
    try:
        answer = ask(Path(config.store.path), "status")
    except NotRunning as error:
        click.echo(f"ipsecmon: {error}", err=True)
        sys.exit(NOT_RUNNING)
    troubles = _troubles(answer)
    if as_json:
        click.echo(json.dumps({**answer, "troubles": troubles}, indent=2))
    else:
        _show(answer, troubles)
    sys.exit(TROUBLE if troubles else 0)


def _troubles(answer: dict[str, Any]) -> list[str]:
    troubles = [] if answer["rules_stand"] else ["the rules do not stand as they should"]
    troubles += [f"there is no interface {name}" for name in answer.get("interfaces_gone", ())]
    troubles += _store_troubles(answer["store"])
    if answer.get("xfrm", {}).get("error"):
        troubles.append(f"SAs: {answer['xfrm']['error']}")
    if answer.get("layers", {}).get("error"):
        troubles.append(f"layers inside tunnels: {answer['layers']['error']}")
    troubles += [_said(one) for one in answer.get("doctor", ()) if one["severity"] == "wrong"]
    for sink in answer["sinks"]:
        if not sink["healthy"]:
            troubles.append(f"sink {sink['name']}: {sink['last_error']}")
    return troubles


def _store_troubles(store: dict[str, Any]) -> list[str]:
    troubles = [f"store: {store['refusal']}; counting goes on in memory"] if store["refusal"] else []
    troubles += [f"spool is full, oldest intervals are dropped: {sink}" for sink in store.get("dropping", ())]
    if store.get("too_small"):
        troubles.append("store.max_size is too small for these counters")
    return troubles


def _show(answer: dict[str, Any], troubles: list[str]) -> None:
    console = Console()
    table = Table.grid(padding=(0, 2))
    table.add_row("router", escape(answer["router"]))
    table.add_row("interval", f"{answer['interval_s']} s, {_age(answer['last_interval_end_ns'])}")
    _show_rules(table, answer)
    table.add_row("NFLOG", f"{answer['dropped_datagrams']} datagrams dropped at the socket")
    for one in answer.get("lines", ()):
        table.add_row(f"line {escape(printable(one['name']))} {one['direction']}", _agreement(one))
    if "xfrm" in answer:
        table.add_row("SAs", _sas(answer["xfrm"]))
    if answer.get("layers", {}).get("inside"):
        table.add_row("layers", _layers(answer["layers"]))
    _show_store(table, answer["store"])
    for one in answer.get("doctor", ()):
        style = "red" if one["severity"] == "wrong" else "yellow"
        table.add_row("doctor", f"[{style}]{escape(_said(one))}[/]")
    for event in answer.get("events", ()):
        table.add_row("event", escape(event_line(event)))
    for sink in answer["sinks"]:
        state = "delivers" if sink["healthy"] else f"[red]{escape(printable(str(sink['last_error'])))}[/]"
        table.add_row(f"sink {sink['name']}", f"{state}, {_waiting(sink)}")
    for name, number in answer["counts"].items():
        table.add_row(name, f"{number:,}")
    console.print(table)
    if not troubles:
        console.print("[green]all is well[/]")


def _show_rules(table: Table, answer: dict[str, Any]) -> None:
    for name in answer.get("interfaces_gone", ()):
        table.add_row("interface", f"[red]there is no {escape(printable(name))} now[/]")
    table.add_row("rules", _rules(answer))
    for reason in answer["nfmarks_refused"]:
        table.add_row("nfmark", f"not written: {escape(printable(reason))}")


def _show_store(table: Table, store: dict[str, Any]) -> None:
    if "max_octets" in store:
        size = f"{render_octets(store['octets_in_use'])} of {render_octets(store['max_octets'])}"
        trimmed = ", at its size: fine history goes early" if store["trimmed"] else ""
        table.add_row("store", f"{size}, spool {render_octets(store['spool_octets'])}{trimmed}")
    for trouble in _store_troubles(store):
        table.add_row("", f"[red]{escape(trouble)}[/]")


def _agreement(line: dict[str, Any]) -> str:
    reason = f", {line['reason']}" if line["reason"] else ""
    if line["word"] != "disagree":
        return f"parts and interface {line['word']}{reason}"
    return f"[yellow]parts and interface disagree by {line['unexplained_octets']:,} octets[/]{reason}"


def _rules(answer: dict[str, Any]) -> str:
    said = "installed" if answer["rules_stand"] else "[red]not as they should be[/]"
    gaps = answer["counts"].get("rules.gaps", 0)
    if not gaps:
        return said
    seconds = answer["counts"].get("rules.gap-ms", 0) / 1000
    times = "once" if gaps == 1 else f"{gaps:,} times"
    return f"{said}; [yellow]gone {times} since the start, {seconds:.1f} s at most[/]"


def _sas(xfrm: dict[str, Any]) -> str:
    error = f", [red]{escape(printable(xfrm['error']))}[/]" if xfrm["error"] else ""
    return f"{xfrm['sas']:,} alive, read by {xfrm['reader']}{error}"


def _layers(layers: dict[str, Any]) -> str:
    """Which tunnels are counted layer by layer, and which interfaces are in none of them."""
    inside = ", ".join(f"{printable(what)} in {printable(name)}" for name, what in layers["inside"].items())
    unclaimed = ", ".join(map(printable, layers["unclaimed"][:_TOLD]))
    others = len(layers["unclaimed"]) - _TOLD
    more = f" and {others} more" if others > 0 else ""
    none = f"; in none of them: {unclaimed}{more}" if unclaimed else ""
    return escape(inside + none + "".join(_shared(layers.get("shared", {}))))


def _shared(shared: dict[str, list[str]]) -> Iterator[str]:
    for name, tunnels in list(shared.items())[:_TOLD]:
        yield f"; SAs of {printable(name)} are in several: {', '.join(map(printable, tunnels[:_TOLD]))}"


def _said(finding: dict[str, Any]) -> str:
    return f"{finding['severity']}: {finding['kind']}: {printable(finding['what'])}"


def _waiting(sink: dict[str, Any]) -> str:
    known = sink["backlog_batches"]
    waiting = f"{'unknown' if known is None else known} batches waiting"
    oldest_ns = sink.get("backlog_oldest_ns")
    if oldest_ns is not None:
        waiting += f", the oldest of {local_time(oldest_ns)}"
    lost = [f"{sink[name]:,} {name.replace('_', ' ')}" for name in _LOST if sink[name]]
    return ", ".join([waiting, *lost])


def _age(end_ns: int | None) -> str:
    if end_ns is None:
        return "none closed yet"
    return f"last closed {max(0.0, time.time() - end_ns / 1e9):.0f} s ago"
