"""What dashboards of a line's intervals and of its hours both show of its parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ipsecmon.dashboards import line_parts
from ipsecmon.dashboards.influxql import DIRECTIONS, SUM, per_tag
from ipsecmon.dashboards.look import CAPACITY, IN_COLOUR, OUT_COLOUR, VPN_COLOUR, Json, fixed, of_name
from ipsecmon.dashboards.panels import OCTETS, SHARE, curve, joined_by_time, ratio, stat, time_series

__all__ = ["PartQuery", "parts_of_line", "share_of_vpn", "shares_over_time", "totals", "used_of_line"]

_FULL = [(0.7, "orange"), (0.9, "red")]

PartQuery = Callable[[Sequence[str], Sequence[str]], str]
"""A query over time of parts of the line, of conditions and tags."""


def totals(measurement: str) -> list[Json]:
    """Of the VPN and of all else, both directions."""
    vpn = curve(per_tag(measurement, SUM, [line_parts.LINE, line_parts.VPN]), "VPN")
    other = curve(per_tag(measurement, SUM, [line_parts.LINE, line_parts.NOT_VPN]), "other")
    return [
        stat("VPN on the line", [vpn], OCTETS, [of_name("VPN", fixed(VPN_COLOUR))]),
        stat("All else", [other], OCTETS),
    ]


def share_of_vpn(measurement: str, name: str, way: str) -> Json:
    """In one direction, over the whole range."""
    targets = [
        curve(per_tag(measurement, SUM, [line_parts.LINE, way, line_parts.VPN]), "VPN"),
        curve(per_tag(measurement, SUM, [line_parts.LINE, way]), "line"),
    ]
    steps = [joined_by_time(), *ratio("VPN", "line", "share")]
    return stat(f"VPN's share, {name}", targets, SHARE) | {"transformations": steps}


def used_of_line(title: str, rate: str, limit: str, calculation: str) -> Json:
    """rate, limit: queries over time. calculation: of their ratio."""
    targets = [curve(rate, "rate"), curve(limit, CAPACITY)]
    panel = stat(title, targets, SHARE, steps=_FULL, empty="no capacity set", calculation=calculation)
    return panel | {"transformations": [joined_by_time(), *ratio("rate", CAPACITY, "used")]}


def parts_of_line(query: PartQuery, way: str) -> list[Json]:
    """VPN as one, each named clear part, and what is left."""
    where = [line_parts.LINE, way]
    return [
        curve(query([*where, line_parts.VPN], []), "VPN"),
        curve(query([*where, line_parts.CLEAR], ["part"]), "$tag_part"),
        curve(query([*where, line_parts.OTHER], []), "other"),
    ]


def shares_over_time(title: str, query: PartQuery) -> Json:
    """Of the VPN, in both directions."""
    targets = [
        curve(query([line_parts.LINE, way, *parts], []), alias)
        for name, way in DIRECTIONS
        for parts, alias in (((line_parts.VPN,), f"VPN {name}"), ((), f"line {name}"))
    ]
    colours = [of_name("in", fixed(IN_COLOUR)), of_name("out", fixed(OUT_COLOUR))]
    panel = time_series(title, targets, SHARE, colours, more={"max": 1})
    return panel | {
        "transformations": [
            joined_by_time(),
            *ratio("VPN in", "line in", "in", keep=True),
            *ratio("VPN out", "line out", "out", keep=True),
            {"id": "filterFieldsByName", "options": {"include": {"names": ["Time", "in", "out"]}}},
        ]
    }
