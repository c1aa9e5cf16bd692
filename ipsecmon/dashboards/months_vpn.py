"""Of the dashboard of months, the VPN: its parts of the line, and its tunnels."""

from __future__ import annotations

from ipsecmon.dashboards import line_parts
from ipsecmon.dashboards.influxql import DIRECTIONS, IN, INNER, OUT, SUM, per_day, per_tag
from ipsecmon.dashboards.layout import Band, band
from ipsecmon.dashboards.look import TROUBLE, VPN_PARTS, Json, fixed, of_name, prop
from ipsecmon.dashboards.panels import (
    OCTETS,
    SHARE,
    columns,
    curve,
    dash_for_nothing,
    link_to,
    ratio,
    side_by_side,
    table,
    time_series,
    titled,
)

__all__ = ["bands"]

_COUNT = "short"


def bands() -> list[Band]:
    return [
        band(11, *(_vpn_parts(name, way) for name, way in DIRECTIONS)),
        band(8, _inside(), _rekeys(), _path_loss()),
        band(5, _tunnels()),
    ]


def _vpn_parts(name: str, way: str) -> Json:
    query = per_day("part_1h", SUM, [line_parts.LINE, way, line_parts.VPN], ["part"])
    title = f"VPN {name} on the line, octets a day"
    return time_series(title, [curve(query, "$tag_part")], OCTETS, VPN_PARTS, bars=True)


def _inside() -> Json:
    query = per_day("tunnel_1h", SUM, [INNER], ["tunnel"])
    panel = time_series(
        "Inside tunnels, octets a day", [curve(query, "$tag_tunnel")], OCTETS, VPN_PARTS, bars=True
    )
    return titled(panel, "Both directions, by the counters of SAs.")


def _rekeys() -> Json:
    query = per_day("tunnel_1h", 'sum("rekeys")', [INNER], ["tunnel"])
    return time_series("Rekeys a day", [curve(query, "$tag_tunnel")], _COUNT, VPN_PARTS, bars=True)


def _path_loss() -> Json:
    query = per_day("tunnel_1h", 'sum("path_loss_packets")', [INNER, IN], ["tunnel"])
    panel = time_series(
        "Lost on the path, packets a day", [curve(query, "$tag_tunnel")], _COUNT, VPN_PARTS, bars=True
    )
    return titled(panel, "Sent to us and never came, for certain, by the numbers in ESP.")


def _tunnels() -> Json:
    inbound = (
        'sum("octets") AS "octets in", sum("packets") AS "packets in", '
        'sum("path_loss_packets") AS "lost", sum("integrity_failures") AS "broken"'
    )
    targets = [
        columns(per_tag("tunnel_1h", inbound, [INNER, IN], ["tunnel"])),
        columns(per_tag("tunnel_1h", f'{SUM} AS "octets out"', [INNER, OUT], ["tunnel"])),
        columns(per_tag("tunnel_1h", 'sum("rekeys") AS "rekeys"', [INNER], ["tunnel"])),
    ]
    shown = {
        "tunnel": "Tunnel",
        "octets in": "Inside, in",
        "octets out": "Inside, out",
        "rekeys": "Rekeys",
        "lost": "Packets lost",
        "lost share": "Lost, of packets in",
        "broken": "Integrity failures",
    }
    count = prop("unit", _COUNT)
    overrides = [
        *(of_name(name, count) for name in ("Rekeys", "Packets lost", "Integrity failures")),
        of_name("Packets lost", fixed(TROUBLE)),
        of_name("Lost, of packets in", prop("unit", SHARE), prop("decimals", 3), dash_for_nothing()),
        link_to("ipsecmon-tunnel", "tunnel", "Tunnel", keeps_time=False),
    ]
    steps = [*side_by_side(), *ratio("lost", "packets in", "lost share", keep=True)]
    return table("Tunnels, the whole range", targets, OCTETS, shown, overrides, steps, sort_by="octets in")
