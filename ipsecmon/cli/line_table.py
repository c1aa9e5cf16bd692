"""The line for people: a gauge each direction, parts with bars, terms, and what is inside of tunnels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Optional

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ipsecmon.agent.line import Identity, LinePart, LineReport, LineWay
from ipsecmon.cli.gauges import bar
from ipsecmon.cli.layer_sums import Inside, LayerWays
from ipsecmon.cli.ranges import local_time
from ipsecmon.cli.render import number, printable, render_total
from ipsecmon.cli.tunnel_sums import Tunnel
from ipsecmon.cli.tunnel_table import Answer, when_rates_are_of
from ipsecmon.model import Direction, How, bare_name
from ipsecmon.units import render_octets, render_rate, render_whole_rate

__all__ = ["print_lines"]

_NAME_WIDTH, _NARROW_NAME_WIDTH = 24, 18
_NARROW = 100
_FIXED_WIDTH = 46  # of a row without its name and bar
_LONGEST_BAR = 40
_FULL, _BUSY = 0.9, 0.7  # of the capacity
_HEADINGS = {Direction.IN: "in", Direction.OUT: "out, as offered"}
_STYLES = {"agree": "green", "explained": "yellow", "disagree": "bold red"}


class _Look(NamedTuple):
    """in_bits: None where rates are in bits and totals in octets. plain: the terminal has only ASCII."""

    in_bits: Optional[bool]
    plain: bool
    name_width: int
    bar_width: int

    def rate(self, octets: int, seconds: float) -> str:
        if not seconds:
            return "–"
        octets_per_s = octets / seconds
        return f"{render_octets(octets_per_s)}/s" if self.in_bits is False else render_rate(octets_per_s * 8)

    def total(self, octets: int) -> str:
        return render_total(octets, self.in_bits)


def print_lines(
    found: Sequence[LineReport], tunnels: Answer, console: Console, in_bits: Optional[bool]
) -> None:
    """in_bits: both rates and totals; None for bit/s and octets."""
    name_width = _NAME_WIDTH if console.width >= _NARROW else _NARROW_NAME_WIDTH
    room = console.width - name_width - _FIXED_WIDTH
    plain = console.options.ascii_only
    look = _Look(in_bits, plain, name_width, max(4, min(_LONGEST_BAR, room)))
    for position, one in enumerate(found):
        if position:
            console.print()
        _print_line(one, tunnels, look, console)
    if tunnels.tunnels and any(one.start_ns < one.end_ns for one in found):
        console.print()
        _print_tunnels(tunnels, look, console)


def _print_line(found: LineReport, answer: Answer, look: _Look, console: Console) -> None:
    title = Text(f"{printable(answer.router)}: ", style="bold")
    title.append(printable(found.line.name), style="bold").append(f" on {found.line.interface}", style="dim")
    console.print(title)
    if found.start_ns == found.end_ns:
        console.print("nothing is recorded yet")
        return
    rates = when_rates_are_of(answer, found.seconds, found.end_ns)
    console.print(Text(f"totals since {local_time(found.start_ns)}; ", style="dim") + rates)
    for direction, way in found.ways.items():
        console.print()
        _print_way(direction, way, found.seconds, look, console)


def _print_way(direction: Direction, way: LineWay, seconds: float, look: _Look, console: Console) -> None:
    console.print(_head(direction, way, seconds, look))
    console.print(_parts(way, seconds, look))
    idle = [bare_name(part.name) for part in way.parts if not part.total.packets]
    if idle:
        console.print(Padding(Text(f"nothing in {printable(', '.join(idle))}", style="dim"), (0, 0, 0, 2)))
    if direction is Direction.OUT:
        console.print(Padding(_queue(way, look), (0, 0, 0, 2)))
    for how in dict.fromkeys(part.how for part in way.parts):
        if how in _MARKED:
            console.print(Text(f"  {_MARKED[how]}", style="dim"))
    console.print(_sum(way))
    identity = way.identity
    word = identity.agreement.value
    said = Text("parts and interface ", style="dim").append(_WORDS[word], style=_STYLES[word])
    console.print(Padding(said, (0, 0, 0, 2)))
    for reason in identity.reasons:
        console.print(Padding(Text(reason, style="dim"), (0, 0, 0, 4)))


def _queue(way: LineWay, look: _Look) -> Text:
    """Before and behind the queueing discipline."""
    carried, dropped = way.carried_octets, way.dropped
    text = Text(f"offered {look.total(way.total.octets)}, ")
    text.append("carried –, " if carried is None else f"carried {look.total(carried)}, ")
    if not dropped.packets:
        return text.append("the queue dropped nothing", style="dim")
    about = "about " if "qdisc-drops" in way.identity.estimated else ""
    share = dropped.octets / way.total.octets if way.total.octets else 0.0
    packets = f"{dropped.packets:,} packets" if dropped.packets != 1 else "1 packet"
    return text.append(f"dropped {about}{look.total(dropped.octets)} in {packets}, {share:.1%}", style="red")


def _head(direction: Direction, way: LineWay, seconds: float, look: _Look) -> Text:
    capacity = way.capacity_bits_per_s
    head = Text.assemble((_HEADINGS[direction], "bold"), f"  {look.rate(way.last.octets, seconds)}")
    if capacity and seconds:
        share = way.last.octets * 8 / seconds / capacity
        colour = "red" if share >= _FULL else "yellow" if share >= _BUSY else "green"
        of = look.rate(capacity // 8, 1) if look.in_bits is False else render_whole_rate(capacity)
        head.append(f" of {of}  ", style="dim")
        head.append_text(bar(share, look.bar_width, colour, look.plain, track=True))
        head.append(f" {share:.1%}", style=colour)
    return head


def _parts(way: LineWay, seconds: float, look: _Look) -> Table:
    """Shares are of all parts, since the store began."""
    table = _table("part", look)
    table.add_column("", width=look.bar_width, no_wrap=True)
    for heading in ("share", "rate", "total", "packets"):
        table.add_column(heading, justify="right", no_wrap=True)
    whole = way.total.octets
    for part in (one for one in way.parts if one.total.packets):
        table.add_row(*_part(part, part.total.octets / whole if whole else 0.0, seconds, look))
    return table


def _part(part: LinePart, share: float, seconds: float, look: _Look) -> Iterator[Text]:
    yield Text(f"  {printable(bare_name(part.name))}{_MARKED.get(part.how, '')[:2]}")
    yield bar(share, look.bar_width, "cyan", look.plain)
    yield Text(f"{share:.1%}")
    yield Text(look.rate(part.last.octets, seconds), style="" if part.last.octets else "dim")
    yield Text(look.total(part.total.octets))
    yield number(part.total.packets)


def _sum(way: LineWay) -> Table:
    """From the parts to the interface, term by term; those that are 0 are left out."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column()
    table.add_row("  parts", f"{way.total.octets:,}", "octets", style="dim")
    identity = way.identity
    for name, octets in identity.terms.items():
        if octets != 0:
            table.add_row(f"  {name}", _signed(octets), _certainty(identity, name), style="dim")
    table.add_row("  on the interface", f"{way.nic.octets:,}", "octets", style="dim")
    return table


