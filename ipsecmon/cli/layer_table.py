"""Layers inside tunnels and their road warriors: tables for people, and values for JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ipsecmon.cli.layer_sums import Inside, LayerWays, LinkWays, Passed
from ipsecmon.cli.render import number, printable, render_age
from ipsecmon.model import Direction, Layer
from ipsecmon.units import render_octets, render_rate

__all__ = ["describe_inside", "print_layers", "print_links"]

_IN, _OUT = Direction.IN, Direction.OUT
_NAME_WIDTH = 24
_WORDS = {
    Layer.ESP: "ESP on the line",
    Layer.GRE: "GRE",
    Layer.L2TP: "L2TP",
    Layer.XFRM: "XFRM",
    Layer.ETHERNET: "Ethernet in it",
    Layer.IP: "IP in it",
}


def print_layers(insides: Mapping[str, Inside], console: Console) -> None:
    """Of each tunnel that has any. The same packets are in each row."""
    for name, inside in insides.items():
        if inside.layers:
            console.print(Text(f"{printable(name)}, layer by layer", style="bold"))
            console.print(_layers(inside.layers))
            console.print()


def print_links(insides: Mapping[str, Inside], seconds: float, now_s: int, console: Console) -> None:
    """Who or what the innermost layer passed through."""
    for name, inside in insides.items():
        what = "road warriors" if inside.has_warriors else "interfaces"
        console.print(Text(f"{printable(name)}, {what}", style="bold"))
        if inside.links:
            console.print(_links(inside.links, what[:-1], seconds, now_s))
        else:
            console.print("  none was seen yet")
        console.print()


def describe_inside(inside: Inside, seconds: float) -> dict[str, Any]:
    """JSON values only."""
    links = [_describe_link(one, seconds) for one in inside.links]
    return {
        "layers": [_describe_layer(one) for one in inside.layers],
        "warriors": links if inside.has_warriors else [],
        "interfaces": [] if inside.has_warriors else links,
    }


def _layers(layers: Iterable[LayerWays]) -> Table:
    table = _table("layer", "total in", "total out", "packets in", "packets out", "adds")
    for one in layers:
        into, out = one.ways[_IN], one.ways[_OUT]
        ratio = one.overhead_ratio
        adds = Text("–", style="dim") if ratio is None else Text(f"{ratio - 1:+.1%}")
        octets = (Text(render_octets(way.octets), style="" if way.octets else "dim") for way in (into, out))
        table.add_row(f"  {_WORDS[one.layer]}", *octets, number(into.packets), number(out.packets), adds)
    return table


def _links(links: Iterable[LinkWays], heading: str, seconds: float, now_s: int) -> Table:
    table = _table(heading, "in", "out", "total in", "total out", "seen")
    for one in links:
        rates = (render_rate(_bits_per_s(one.last[way], seconds)) if seconds else "–" for way in (_IN, _OUT))
        octets = (render_octets(one.total[way].octets) for way in (_IN, _OUT))
        seen = "now" if one.is_up else f"{render_age(max(0, now_s - one.seen_ns // 10**9))} ago"
        style = "" if one.is_up else "dim"
        table.add_row(Text(f"  {printable(one.name)}"), *rates, *octets, seen, style=style)
    return table


def _table(first: str, *headings: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(f"  {first}", max_width=_NAME_WIDTH, overflow="fold")
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _describe_layer(one: LayerWays) -> dict[str, Any]:
    ratio = one.overhead_ratio
    return {
        "layer": one.layer.value,
        **{way.value: passed._asdict() for way, passed in one.ways.items()},
        "overhead_ratio": None if ratio is None else round(ratio, 4),
    }


def _describe_link(one: LinkWays, seconds: float) -> dict[str, Any]:
    return {
        "name": one.name,
        "is_up": one.is_up,
        **{
            way.value: {
                **one.total[way]._asdict(),
                "bits_per_s": round(_bits_per_s(one.last[way], seconds), 1) if seconds else None,
            }
            for way in (_IN, _OUT)
        },
    }


def _bits_per_s(passed: Passed, seconds: float) -> float:
    return passed.octets * 8 / seconds
