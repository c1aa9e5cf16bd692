"""Tunnels for people: a table that fits the terminal, and below it what its numbers do not say."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ipsecmon.cli.layer_table import print_layers, print_links
from ipsecmon.cli.ranges import local_time
from ipsecmon.cli.render import number, printable, render_age
from ipsecmon.cli.tunnel_notes import tunnel_notes
from ipsecmon.cli.tunnel_sums import Tunnel
from ipsecmon.model import UNNAMED, Direction
from ipsecmon.store import TunnelReport
from ipsecmon.units import render_octets, render_rate

__all__ = ["Answer", "print_table", "when_rates_are_of"]

_NAME_WIDTH, _NARROW_NAME_WIDTH = 24, 16
_NARROW = 100
_PEERS_TOLD = 2
_STALE_INTERVALS = 3  # a newest interval that ended longer ago is not what passes now
_UNBOUNDED = 10_000
_NOTHING = Text("–", style="dim")
_IN, _OUT = Direction.IN, Direction.OUT


@dataclass(frozen=True)
class Answer:
    """now_s: the wall clock. interval_s: the config's."""

    router: str
    found: TunnelReport
    tunnels: Sequence[Tunnel]
    now_s: int
    interval_s: int

    @property
    def seconds(self) -> float:
        """How long the newest interval was."""
        return (self.found.last_end_ns - self.found.last_start_ns) / 1e9


class _Column(NamedTuple):
    heading: str
    cell: Callable[[Tunnel, Answer], Text]


def print_table(answer: Answer, console: Console, with_links: bool = False) -> None:
    """with_links: road warriors and interfaces one by one."""
    console.print(Text(f"{printable(answer.router)}: tunnels, inside, by SA counters", style="bold"))
    if answer.seconds:
        _print_times(answer, console)
    else:
        console.print("nothing is recorded yet")
    if not answer.tunnels:
        console.print("the config names no tunnel, and no SA was seen")
        return
    console.print()
    console.print(_fitting(answer, console))
    console.print()
    insides = {one.name: one.inside for one in answer.tunnels}
    print_layers(insides, console)
    if with_links:
        carrying = {one.name: one.inside for one in answer.tunnels if one.carries or one.inside.links}
        print_links(carrying, answer.seconds, answer.now_s, console)
    _print_notes(answer, console)


def when_rates_are_of(answer: Answer, seconds: float, end_ns: int) -> Text:
    """How long the interval was that rates are of, and how long ago where that is not now."""
    ago_s = max(0.0, answer.now_s - end_ns / 1e9)
    if ago_s <= _STALE_INTERVALS * answer.interval_s:
        return Text(f"rates of {seconds:.3g} s")
    return Text(f"rates of {seconds:.3g} s, {render_age(ago_s)} ago", style="yellow")


def _print_times(answer: Answer, console: Console) -> None:
    rates = when_rates_are_of(answer, answer.seconds, answer.found.last_end_ns)
    console.print(Text(f"totals since {local_time(answer.found.start_ns)}; ") + rates)


def _fitting(answer: Answer, console: Console) -> Table:
    """With as many columns as there is room for."""
    unbounded = console.options.update(width=_UNBOUNDED)
    name_width = _NAME_WIDTH if console.width >= _NARROW else _NARROW_NAME_WIDTH
    for layout in _LAYOUTS:
        table = _table(answer, layout.split(), name_width)
        if console.measure(table, options=unbounded).maximum <= console.width:
            break
    return table


def _table(answer: Answer, names: Sequence[str], name_width: int) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("tunnel", max_width=name_width, overflow="fold")
    for name in names:
        column = _COLUMNS[name]
        table.add_column(
            column.heading, justify="left" if column.heading == "peers" else "right", no_wrap=True
        )
    for tunnel in answer.tunnels:
        cells = [_COLUMNS[name].cell(tunnel, answer) for name in names]
        style = "dim" if tunnel.name == UNNAMED else "bold" if tunnel.sas else ""
        table.add_row(Text(printable(tunnel.name), style=style), *cells)
    return table


