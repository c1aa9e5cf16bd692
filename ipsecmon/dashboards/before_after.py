"""Two windows of time: against a day or a week before, and around a change."""

from __future__ import annotations

from typing import NamedTuple

from ipsecmon.dashboards import line_parts, variables
from ipsecmon.dashboards.influxql import (
    DIRECTIONS,
    EVER,
    LIMIT,
    RANGE_MS,
    WHOLE_RANGE,
    bits_per_s,
    chosen,
    mean_bits_per_s,
    over_time,
    per_tag,
    rows,
)
from ipsecmon.dashboards.layout import band, build_dashboard, heading
from ipsecmon.dashboards.look import (
    CAPACITY,
    OTHER_BEFORE_COLOUR,
    OTHER_COLOUR,
    VPN_BEFORE_COLOUR,
    VPN_COLOUR,
    Json,
    before_line,
    fixed,
    limit_line,
    of_name,
    prop,
)
from ipsecmon.dashboards.panels import (
    BITS_PER_S,
    NOTHING,
    OCTETS,
    columns,
    curve,
    difference,
    side_by_side,
    stat,
    table,
    text,
    time_series,
    titled,
)
from ipsecmon.dashboards.series import CHANGE_KINDS

__all__ = ["UID", "build"]

UID = "ipsecmon-compare"
_SHIFT = chosen("shift")
_BASELINE_BUCKET = "5m"  # ipsecmon.store.BUCKET_S: with shorter ones most would be empty, and rates too high
_ON_LINE = chosen("line")


class _Window(NamedTuple):
    """name: above its column. condition: on time. length_ms: InfluxQL that gives a number."""

    name: str
    condition: str
    length_ms: str


class _Pair(NamedTuple):
    """Two windows of one length. what: said in titles."""

    before: _Window
    after: _Window
    what: str


_SHIFTED = _Pair(
    _Window("before", "time >= ${__from}ms - ${shift} AND time <= ${__to}ms - ${shift}", RANGE_MS),
    _Window("now", WHOLE_RANGE, RANGE_MS),
    "${shift:text} and now",
)
_AT, _SPAN = "0${event}ms", "${span}ms"  # 0: a query stays one where there is no change to choose
_AROUND = _Pair(
    _Window("before", f"time >= {_AT} - {_SPAN} AND time < {_AT}", "${span}"),
    _Window("after", f"time >= {_AT} AND time < {_AT} + {_SPAN}", "${span}"),
    "before and after the change",
)


def build() -> Json:
    return build_dashboard(
        UID,
        "ipsecmon: before and after",
        "What a change did to the VPN and to all else.",
        [
            variables.DATA_SOURCE,
            variables.ROUTER_VARIABLE,
            variables.LINE,
            variables.VPN,
            variables.SHIFT,
            variables.EVENT,
            variables.SPAN,
        ],
        [
            heading("This range of time, and the same ${shift:text}"),
            band(4, *_figures()),
            band(11, *(_curves(name, way) for name, way in DIRECTIONS)),
            band(9, *(_rates(_SHIFTED, name, way) for name, way in DIRECTIONS)),
            band(8, _drops_over_time(), _backlog_over_time()),
            band(6, _drops(_SHIFTED)),
            heading("Around a change"),
            band(8, _changes(), _explained(), widths=(17, 7)),
            band(9, *(_rates(_AROUND, name, way) for name, way in DIRECTIONS)),
            band(6, _drops(_AROUND)),
        ],
        since="now-24h",
    )


def _figures() -> list[Json]:
    """Of VPN and all else, each with both windows."""
    kinds = (("VPN", line_parts.VPN, VPN_COLOUR), ("All else", line_parts.NOT_VPN, OTHER_COLOUR))
    return [
        stat(
            f"{what}, {name}",
            [
                curve(_mean(window, [line_parts.LINE, way, parts]), window.name)
                for window in (_SHIFTED.before, _SHIFTED.after)
            ],
            BITS_PER_S,
            [of_name("now", fixed(colour))],
            empty=NOTHING,
            named=True,
        )
        for what, parts, colour in kinds
        for name, way in DIRECTIONS
    ]


def _mean(window: _Window, where: list[str], by: tuple[str, ...] = (), name: str = "mean") -> str:
    rate = mean_bits_per_s(range_ms=window.length_ms)
    return per_tag("part", f'{rate} AS "{name}"', where, by, window.condition)


