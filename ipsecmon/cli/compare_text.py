"""A comparison for people: a sentence each direction, then means with their certainty, peaks, and volumes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Optional

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ipsecmon.agent.compare import Comparison, Cover
from ipsecmon.agent.compare_rows import Kind, Surety
from ipsecmon.agent.compare_sides import Row, Side, Verdict
from ipsecmon.agent.marks import describe_event
from ipsecmon.cli.compare_windows import Windows
from ipsecmon.cli.compare_words import notes, rate_of, render_change, render_length, sentences, signed
from ipsecmon.cli.event_lines import event_line
from ipsecmon.cli.ranges import local_span
from ipsecmon.cli.render import printable, render_total
from ipsecmon.model import Direction
from ipsecmon.units import render_whole_rate

__all__ = ["print_comparison"]

_NAME_WIDTH = 18
_OTHERS_TOLD = 3
_STYLES = {Verdict.MORE: "green", Verdict.LESS: "magenta", Verdict.SAME: "dim", Verdict.UNKNOWN: "yellow"}
_ON_LINE = (Kind.LINE, Kind.VPN, Kind.OTHER, Kind.PART)
_MARKS = {Surety.COUNTED: "", Surety.SPREAD: "~", Surety.UNKNOWN: "?"}
_INDENTED = (Kind.PART,)
_QUEUES = {
    Direction.IN: "queues, in front of the rules: the line once more, and what dropped is in no row above",
    Direction.OUT: "queues, with link headers: the line once more",
}


class _Look(NamedTuple):
    in_bits: Optional[bool]

    def rate(self, bits_per_s: float) -> str:
        return rate_of(bits_per_s, self.in_bits)

    def total(self, octets: int) -> str:
        return render_total(octets, self.in_bits)


def print_comparison(
    found: Comparison, windows: Windows, console: Console, in_bits: Optional[bool] = None
) -> None:
    look = _Look(in_bits)
    _print_head(found, windows, console)
    if not any(_is_told(row) for row in found.rows):
        console.print("nothing is recorded in these ranges")
        return
    for line, _, sentence in sentences(found, in_bits):
        console.print()
        text = Text.assemble((f"{printable(line)}, ", "bold"), (sentence, ""))
        console.print(text)
    for line, way in dict.fromkeys(row.key[:2] for row in found.rows):
        rows = [row for row in found.rows if row.key[:2] == (line, way) and _is_told(row)]
        if rows:
            console.print()
            _print_way(found, line, way, rows, look, console)
    console.print()
    console.print(Text(_LEGEND, style="dim"))
    for note in notes(found):
        console.print(Text(note, style="yellow"))


def _print_head(found: Comparison, windows: Windows, console: Console) -> None:
    console.print(Text(f"{printable(found.router)}: before and after", style="bold"))
    if windows.event is not None:
        console.print(Text(event_line(describe_event(windows.event))))
    for name, cover in (("before", found.before), ("after", found.after)):
        console.print(Text.assemble((f"{name:<7}", "bold"), _covered(cover)))
    how = (
        "as they are"
        if found.slot_s is None
        else f"equal weekdays and times of day, by {render_length(found.slot_s)}"
    )
    console.print(Text(f"compared {how}; rates of {render_length(found.step_s)}", style="dim"))
    for other in windows.others[-_OTHERS_TOLD:]:
        console.print(Text(f"also in these ranges: {event_line(describe_event(other))}", style="yellow"))
    if len(windows.others) > _OTHERS_TOLD:
        more = len(windows.others) - _OTHERS_TOLD
        console.print(Text(f"and {more} events before: `ipsecmon events` lists them", style="yellow"))


def _covered(cover: Cover) -> str:
    known, compared = render_length(cover.known_s), render_length(cover.compared_s)
    return f"{local_span(cover.start_ns, cover.end_ns)}, known {known}, compared {compared}"


def _print_way(
    found: Comparison, line: str, way: Direction, rows: Sequence[Row], look: _Look, console: Console
) -> None:
    on_line = [row for row in rows if row.key.kind in _ON_LINE]
    if on_line:
        console.print(_heading(found, line, way))
        console.print(_means(on_line, look))
        idle = _idle(found, line, way)
        if idle:
            console.print(Padding(Text(f"nothing in {printable(idle)}", style="dim"), (0, 0, 0, 2)))
        console.print()
        console.print(_peaks(on_line, look))
        console.print()
        console.print(_volumes(on_line, look))
        dropped = _dropped(on_line[0])
        if dropped:
            console.print(Padding(Text(dropped), (0, 0, 0, 2)))
    queues = [row for row in rows if row.key.kind is Kind.QUEUE]
    if queues:
        console.print()
        console.print(Text(_QUEUES[way], style="bold"))
        console.print(_means(queues, look))
        console.print()
        console.print(_volumes(queues, look))
    inside = [row for row in rows if row.key.kind in (Kind.TUNNEL, Kind.INSIDE)]
    if inside:
        head = Text(f"{way.value}, inside the tunnels", style="bold magenta")
        console.print(head.append("  is in the line already: not to be added", style="dim"))
        console.print(_means(inside, look))
        if any(row.key.kind is Kind.TUNNEL and way is Direction.IN for row in inside):
            console.print()
            console.print(_volumes(inside, look))


def _heading(found: Comparison, line: str, way: Direction) -> Text:
    capacity = [one.bits_per_s for one in found.capacities if one[:2] == (line, way)]
    text = Text(f"{printable(line)} {way.value}", style="bold")
    if way is Direction.OUT:
        text.append(", as carried")
    if capacity:
        text.append(f"  of {render_whole_rate(capacity[0])}", style="dim")
    return text


def _means(rows: Sequence[Row], look: _Look) -> Table:
    has_shares = any(row.before.share is not None or row.after.share is not None for row in rows)
    table = _table("mean rate", "before", "after", "change", "95 % sure, in %", "so it is")
    if has_shares:
        table.add_column("share in %", justify="right", no_wrap=True)
    for row in rows:
        before, after = row.before.figures, row.after.figures
        cells = [
            _name(row),
            _figure(row.before, "mean", look),
            _figure(row.after, "mean", look),
            Text(render_change(before.mean, after.mean) if before and after else "–"),
            Text(_interval(row, look), style="dim"),
            _word(row),
        ]
        if has_shares:
            cells.append(Text("" if row.key.kind is Kind.LINE else _shares(row)))
        table.add_row(*cells)
    return table


def _peaks(rows: Sequence[Row], look: _Look) -> Table:
    headings = [f"{name} {side}" for name in ("p50", "p95", "max") for side in ("before", "after")]
    table = _table("peaks", *headings)
    table.padding = (0, 0, 0, 0)
    for row in rows:
        sides = [(side, name) for name in ("p50", "p95", "max") for side in (row.before, row.after)]
        table.add_row(_name(row), *(_figure(side, name, look) for side, name in sides))
    return table


def _volumes(rows: Sequence[Row], look: _Look) -> Table:
    """Columns that say nothing are left out."""
    sides = [side for row in rows for side in (row.before, row.after)]
    offered = any(side.offered_octets is not None for side in sides)
    missing = not offered and any(side.missing_packets is not None for side in sides)
    table = _table("in all", "before", "after")
    if offered:
        _add_columns(table, "offered before", "offered after", "dropped before", "dropped after")
    if missing:
        word = "lost on the path" if rows[0].key.kind in (Kind.TUNNEL, Kind.INSIDE) else "packets dropped"
        _add_columns(table, f"{word} before", "after")
    for row in rows:
        both = (row.before, row.after)
        cells = [Text(look.total(side.octets) if side.figures else "–") for side in both]
        if offered:
            cells += [_offered(side, look) for side in both] + [_lost(side) for side in both]
        if missing:
            cells += [_missing(side) for side in both]
        table.add_row(_name(row), *cells)
    return table


def _table(name: str, *headings: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(f"  {name}", width=_NAME_WIDTH, overflow="fold")
    _add_columns(table, *headings)
    return table


def _add_columns(table: Table, *headings: str) -> None:
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=heading not in _LONG)


def _name(row: Row) -> Text:
    mark = max(_MARKS[row.before.surety], _MARKS[row.after.surety])
    indent = "    " if row.key.kind in _INDENTED else "  "
    return Text(f"{indent}{printable(row.key.name)}{mark}", style="bold" if row.key.kind is Kind.LINE else "")


def _figure(side: Side, name: str, look: _Look) -> Text:
    return Text("–" if side.figures is None else look.rate(getattr(side.figures, name)))


def _interval(row: Row, look: _Look) -> str:
    """In % of the mean before; where that is nothing, as rates."""
    if row.mean.low is None or row.mean.high is None or row.before.figures is None:
        return "–"
    mean = row.before.figures.mean
    if mean <= 0:
        return f"{look.rate(row.mean.low)} to {look.rate(row.mean.high)}"
    low, high = (signed(100 * one / mean) for one in (row.mean.low, row.mean.high))
    return f"{low} to {high}"


def _word(row: Row) -> Text:
    if row.before.figures is None or row.after.figures is None:
        return Text("new" if row.before.figures is None else "gone", style="cyan")
    return Text(row.mean.verdict.value, style=_STYLES[row.mean.verdict])


def _shares(row: Row) -> str:
    before, after = (
        "–" if one is None else f"{one * 100:.1f}" for one in (row.before.share, row.after.share)
    )
    return f"{before} → {after}"


def _offered(side: Side, look: _Look) -> Text:
    return Text("–" if side.offered_octets is None else look.total(side.offered_octets))


def _lost(side: Side) -> Text:
    """Octets: of what was offered, what was not carried; the queue's drops are known better as packets."""
    if not side.offered_octets:
        return Text("–", style="dim")
    share = max(0.0, 1 - side.octets / side.offered_octets)
    return Text(f"{_MARKS[side.surety]}{share:.1%}", style="red" if share > 0.001 else "dim")


def _missing(side: Side) -> Text:
    if side.missing_packets is None:
        return Text("–", style="dim")
    share = f", {side.missing_share:.1%}" if side.missing_share else ""
    return Text(f"{side.missing_packets:,}{share}", style="red" if side.missing_packets else "dim")


def _dropped(line: Row) -> str:
    """In the line's own queue."""
    if line.before.missing_packets is None or line.after.missing_packets is None:
        return ""
    before, after = (_missing(side) for side in (line.before, line.after))
    return f"packets that the queue dropped: {before} before; {after} after"


def _is_told(row: Row) -> bool:
    return any(side.figures is not None and side.figures.max > 0 for side in (row.before, row.after))


def _idle(found: Comparison, line: str, way: Direction) -> str:
    names = (
        row.key.name
        for row in found.rows
        if row.key[:3] == (line, way, Kind.PART) and row.before.figures and not _is_told(row)
    )
    return ", ".join(names)


_LEGEND = (
    "each word stands for itself: of twenty rows without any difference, one may get another word;"
    " the sentences are corrected for that"
)
_LONG = ("lost on the path before", "packets dropped before", "offered before", "offered after")
