"""The line against its capacity, in parts: is it full, and is it the VPN or something else?"""

from __future__ import annotations

from collections.abc import Sequence

from ipsecmon.dashboards import line_parts, variables
from ipsecmon.dashboards.influxql import (
    DIRECTIONS,
    INNER,
    LIMIT,
    SUM,
    bits_per_s,
    is_tag,
    over_time,
    per_tag,
)
from ipsecmon.dashboards.layout import band, build_dashboard, heading
from ipsecmon.dashboards.line_panels import (
    parts_of_line,
    share_of_vpn,
    shares_over_time,
    totals,
    used_of_line,
)
from ipsecmon.dashboards.look import (
    CAPACITY,
    CLEAR_PARTS,
    VPN_COLOUR,
    VPN_PARTS,
    Json,
    fixed,
    limit_line,
    of_name,
    prop,
)
from ipsecmon.dashboards.panels import (
    BITS_PER_S,
    OCTETS,
    SHARE,
    bar_gauge,
    columns,
    curve,
    dash_for_nothing,
    joined_by,
    link_to,
    ratio,
    table,
    time_series,
    titled,
)

__all__ = ["UID", "build"]

UID = "ipsecmon-vpn"


def build() -> Json:
    return build_dashboard(
        UID,
        "ipsecmon: VPN versus other",
        "Is the line full, and is it the VPN or something else?",
        [
            variables.DATA_SOURCE,
            variables.ROUTER_VARIABLE,
            variables.LINE,
            variables.VPN,
        ],
        [
            band(4, *_figures()),
            band(11, *(_line(name, way) for name, way in DIRECTIONS)),
            band(8, shares_over_time("VPN's share of the line", _rates), _tunnel_table(), widths=(8, 16)),
            heading("The VPN on the line, by tunnel"),
            band(9, *(_vpn_parts(name, way) for name, way in DIRECTIONS)),
            heading("Most octets"),
            band(9, _vpn_by_octets(), _clear_by_octets(), _inner_by_octets()),
        ],
        since="now-6h",
    )


def _figures() -> list[Json]:
    return [
        *(_share_of_line(name, way) for name, way in DIRECTIONS),
        *(_line_used(name, way) for name, way in DIRECTIONS),
        *totals("part"),
    ]


def _share_of_line(name: str, way: str) -> Json:
    return titled(share_of_vpn("part", name, way), "Of all octets on the line, in the whole range of time.")


def _line_used(name: str, way: str) -> Json:
    """The mean of buckets: what has no data does not count as idle."""
    where = [line_parts.LINE, way]
    panel = used_of_line(
        f"Line used, {name}", _rates(where, []), over_time("line", LIMIT, where), calculation="mean"
    )
    return titled(panel, "The mean rate through the line's `capacity`.")


def _rates(where: Sequence[str], by: Sequence[str]) -> str:
    return over_time("part", bits_per_s(), where, by)


def _line(name: str, way: str) -> Json:
    targets = [
        *parts_of_line(_rates, way),
        curve(over_time("line", LIMIT, [line_parts.LINE, way], fill="none"), CAPACITY),
    ]
    colours = [*CLEAR_PARTS, of_name("VPN", fixed(VPN_COLOUR)), limit_line()]
    panel = time_series(f"Line {name}", targets, BITS_PER_S, colours, stacked=True)
    return titled(panel, "Disjoint parts, as IP packets on the line; outbound what was offered to the qdisc.")


def _tunnel_table() -> Json:
    """Of tunnels that have a part of their own on the line."""
    inner = 'sum("octets") AS "inner {}"'
    targets = [
        columns(query)
        for name, way in DIRECTIONS
        for query in (
            per_tag("tunnel", inner.format(name), [way, INNER], ["tunnel"]),
            per_tag(
                "part",
                f'sum("octets") AS "wire {name}"',
                [line_parts.LINE, way, line_parts.TUNNELS],
                ["part"],
            ),
        )
    ]
    named = {
        "id": "organize",
        "options": {"excludeByName": {"Time": True}, "renameByName": {"part": "tunnel"}},
    }
    shown = {
        "tunnel": "Tunnel",
        "inner in": "Inside, in",
        "wire in": "On the line, in",
        "overhead in": "Overhead, in",
        "inner out": "Inside, out",
        "wire out": "On the line, out",
        "overhead out": "Overhead, out",
    }
    share = (prop("unit", SHARE), dash_for_nothing())
    panel = table(
        "Tunnels: octets inside against octets on the line",
        targets,
        OCTETS,
        shown,
        [
            of_name("Overhead, in", *share),
            of_name("Overhead, out", *share),
            link_to("ipsecmon-tunnel", "tunnel", "Tunnel"),
        ],
        [
            named,
            joined_by("tunnel"),
            *ratio("wire in", "inner in", "overhead in", less_one=True, keep=True),
            *ratio("wire out", "inner out", "overhead out", less_one=True, keep=True),
        ],
        sort_by="inner in",
    )
    return titled(
        panel,
        "Inside by the counters of SAs. A tunnel without a part of its own on the line has no overhead here.",
    )


def _vpn_parts(name: str, way: str) -> Json:
    query = over_time("part", bits_per_s(), [line_parts.LINE, way, line_parts.VPN], ["part"])
    return time_series(f"VPN {name}", [curve(query, "$tag_part")], BITS_PER_S, VPN_PARTS, stacked=True)


def _vpn_by_octets() -> Json:
    query = per_tag("part", SUM, [line_parts.LINE, line_parts.VPN], ["part"])
    return bar_gauge("VPN on the line, both directions", [curve(query, "$tag_part")], OCTETS, VPN_PARTS)


def _clear_by_octets() -> Json:
    query = per_tag("part", SUM, [line_parts.LINE, line_parts.NOT_VPN], ["part"])
    return bar_gauge(
        "All else on the line, both directions", [curve(query, "$tag_part")], OCTETS, CLEAR_PARTS
    )


def _inner_by_octets() -> Json:
    where = [is_tag("observed_at", "inner"), '"counter" !~ /^inner$/']
    query = per_tag("counter", SUM, where, ["counter"])
    panel = bar_gauge("Inside IPsec, both directions", [curve(query, "$tag_counter")], OCTETS, VPN_PARTS)
    return titled(panel, "Named counters; a tunnel's counter holds those of its `inside_tunnel` too.")