def _curves(name: str, way: str) -> Json:
    """What is now and what was before, in the buckets that baselines have."""
    where = [line_parts.LINE, way]
    before = [*where, _SHIFT]
    rate = bits_per_s()
    targets = [
        curve(over_time("part", rate, [*where, line_parts.VPN]), "VPN"),
        curve(over_time("part", rate, [*where, line_parts.NOT_VPN]), "all else"),
        curve(over_time("baseline", rate, [*before, line_parts.VPN]), "VPN before"),
        curve(over_time("baseline", rate, [*before, line_parts.NOT_VPN]), "all else before"),
        curve(over_time("line", LIMIT, where, fill="none"), CAPACITY),
    ]
    colours = [
        of_name("VPN", fixed(VPN_COLOUR)),
        of_name("all else", fixed(OTHER_COLOUR)),
        before_line("VPN before", VPN_BEFORE_COLOUR),
        before_line("all else before", OTHER_BEFORE_COLOUR),
        limit_line(),
    ]
    panel = time_series(f"Line {name}, now and ${{shift:text}}", targets, BITS_PER_S, colours, stacked=True)
    return titled(
        panel | {"interval": _BASELINE_BUCKET},
        "Areas: now. Dashed: before, one on the other too, so the upper line is all of it. In buckets of five"
        " minutes or more. A shift has a fixed length: across a change of summer time it is an hour off.",
    )


def _rates(pair: _Pair, name: str, way: str) -> Json:
    targets = [
        columns(_mean(window, [line_parts.LINE, way], ("part",), window.name))
        for window in (pair.before, pair.after)
    ]
    before, after = pair.before.name, pair.after.name
    shown = {"part": "Part", before: before.capitalize(), after: after.capitalize(), "change": "Change"}
    return table(
        f"Mean rates {name}: {pair.what}",
        targets,
        BITS_PER_S,
        shown,
        steps=[*side_by_side(), difference(after, before, "change")],
        sort_by=after,
    )


def _qdisc_over_time(title: str, expression: str, unit: str, said: str) -> Json:
    """Not piled up: a parent's numbers hold its children's."""
    query = over_time("qdisc", expression, [_ON_LINE], ["interface", "direction", "kind", "handle"])
    name = "$tag_interface $tag_direction: $tag_kind $tag_handle"
    return titled(time_series(title, [curve(query, name)], unit), said)


def _drops_over_time() -> Json:
    return _qdisc_over_time(
        "Dropped by queueing disciplines, packets",
        'sum("drops")',
        "short",
        "In each bucket of time. A root's packets are those of the classes and queues below it, too.",
    )


def _backlog_over_time() -> Json:
    return _qdisc_over_time(
        "Backlog, octets at most",
        'max("backlog_octets")',
        OCTETS,
        "What waited at the end of an interval: a level, and the highest one in each bucket.",
    )


def _drops(pair: _Pair) -> Json:
    targets = [
        columns(
            per_tag(
                "qdisc",
                f'sum("drops") AS "drops {window.name}", sum("octets") AS "octets {window.name}", '
                f'max("backlog_octets") AS "backlog {window.name}"',
                [_ON_LINE],
                ["interface", "direction", "kind", "handle", "parent"],
                window.condition,
            )
        )
        for window in (pair.before, pair.after)
    ]
    names = [
        f"{what} {window.name}"
        for what in ("drops", "octets", "backlog")
        for window in (pair.before, pair.after)
    ]
    shown = {
        "interface": "Interface",
        "direction": "Direction",
        "kind": "Kind",
        "handle": "Handle",
        "parent": "Parent",
        **{one: one.capitalize() for one in names},
    }
    count = prop("unit", "short")
    overrides = [of_name(one.capitalize(), count) for one in names if one.startswith("drops")]
    title = f"Queueing disciplines: {pair.what}"
    return table(title, targets, OCTETS, shown, overrides, side_by_side())


def _changes() -> Json:
    kinds = f'"kind" =~ /^({"|".join(CHANGE_KINDS)})$/'
    query = rows("event", ("end_ms", "kind", "text"), [kinds], limit=100, window=EVER)
    kept = "&".join(f"${{{name}:queryparam}}" for name in ("datasource", "router", "line", "shift", "span"))
    url = f"/d/{UID}?{kept}&var-event=${{__value.raw}}&${{__url_time_range}}"
    link = prop("links", [{"title": "Compare before and after this", "url": url}])
    at = of_name(
        "Compare around",
        prop("unit", "dateTimeAsIso"),
        prop("custom.width", 190),
        prop("custom.align", "left"),
        link,
    )
    kind = of_name("Kind", prop("custom.width", 150))
    shown = {"end_ms": "Compare around", "kind": "Kind", "text": "What"}
    return table("Changes, the newest first: choose one", [columns(query)], "short", shown, [at, kind])


def _explained() -> Json:
    return text(
        "**Choose a change** by its time in the table, and how much time on each side of it is compared.\n\n"
        "The side after it counts as whole even if it is not over yet: then its rates are too low.\n\n"
        "Outbound rates are what was offered; what the qdisc dropped of it stands below.\n\n"
        "Whether a difference is more than chance, `ipsecmon compare` says."
    )
