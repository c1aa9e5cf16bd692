"""One tunnel, by the counters of its SAs: rates, overhead, SAs, what was lost, and how sure that is."""

from __future__ import annotations

from ipsecmon.dashboards import line_parts, variables
from ipsecmon.dashboards.influxql import (
    DIRECTIONS,
    IN,
    INNER,
    OUT,
    WHOLE_RANGE,
    bits_per_s,
    chosen,
    over_time,
    per_tag,
    rows,
)
from ipsecmon.dashboards.layout import band, build_dashboard, heading
from ipsecmon.dashboards.look import IN_COLOUR, OUT_COLOUR, TROUBLE, Json, fixed, of_name, prop
from ipsecmon.dashboards.panels import (
    BITS_PER_S,
    OCTETS,
    SHARE,
    columns,
    curve,
    joined_by_time,
    ratio,
    side_by_side,
    stat,
    table,
    time_series,
    titled,
)

__all__ = ["UID", "build"]

UID = "ipsecmon-tunnel"
_TUNNEL = chosen("tunnel")
_PART = chosen("part", "tunnel")
_COUNT, _TIME = "short", "dateTimeAsIso"


def build() -> Json:
    return build_dashboard(
        UID,
        "ipsecmon: tunnel",
        "One tunnel, exact through rekeys: how much, how well, and how sure.",
        [variables.DATA_SOURCE, variables.ROUTER_VARIABLE, variables.LINE, variables.TUNNEL],
        [
            band(4, *_figures()),
            band(9, _rates(), _overhead(), widths=(15, 9)),
            band(8, _sas(), _rekeys(), _path_loss()),
            heading("Packets that were dropped, and how sure the totals are"),
            band(8, _failures(), _bounds()),
            heading("Layers and road warriors"),
            band(8, _layers(), _road_warriors()),
            heading("What happened to SAs"),
            band(9, _events()),
        ],
        since="now-6h",
    )


def _sum(field: str, alias: str, *where: str) -> Json:
    return curve(per_tag("tunnel", f'sum("{field}")', [_TUNNEL, INNER, *where]), alias)


def _figures() -> list[Json]:
    lost = [_sum("path_loss_packets", "lost", IN), _sum("packets", "received", IN)]
    return [
        stat("Inside, in", [_sum("octets", "in", IN)], OCTETS),
        stat("Inside, out", [_sum("octets", "out", OUT)], OCTETS),
        stat("SAs now", [curve(_newest("sas", "sum"), "SAs")], _COUNT),
        stat("Rekeys", [_sum("rekeys", "rekeys")], _COUNT),
        titled(
            stat("Lost on the path", lost, SHARE, red_above=0.01, empty="not known"),
            "Of all that was sent to us, by the numbers in ESP. Needs anti-replay.",
        )
        | {"transformations": [joined_by_time(), *_loss_share()]},
        stat(
            "Integrity failures", [_sum("integrity_failures", "failures")], _COUNT, red_above=1, empty="none"
        ),
        titled(
            stat("Error bound", [_sum("error_bound_octets", "bound")], OCTETS, red_above=1),
            "The totals are too low by so many octets at most: SAs ended without a last reading.",
        ),
        titled(
            stat("Idle for", [curve(_newest("unused_s", "min"), "unused")], "s", empty="never used"),
            "Seconds since a packet last passed, in either direction.",
        ),
    ]


def _loss_share() -> list[Json]:
    return [
        {
            "id": "calculateField",
            "options": {
                "mode": "reduceRow",
                "reduce": {"reducer": "sum", "include": ["lost", "received"]},
                "alias": "sent",
                "replaceFields": False,
            },
        },
        *ratio("lost", "sent", "share"),
    ]


def _newest(field: str, over_peers: str) -> str:
    """Of a level's newest values, one for each peer and direction: their sum, min or max."""
    newest = per_tag("tunnel", f'last("{field}") AS "{field}"', [_TUNNEL, INNER], ["peer", "direction"])
    return f'SELECT {over_peers}("{field}") FROM ({newest})'


def _level(field: str, way: str) -> str:
    """The sum of a level over all peers, in each bucket of time."""
    newest = over_time(
        "tunnel", f'last("{field}") AS "{field}"', [_TUNNEL, INNER, way], ["peer"], fill="none"
    )
    return f'SELECT sum("{field}") FROM ({newest}) WHERE {WHOLE_RANGE} GROUP BY time($__interval) fill(null)'


def _both_ways(title: str, field: str, expression: str, unit: str, bars: bool = True) -> Json:
    targets = [
        curve(over_time("tunnel", expression.format(field), [_TUNNEL, INNER, way]), name)
        for name, way in DIRECTIONS
    ]
    return time_series(title, targets, unit, _direction_colours(), bars=bars)


def _direction_colours() -> list[Json]:
    return [of_name("in", fixed(IN_COLOUR)), of_name("out", fixed(OUT_COLOUR))]


