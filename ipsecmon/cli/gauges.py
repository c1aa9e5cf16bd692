"""The picture of `ipsecmon top`: the line as a gauge with its last minute, and below it what it is made of.

Every bar is a share of the line's capacity in its direction, so that bars can be compared with each other;
where the config has no capacity, of the highest rate that the line had while we looked.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Optional

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from ipsecmon.cli.rates import Rate, capacity_of
from ipsecmon.cli.render import POINTS, number
from ipsecmon.config import Config, Line
from ipsecmon.model import CounterKey, Direction, ObservationPoint
from ipsecmon.units import render_rate, render_whole_rate

__all__ = ["HISTORY", "Gauges", "bar", "sparkline"]

HISTORY = 60  # rates kept of each direction: a minute
_WAYS = (Direction.IN, Direction.OUT)
_EIGHTHS = " ▏▎▍▌▋▊▉"
_HEIGHTS = "▁▂▃▄▅▆▇█"
_FULL, _BUSY = 0.9, 0.7  # of the capacity
_NAME_WIDTH = 24
_FIXED_WIDTH = 70  # of a table row without its two bars
_GAUGE_WIDTH = 62  # of a line's row without gauge and sparkline
_BESIDE = 7  # lines of the picture that are neither a gauge nor a row: title, blanks, heading, hints
_WIRE = ObservationPoint.WIRE


class Gauges:
    """Fed with rates, asked for pictures. plain: the terminal has only ASCII."""

    def __init__(self, config: Config, plain: bool = False) -> None:
        self._config = config
        self._plain = plain
        self._rates: Mapping[CounterKey, Rate] = {}
        self._past = {
            CounterKey(line.name, way, _WIRE): deque[float](maxlen=HISTORY)
            for line in config.lines
            for way in _WAYS
        }
        self._highest = dict.fromkeys(_WAYS, 0.0)

    def feed(self, found: Mapping[CounterKey, Rate]) -> None:
        """The newest rates; none while nothing is known."""
        self._rates = found
        for key, past in self._past.items():
            if key in found:
                past.append(found[key].bits_per_s)
                self._highest[key.direction] = max(self._highest[key.direction], found[key].bits_per_s)

    def picture(self, width: int, height: Optional[int] = None, notice: str = "") -> Group:
        """height: of the terminal, where what is too much for it is to be left out."""
        head = Text.assemble((self._config.router, "bold"), "  ", no_wrap=True, overflow="ellipsis")
        head.append(notice or "rates over the last second", style="bold yellow" if notice else "dim")
        lines = self._lines(width)
        room = None if height is None else height - lines.row_count - _BESIDE
        table, left_out = self._table(width, room)
        hints = [self._scale()]
        if any(rate.total.lost_packets for rate in self._rates.values()):
            hints.append("lost: header copies")
        if left_out:
            hints.append(f"{left_out} rows more: make the window taller")
        if height is not None:
            hints.append("q quits")
        blank = Text("")
        return Group(head, blank, lines, blank, table, blank, Text("  ".join(hints), style="dim"))

    def _scale(self) -> str:
        if capacity_of(self._config, Direction.IN) is not None:
            return "bars: share of the line's capacity"
        return "bars: share of the line's highest rate so far, as the config has no capacity"

    def _lines(self, width: int) -> Table:
        grid = Table.grid(padding=(0, 1))
        grid.add_column(no_wrap=True, max_width=_NAME_WIDTH)
        for _ in range(5):
            grid.add_column(no_wrap=True)
        room = max(20, width - _GAUGE_WIDTH)
        gauge_width, spark_width = min(40, room * 2 // 3), min(HISTORY, room // 3)
        for line in self._config.lines:
            for way in _WAYS:
                grid.add_row(*self._line_cells(line, way, gauge_width, spark_width))
        return grid

    def _line_cells(self, line: Line, way: Direction, gauge_width: int, spark_width: int) -> list[Text]:
        key = CounterKey(line.name, way, _WIRE)
        rate = self._rates.get(key)
        capacity = capacity_of(self._config, way, line.name)
        full = capacity or self._full(way)
        share = rate.bits_per_s / full if rate else 0.0
        title = Text(f"{line.name} ", style="bold") + Text(line.interface, style="dim")
        known = Text(f"{render_rate(rate.bits_per_s):>12}" if rate else "", style="bold")
        return [
            title if way is Direction.IN else Text(""),
            Text(way.value, style="dim"),
            bar(share, gauge_width, _colour(share) if capacity else "cyan", self._plain, track=True),
            Text(f"{share:6.1%}" if rate and capacity else "", style=_colour(share)),
            known + Text(f" of {render_whole_rate(capacity)}" if capacity else "", style="dim"),
            sparkline(self._past[key], full, spark_width, self._plain),
        ]

    def _full(self, way: Direction) -> float:
        return capacity_of(self._config, way) or self._highest[way] or 1.0

    def _table(self, width: int, room: Optional[int]) -> tuple[Table, int]:
        """As many rows as there is room for, and how many are left out."""
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
        table.add_column("counter", no_wrap=True, max_width=_NAME_WIDTH)
        bar_width = max(4, min(20, (width - _FIXED_WIDTH) // 2))
        loses = any(rate.total.lost_packets for rate in self._rates.values())
        for heading in ("in", "out"):
            table.add_column(heading, justify="right", no_wrap=True, min_width=12)
            table.add_column("", width=bar_width, no_wrap=True)
        for heading in ("packets/s", *(["lost"] if loses else [])):
            table.add_column(heading, justify="right", no_wrap=True)
        rows = [row for point in POINTS for row in self._rows(point, bar_width, loses)]
        fitting = len(rows) if room is None or len(rows) <= room else max(0, room)
        for row in rows[:fitting]:
            table.add_row(*row)
        return table, len(rows) - fitting

    def _rows(self, point: ObservationPoint, bar_width: int, loses: bool) -> Iterable[list[Text]]:
        lines = {line.name for line in self._config.lines}
        keys = [key for key in self._rates if key.observed_at is point]
        names = [name for name in dict.fromkeys(key.name for key in keys) if name not in lines]
        if names:
            yield [Text(POINTS[point], style="dim italic")]
        for name in names:
            yield self._cells(name, point, bar_width, loses)

    def _cells(self, name: str, point: ObservationPoint, bar_width: int, loses: bool) -> list[Text]:
        both = [self._rates.get(CounterKey(name, way, point)) for way in _WAYS]
        idle = not any(rate and rate.packets_per_s for rate in both)
        cells = [Text(f"  {name}", style="dim" if idle else "")]
        for way, rate in zip(_WAYS, both):
            bits = rate.bits_per_s if rate else 0.0
            cells.append(Text(render_rate(bits), style="" if bits else "dim"))
            share = bits / self._full(way) if point is not ObservationPoint.NIC else 0.0
            cells.append(bar(share, bar_width, _COLOURS.get(point, ""), self._plain))
        cells.append(number(round(sum(rate.packets_per_s for rate in both if rate))))
        if loses and point is not ObservationPoint.NIC:
            cells.append(number(sum(rate.total.lost_packets for rate in both if rate), style="red"))
        return cells


_COLOURS = {_WIRE: "cyan", ObservationPoint.INNER: "magenta"}


def bar(share: float, width: int, style: str, plain: bool = False, track: bool = False) -> Text:
    """A bar in eighths of a character; never nothing for something. track: the rest is drawn too."""
    eighths = min(width * 8, max(round(share * width * 8), 1 if share > 0 else 0))
    whole, rest = divmod(eighths, 8)
    drawn = "#" * -(-eighths // 8) if plain else "█" * whole + _EIGHTHS[rest].strip()
    text = Text(drawn, style=style)
    if track:
        text.append(("." if plain else "─") * (width - len(drawn)), style="bright_black")
    return text


def sparkline(past: Iterable[float], full: float, width: int, plain: bool = False) -> Text:
    """The newest rates, one character each; full is the highest character."""
    newest = list(past)[-width:] if width else []
    heights = " .:-=+*#" if plain else _HEIGHTS
    drawn = [heights[max(0, min(7, int(value / full * 8)))] for value in newest]
    return Text("".join(drawn), style="blue")


def _colour(share: float) -> str:
    if share >= _FULL:
        return "red"
    return "yellow" if share >= _BUSY else "green"
