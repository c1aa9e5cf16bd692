"""The live table of `ipsecmon run` on a terminal."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Collection, Iterable, Mapping
from typing import Optional

from rich import box
from rich.console import Console
from rich.live import Live
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from ipsecmon.agent.control import Totals
from ipsecmon.cli.rates import Rate, rates
from ipsecmon.cli.render import POINTS, number
from ipsecmon.cli.streams import forget_if_gone
from ipsecmon.config import Config
from ipsecmon.model import CounterKey, Direction, Increment, ObservationPoint
from ipsecmon.units import render_octets, render_rate

__all__ = ["LiveTable", "table_of"]

_HEADINGS = ("in", "total in", "out", "total out", "packets", "copies", "lost")
_LEFT_OUT = (  # the first of these that leaves room
    (),
    ("packets",),
    ("packets", "copies"),
    ("packets", "copies", "total in", "total out"),
)
_ANY_WIDTH = 1000  # columns of a terminal: more than the table ever wants


class LiveTable:
    """Redrawn at each look; rates are between two looks."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._before: Optional[Totals] = None
        self._live = Live(console=Console(), auto_refresh=False, transient=False)

    def show(self, look: Totals) -> None:
        with contextlib.suppress(OSError):  # of a terminal that has gone: a hangup tells
            self._live.start()  # at the first look: an agent that cannot start leaves the terminal as it is
            self._live.update(self._fitting(look), refresh=True)
        self._before = look

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._live.stop()
        forget_if_gone(sys.stdout)

    def _fitting(self, look: Totals) -> Table:
        """With as many columns as have room: half a number is worse than none."""
        console = self._live.console
        wide = console.options.update_width(_ANY_WIDTH)
        for left_out in _LEFT_OUT:
            table = table_of(self._config, look, self._before, left_out)
            if Measurement.get(console, wide, table).maximum <= console.width:
                break
        return table


def table_of(config: Config, look: Totals, before: Optional[Totals], left_out: Collection[str] = ()) -> Table:
    """One row a counter and observation point, both directions side by side. left_out: headings."""
    now = look.by_key
    passing = rates(before, look) if before else {}
    lines = ", ".join(f"{line.name} ({line.interface})" for line in config.lines)
    table = Table(
        title=Text(f"{config.router}: {lines}"),
        caption="octets by kernel counters since the start; copies: packets seen by NFLOG, and lost",
        box=box.SIMPLE_HEAD,
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("counter", no_wrap=True)
    for heading in _HEADINGS:
        if heading not in left_out:
            table.add_column(heading, justify="right", no_wrap=True)
    names = {line.name for line in config.lines}
    for point in POINTS:
        keys = _named(now, point)
        if keys:
            table.add_row(Text(POINTS[point], style="dim italic"))
        for name in sorted(keys, key=lambda one: one not in names):
            first, *rest = _cells(name, point, now, passing, is_line=name in names)
            shown = [cell for cell, heading in zip(rest, _HEADINGS) if heading not in left_out]
            table.add_row(first, *shown)
        if keys:
            table.add_section()
    return table


def _named(totals: Iterable[CounterKey], point: ObservationPoint) -> list[str]:
    return list(dict.fromkeys(key.name for key in totals if key.observed_at is point))


def _cells(
    name: str,
    point: ObservationPoint,
    now: Mapping[CounterKey, Increment],
    passing: Mapping[CounterKey, Rate],
    is_line: bool,
) -> list[Text]:
    style = "bold" if is_line else ""
    cells = [Text(f"  {name}", style=style)]
    both = [now.get(key, Increment(key, 0, 0)) for key in _both_ways(name, point)]
    for total in both:
        rate = passing.get(total.key)
        text = render_rate(rate.bits_per_s) if rate else ""
        cells.append(Text(text, style=style if rate and rate.bits_per_s else "dim"))
        cells.append(Text(render_octets(total.octets), style=style if total.octets else "dim"))
    cells.append(number(sum(total.packets for total in both)))
    if point is not ObservationPoint.NIC:
        cells.append(number(sum(total.nflog_packets for total in both)))
        cells.append(number(sum(total.lost_packets for total in both), style="red"))
    return cells


def _both_ways(name: str, point: ObservationPoint) -> list[CounterKey]:
    return [CounterKey(name, way, point) for way in (Direction.IN, Direction.OUT)]