def _rates() -> Json:
    dashed = prop("custom.lineStyle", {"fill": "dash", "dash": [6, 5]})
    bare = prop("custom.fillOpacity", 0)
    targets = [
        *(
            curve(over_time("tunnel", bits_per_s(), [_TUNNEL, INNER, way]), f"inside, {name}")
            for name, way in DIRECTIONS
        ),
        *(
            curve(over_time("part", bits_per_s(), [line_parts.LINE, _PART, way]), f"on the line, {name}")
            for name, way in DIRECTIONS
        ),
    ]
    overrides = [
        of_name("inside, in", fixed(IN_COLOUR)),
        of_name("inside, out", fixed(OUT_COLOUR)),
        of_name("on the line, in", fixed(IN_COLOUR), dashed, bare),
        of_name("on the line, out", fixed(OUT_COLOUR), dashed, bare),
    ]
    return time_series("Rate inside (goodput) and on the line", targets, BITS_PER_S, overrides)


def _overhead() -> Json:
    targets = [
        curve(over_time(series, bits_per_s(), [*where, way]), f"{alias} {name}")
        for name, way in DIRECTIONS
        for series, where, alias in (
            ("part", (line_parts.LINE, _PART), "wire"),
            ("tunnel", (_TUNNEL, INNER), "inner"),
        )
    ]
    panel = time_series("Overhead of IPsec", targets, SHARE, _direction_colours())
    return titled(
        panel
        | {
            "transformations": [
                joined_by_time(),
                *ratio("wire in", "inner in", "in", less_one=True, keep=True),
                *ratio("wire out", "inner out", "out", less_one=True, keep=True),
                {"id": "filterFieldsByName", "options": {"include": {"names": ["Time", "in", "out"]}}},
            ]
        },
        "How many more octets the line carried than were inside; where the tunnel has a part of the line.",
    )


def _sas() -> Json:
    targets = [curve(_level("sas", way), name) for name, way in DIRECTIONS]
    return time_series("SAs alive", targets, _COUNT, _direction_colours(), more={"decimals": 0})


def _rekeys() -> Json:
    return _both_ways("Rekeys", "rekeys", 'sum("{}")', _COUNT)


def _path_loss() -> Json:
    query = over_time("tunnel", 'sum("path_loss_packets")', [_TUNNEL, INNER, IN])
    panel = time_series(
        "Lost on the path, packets",
        [curve(query, "lost")],
        _COUNT,
        [of_name("lost", fixed(TROUBLE))],
        bars=True,
    )
    return titled(panel, "Sent to us and never came, for certain, by the numbers in ESP.")


def _failures() -> Json:
    fields = {
        "integrity_failures": "failed their integrity check",
        "replayed_packets": "came twice",
        "late_packets": "came after the replay window",
    }
    targets = [
        curve(over_time("tunnel", f'sum("{field}")', [_TUNNEL, INNER]), alias)
        for field, alias in fields.items()
    ]
    return time_series("Dropped on receipt, packets", targets, _COUNT, bars=True)


def _bounds() -> Json:
    fields = {"error_bound_octets": "too low by at most", "bridged_octets": "passed while no agent ran"}
    targets = [
        curve(over_time("tunnel", f'sum("{field}")', [_TUNNEL, INNER]), alias)
        for field, alias in fields.items()
    ]
    return time_series("Octets of which not all is known", targets, OCTETS, bars=True)


def _layers() -> Json:
    targets = [
        columns(per_tag("layer", f'sum("octets") AS "octets {name}"', [_TUNNEL, way], ["layer"]))
        for name, way in DIRECTIONS
    ]
    shown = {"layer": "Layer", "octets in": "Octets in", "octets out": "Octets out"}
    panel = table("Layers", targets, OCTETS, shown, steps=side_by_side())
    return titled(panel, "The same packets at each step from the line inwards: never to be added up.")


def _road_warriors() -> Json:
    targets = [
        columns(
            per_tag(
                "road_warrior",
                f'sum("octets") AS "octets {name}", sum("packets") AS "packets {name}"',
                [_TUNNEL, way],
                ["warrior"],
            )
        )
        for name, way in DIRECTIONS
    ]
    shown = {
        "warrior": "Who",
        "octets in": "Octets in",
        "octets out": "Octets out",
        "packets in": "Packets in",
        "packets out": "Packets out",
    }
    count = prop("unit", _COUNT)
    return table(
        "Road warriors",
        targets,
        OCTETS,
        shown,
        [
            of_name("Packets in", count),
            of_name("Packets out", count),
            of_name("Who", prop("custom.width", 180)),
        ],
        side_by_side(),
        sort_by="octets in",
    )


def _events() -> Json:
    query = rows("event", ("direction", "kind", "text", "count"), [_TUNNEL], limit=200)
    shown = {"Time": "Time", "direction": "Direction", "kind": "Kind", "text": "What", "count": "How many"}
    widths = {"Time": 190, "Direction": 100, "Kind": 150, "How many": 110}
    overrides = [of_name(name, prop("custom.width", width)) for name, width in widths.items()]
    time = of_name("Time", prop("unit", _TIME))
    return table(
        "Events of this tunnel, the newest first", [columns(query)], _COUNT, shown, [*overrides, time]
    )