def _print_notes(answer: Answer, console: Console) -> None:
    for tunnel in answer.tunnels:
        for note in tunnel_notes(tunnel):
            said = Text.assemble((printable(tunnel.name), "bold"), f": {note}")
            console.print(said)
    errors = [f"{printable(name)} {packets:,}" for name, packets in answer.found.xfrm_errors if packets]
    if errors:
        console.print(f"packets that this machine's XFRM dropped: {', '.join(errors)}", markup=False)


def _peers(told: int) -> Callable[[Tunnel, Answer], Text]:
    def cell(tunnel: Tunnel, _: Answer) -> Text:
        others = len(tunnel.peers) - told
        shown = ", ".join(map(printable, tunnel.peers[:told])) + (f" +{others}" if others > 0 else "")
        return Text(shown, style="" if tunnel.sas else "dim") if shown else _NOTHING

    return cell


def _rate(direction: Direction) -> Callable[[Tunnel, Answer], Text]:
    def cell(tunnel: Tunnel, answer: Answer) -> Text:
        bits_per_s = tunnel.ways[direction].bits_per_s(answer.seconds)
        return _NOTHING if bits_per_s is None else Text(render_rate(bits_per_s), style=_style(bits_per_s))

    return cell


def _octets(direction: Direction) -> Callable[[Tunnel, Answer], Text]:
    def cell(tunnel: Tunnel, _: Answer) -> Text:
        octets = tunnel.ways[direction].total.octets
        return Text(render_octets(octets), style=_style(octets))

    return cell


def _age(tunnel: Tunnel, answer: Answer) -> Text:
    added_s = tunnel.latest("added_s")
    return _NOTHING if added_s is None else Text(render_age(max(0, answer.now_s - added_s)))


def _loss(tunnel: Tunnel, _: Answer) -> Text:
    lost, ratio = tunnel.lost_packets, tunnel.loss_ratio
    if lost is None or ratio is None:
        return _NOTHING
    return Text(f"{lost:,}, {_percent(ratio)}", style="red") if lost else number(0)


def _overhead(tunnel: Tunnel, _: Answer) -> Text:
    ratio = tunnel.overhead_ratio
    return _NOTHING if ratio is None else Text(f"{ratio - 1:.1%}")


def _style(value: float) -> str:
    return "" if value else "dim"


def _percent(ratio: float) -> str:
    return f"{ratio:.1%}" if ratio >= 0.001 else "<0.1%"


_COLUMNS: Mapping[str, _Column] = {
    "peers": _Column("peers", _peers(_PEERS_TOLD)),
    "peer": _Column("peers", _peers(1)),
    "rate-in": _Column("in", _rate(_IN)),
    "rate-out": _Column("out", _rate(_OUT)),
    "total-in": _Column("total in", _octets(_IN)),
    "total-out": _Column("total out", _octets(_OUT)),
    "sas": _Column("SAs", lambda tunnel, _: number(tunnel.sas)),
    "age": _Column("age", _age),
    "rekeys": _Column("rekeys", lambda tunnel, _: number(tunnel.rekeys)),
    "loss": _Column("loss", _loss),
    "overhead": _Column("overhead", _overhead),
}
_LAYOUTS = (  # the widest that fits is taken
    "peers rate-in rate-out total-in total-out sas age rekeys loss overhead",
    "peer rate-in rate-out total-in total-out sas age rekeys loss overhead",
    "peer rate-in rate-out total-in total-out sas rekeys loss overhead",
    "rate-in rate-out total-in total-out sas rekeys loss overhead",
    "rate-in rate-out total-in total-out sas rekeys loss",
    "rate-in rate-out total-in total-out sas loss",
    "rate-in rate-out total-in total-out loss",
    "total-in total-out loss",
)
