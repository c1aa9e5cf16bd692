"""Tunnels in a report of a range: what their SAs carried, beside what rules counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from ipsecmon.cli.render import number, printable
from ipsecmon.cli.tunnel_json import describe_total
from ipsecmon.cli.tunnel_sums import sum_increments
from ipsecmon.model import UNNAMED, Direction, TunnelIncrement, TunnelKey

__all__ = ["describe_tunnels", "tunnel_section"]

_Totals = Sequence[TunnelIncrement]
_HEADINGS = {
    "octets in": (Direction.IN, "octets"),
    "octets out": (Direction.OUT, "octets"),
    "packets in": (Direction.IN, "packets"),
    "packets out": (Direction.OUT, "packets"),
    "unknown": (Direction.UNKNOWN, "octets"),
    "error bound": (None, "error_bound_octets"),
    "path loss": (None, "lost_packets"),
}
_ALWAYS = 4  # of these columns; one of the others where it is not 0 in every row


def describe_tunnels(totals: _Totals) -> list[dict[str, Any]]:
    """For JSON, a tunnel and direction each."""
    return [
        {"name": one.key.tunnel, "direction": one.key.direction.value, **describe_total(one)}
        for one in _by_direction(totals)
    ]


def tunnel_section(totals: _Totals) -> Table:
    """Both directions of a tunnel side by side. Not to be added to anything that rules counted."""
    ones = _by_direction(totals)
    names = sorted(dict.fromkeys(one.key.tunnel for one in ones), key=lambda name: name == UNNAMED)
    rows = {name: [_number(ones, name, *of) for of in _HEADINGS.values()] for name in names}
    shown = [at for at in range(len(_HEADINGS)) if at < _ALWAYS or any(row[at] for row in rows.values())]
    table = Table(title="tunnels, inside, by SA counters", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("tunnel")
    for at in shown:
        table.add_column(list(_HEADINGS)[at], justify="right")
    for name, row in rows.items():
        table.add_row(Text(printable(name)), *(number(row[at]) for at in shown))
    return table


def _by_direction(totals: _Totals) -> _Totals:
    found: dict[TunnelKey, list[TunnelIncrement]] = {}
    for one in totals:
        found.setdefault(one.key._replace(peer=""), []).append(one)
    return [sum_increments(key, ones) for key, ones in found.items()]


def _number(totals: _Totals, tunnel: str, direction: Direction | None, name: str) -> int:
    """direction: None is all."""
    return sum(
        getattr(one, name)
        for one in totals
        if one.key.tunnel == tunnel and direction in (None, one.key.direction)
    )