def _signed(octets: Optional[int]) -> str:
    if octets is None:
        return "–"
    return f"{'+' if octets > 0 else '−'} {abs(octets):,}"


def _certainty(identity: Identity, name: str) -> str:
    if name not in identity.bounds:
        return "not known, in the bounds of others" if identity.terms[name] is None else ""
    least, most = identity.bounds[name]
    if least == -most:
        return f"not known, up to {most:,} either way"
    return f"{'estimated' if name in identity.estimated else 'not known'}, {least:,} to {most:,}"


def _print_tunnels(answer: Answer, look: _Look, console: Console) -> None:
    console.print(Text.assemble(("inside the tunnels", "bold magenta"), "  is in the parts: not to be added"))
    table = _table("tunnel", look)
    for heading in ("in", "out", "total in", "total out", "overhead"):
        table.add_column(heading, justify="right", no_wrap=True)
    for tunnel in answer.tunnels:
        table.add_row(*_tunnel(tunnel, answer.seconds, look))
        for layer in tunnel.inside.layers[-1:]:
            if tunnel.inside.is_up or layer.octets:
                table.add_row(*_innermost(tunnel.inside, layer, answer.seconds, look))
    console.print(table)


def _tunnel(tunnel: Tunnel, seconds: float, look: _Look) -> Iterator[Text]:
    ways = [tunnel.ways[direction] for direction in (Direction.IN, Direction.OUT)]
    yield Text(f"  {'>' if look.plain else '↳'} {printable(tunnel.name)}", style="magenta")
    for way in ways:
        yield Text(look.rate(way.last.octets - way.last.bridged_octets, seconds), style="magenta")
    for way in ways:
        yield Text(look.total(way.total.octets), style="magenta")
    ratio = tunnel.overhead_ratio
    yield Text("–" if ratio is None else f"{ratio - 1:.1%}", style="magenta")


def _innermost(inside: Inside, layer: LayerWays, seconds: float, look: _Look) -> Iterator[Text]:
    """What is in the tunnel's GRE, L2TP or xfrm interface, below its row."""
    yield Text(f"      {layer.layer.value}", style="dim")
    for way in (Direction.IN, Direction.OUT):
        yield Text(look.rate(sum(link.last[way].octets for link in inside.links), seconds), style="dim")
    for way in (Direction.IN, Direction.OUT):
        yield Text(look.total(layer.ways[way].octets), style="dim")
    yield Text("–", style="dim")


def _table(heading: str, look: _Look) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(f"  {heading}", width=look.name_width, overflow="fold")
    return table


_MARKED = {
    How.ATTRIBUTED: " ~ attributed: divided by header copies, of which some are missing",
    How.DERIVED: " * derived: no rule saw it; by SAs and the interface's counter",
}
_WORDS = {
    "agree": "agree, to the octet",
    "explained": "differ, and it is explained:",
    "disagree": "disagree:",
}
