"""Weeks and months, day by day, from sums of whole hours: what the line carried, and how full it was."""

from __future__ import annotations

from collections.abc import Sequence

from ipsecmon.dashboards import line_parts, months_vpn, variables
from ipsecmon.dashboards.influxql import (
    DIRECTIONS,
    LIMIT,
    SUM,
    chosen,
    of_hours_per_day,
    per_day,
    per_hour,
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
    IN_COLOUR,
    OUT_COLOUR,
    VPN_COLOUR,
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
    columns,
    curve,
    dash_for_nothing,
    joined_by_time,
    largest,
    ratio,
    side_by_side,
    table,
    time_series,
    titled,
    total,
)

__all__ = ["UID", "build"]

UID = "ipsecmon-months"
_RATE = 'sum("octets") * 8.0 / 3600'  # of an hour
_BUSIEST = 10
_CUT = (
    "Days of the time zone at the head, from whole UTC hours; the range of time cuts its first and last one."
)


def build() -> Json:
    return build_dashboard(
        UID,
        "ipsecmon: months",
        "What the line carried day by day, from sums of hours: for ranges of weeks and months.",
        [
            variables.DATA_SOURCE,
            variables.ROUTER_VARIABLE,
            variables.LINE,
            variables.INTERFACE,
            variables.VPN,
            variables.ZONE,
        ],
        [
            band(4, *_figures()),
            band(11, *(_line(name, way) for name, way in DIRECTIONS)),
            band(
                9,
                shares_over_time("VPN's share of the line, each day", _per_day),
                _parts_table(),
                widths=(10, 14),
            ),
            heading("How full the line was"),
            band(8, *(_hours_of_days(name, way) for name, way in DIRECTIONS)),
            band(11, *(_busiest_hours(name, way) for name, way in DIRECTIONS)),
            heading("The VPN"),
            *months_vpn.bands(),
            heading("Counters and interfaces"),
            band(9, _counters(), _interface(), widths=(14, 10)),
        ],
        since="now-90d",
        of_hours=True,
    )


def _figures() -> list[Json]:
    return [
        *(share_of_vpn("part_1h", name, way) for name, way in DIRECTIONS),
        *(_fullest(name, way) for name, way in DIRECTIONS),
        *totals("part_1h"),
    ]


def _fullest(name: str, way: str) -> Json:
    where = [line_parts.LINE, way]
    panel = used_of_line(
        f"Busiest hour, {name}", per_hour("part_1h", _RATE, where), per_hour("line_1h", LIMIT, where), "max"
    )
    return titled(panel, "Its mean rate through the line's `capacity`.")


def _per_day(where: Sequence[str], by: Sequence[str]) -> str:
    return per_day("part_1h", SUM, where, by)


def _line(name: str, way: str) -> Json:
    colours = [*CLEAR_PARTS, of_name("VPN", fixed(VPN_COLOUR))]
    panel = time_series(
        f"Line {name}, octets a day", parts_of_line(_per_day, way), OCTETS, colours, bars=True
    )
    return titled(panel, f"Disjoint parts; outbound what was offered to the qdisc. {_CUT}")


def _parts_table() -> Json:
    targets = [
        columns(per_tag("part_1h", f'{SUM} AS "octets {name}"', [line_parts.LINE, way], ["part"]))
        for name, way in DIRECTIONS
    ]
    shown = {"part": "Part", "octets in": "In", "octets out": "Out", "both": "Both"}
    steps = [*side_by_side(), total("octets in", "octets out", "both")]
    return table("Parts of the line, the whole range", targets, OCTETS, shown, steps=steps, sort_by="both")


def _hours_of_days(name: str, way: str) -> Json:
    rates = per_hour("part_1h", f'{_RATE} AS "rate"', [line_parts.LINE, way])
    targets = [
        curve(of_hours_per_day('max("rate")', rates), "busiest hour"),
        curve(of_hours_per_day('mean("rate")', rates), "mean"),
        curve(per_day("line_1h", LIMIT, [line_parts.LINE, way]), CAPACITY),
    ]
    colours = [of_name("busiest hour", fixed("orange")), of_name("mean", fixed("green")), limit_line()]
    panel = time_series(f"Line {name}: rates of each day's hours", targets, BITS_PER_S, colours)
    return titled(panel, "Mean rates of hours: within an hour the line may have been fuller, and idle.")


def _busiest_hours(name: str, way: str) -> Json:
    rate, limit = f'{_RATE} AS "rate"', f'{LIMIT} AS "{CAPACITY}"'
    where = [line_parts.LINE, way]
    targets = [columns(per_hour("part_1h", rate, where)), columns(per_hour("line_1h", limit, where))]
    steps = [joined_by_time(), *ratio("rate", CAPACITY, "used", keep=True), *largest("rate", _BUSIEST)]
    overrides = [
        of_name("Hour", prop("unit", "dateTimeAsIso"), prop("custom.align", "left")),
        of_name("Of capacity", prop("unit", SHARE), dash_for_nothing()),
    ]
    shown = {"Time": "Hour", "rate": "Mean rate", "used": "Of capacity"}
    panel = table(f"Busiest hours, {name}", targets, BITS_PER_S, shown, overrides, steps)
    return titled(
        panel, "By the mean over the hour; one in which the agent did not run all the time is too low."
    )


def _counters() -> Json:
    by = ("counter", "observed_at")
    targets = [
        columns(per_tag("counter_1h", f'{SUM} AS "octets {name}"', [way], by)) for name, way in DIRECTIONS
    ]
    shown = {"counter": "Counter", "observed_at": "Observed at", "octets in": "In", "octets out": "Out"}
    panel = table(
        "Counters, the whole range", targets, OCTETS, shown, steps=side_by_side(), sort_by="octets in"
    )
    return titled(panel, "A line's counter is the sum of its parts; `inner` is a drill-down of `wire`.")


def _interface() -> Json:
    targets = [
        curve(per_day("interface_1h", SUM, [chosen("interface"), way]), name) for name, way in DIRECTIONS
    ]
    colours = [of_name("in", fixed(IN_COLOUR)), of_name("out", fixed(OUT_COLOUR))]
    panel = time_series("Interface, octets a day", targets, OCTETS, colours, bars=True)
    return titled(panel, "As it counts itself: with link headers.")
