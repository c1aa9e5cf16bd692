"""Panels of classic dashboards: time series, stat, bar gauge, table, text, row. Grafana 9.2 has all of it.

A panel is what Grafana's JSON says, without id and place: those come from layout.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Optional

from ipsecmon.dashboards.look import Json, of_name, prop

__all__ = [
    "BITS_PER_S",
    "NOTHING",
    "OCTETS",
    "SHARE",
    "SOURCE",
    "bar_gauge",
    "columns",
    "curve",
    "dash_for_nothing",
    "difference",
    "joined_by",
    "joined_by_time",
    "largest",
    "link_to",
    "ratio",
    "side_by_side",
    "stat",
    "table",
    "text",
    "time_series",
    "titled",
    "total",
]

SOURCE: Json = {"type": "influxdb", "uid": "${datasource}"}
BITS_PER_S, OCTETS, SHARE = "bps", "decbytes", "percentunit"
NOTHING = "nothing counted here"


def curve(query: str, alias: str) -> Json:
    """A query that draws; alias: of each curve, such as $tag_part."""
    return {"query": query, "alias": alias, "resultFormat": "time_series"}


def columns(query: str) -> Json:
    """A query that fills a table: time, tags, values."""
    return {"query": query, "resultFormat": "table"}


def titled(panel: Json, description: str) -> Json:
    return {**panel, "description": description}


def time_series(
    title: str,
    targets: Sequence[Json],
    unit: str,
    overrides: Sequence[Json] = (),
    stacked: bool = False,
    bars: bool = False,
    more: Optional[Mapping[str, object]] = None,
) -> Json:
    custom = {
        "drawStyle": "bars" if bars else "line",
        "lineInterpolation": "stepAfter" if not bars else "linear",
        "lineWidth": 1,
        "fillOpacity": 60 if stacked or bars else 8,
        "gradientMode": "none",
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"mode": "normal" if stacked or bars else "none", "group": "A"},
        **({"barAlignment": 1} if bars else {}),  # a bar begins where its time does
    }
    defaults = {"unit": unit, "min": 0, "noValue": NOTHING, "custom": custom, **(more or {})}
    options = {
        "legend": {
            "displayMode": "table",
            "placement": "bottom",
            "showLegend": True,
            "calcs": ["sum"] if bars else ["mean", "max"],
        },
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return _panel("timeseries", title, targets, defaults, overrides, options)


def stat(
    title: str,
    targets: Sequence[Json],
    unit: str,
    overrides: Sequence[Json] = (),
    red_above: Optional[float] = None,
    steps: Sequence[tuple[float, str]] = (),
    empty: str = "none",
    named: bool = False,
    calculation: str = "lastNotNull",
) -> Json:
    """red_above: the least value that is trouble. steps: (from, colour). named: each value with its name."""
    levels = [(red_above, "red")] if red_above is not None else list(steps)
    thresholds = {
        "mode": "absolute",
        "steps": [
            {"color": "text" if not levels else "green", "value": None},
            *({"color": colour, "value": start} for start, colour in levels),
        ],
    }
    defaults = {"unit": unit, "noValue": empty, "color": {"mode": "thresholds"}, "thresholds": thresholds}
    options = {
        "reduceOptions": {"calcs": [calculation], "fields": "", "values": False},
        "orientation": "auto",
        "textMode": "value_and_name" if named else "auto",
        "colorMode": "value",
        "graphMode": "none",
        "justifyMode": "auto",
        "text": {"titleSize": 14, "valueSize": 32},
    }
    return _panel("stat", title, targets, defaults, overrides, options)


def bar_gauge(title: str, targets: Sequence[Json], unit: str, overrides: Sequence[Json] = ()) -> Json:
    defaults = {
        "unit": unit,
        "min": 0,
        "noValue": NOTHING,
        "color": {"mode": "fixed", "fixedColor": "green"},
        "thresholds": {"mode": "absolute", "steps": [{"color": "green", "value": None}]},
    }
    options = {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "orientation": "horizontal",
        "displayMode": "basic",
        "showUnfilled": True,
        "minVizHeight": 10,
        "minVizWidth": 0,
        "text": {"titleSize": 14, "valueSize": 14},
    }
    return _panel("bargauge", title, targets, defaults, overrides, options)


def table(
    title: str,
    targets: Sequence[Json],
    unit: str,
    names: Mapping[str, str],
    overrides: Sequence[Json] = (),
    steps: Sequence[Json] = (),
    sort_by: str = "",
) -> Json:
    """names: the columns in their order, and what is written above each; others are left out.

    steps: transformations between the targets' rows and these columns. sort_by: of names, the largest first.
    """
    defaults = {"unit": unit, "noValue": "–", "custom": {"align": "auto", "minWidth": 70}}
    panel = _panel("table", title, targets, defaults, overrides, {"showHeader": True})
    sort = [{"id": "sortBy", "options": {"sort": [{"field": sort_by, "desc": True}]}}] if sort_by else []
    panel["transformations"] = [*steps, *sort, _only(names), _arranged(names)]
    return panel


def text(content: str) -> Json:
    return {
        "type": "text",
        "title": "",
        "transparent": True,
        "options": {"mode": "markdown", "content": content},
    }


def side_by_side() -> list[Json]:
    """Rows of several targets become one where all columns that they share are the same, but for the time."""
    without_time: Json = {"id": "filterFieldsByName", "options": {"exclude": {"names": ["Time"]}}}
    return [without_time, {"id": "merge", "options": {}}]


def ratio(of: str, to: str, name: str, less_one: bool = False, keep: bool = False) -> list[Json]:
    """Two curves or columns become one, the first through the second; with less_one, how much more it is."""
    divided = name if not less_one else f"{of} / {to}"
    steps = [_calculated(of, "/", to, divided, replaces=not keep and not less_one)]
    if less_one:
        steps.append(_calculated(divided, "-", "1", name, replaces=not keep))
    return steps


def total(of: str, other: str, name: str) -> Json:
    return _calculated(of, "+", other, name, replaces=False)


def largest(column: str, rows: int) -> list[Json]:
    """Only so many rows, by what is in the column."""
    sort: Json = {"id": "sortBy", "options": {"sort": [{"field": column, "desc": True}]}}
    return [sort, {"id": "limit", "options": {"limitField": rows}}]


def difference(of: str, less: str, name: str) -> Json:
    return _calculated(of, "-", less, name, replaces=False)


def dash_for_nothing() -> Json:
    """What a quotient is where one of its two numbers is not there."""
    return prop("mappings", [{"type": "special", "options": {"match": "null+nan", "result": {"text": "–"}}}])


def link_to(uid: str, variable: str, column: str, keeps_time: bool = True) -> Json:
    """A cell of the column leads to another dashboard, with the cell's value in its variable."""
    kept = "${datasource:queryparam}&${router:queryparam}&${line:queryparam}"
    time = "&${__url_time_range}" if keeps_time else ""
    url = f"/d/{uid}?{kept}&var-{variable}=${{__value.text}}{time}"
    return of_name(column, prop("links", [{"title": f"{variable} ${{__value.text}}", "url": url}]))


def joined_by(column: str) -> Json:
    """Rows of several targets become one where this column, by what is written above it, is the same."""
    return {"id": "joinByField", "options": {"byField": column, "mode": "outer"}}


def joined_by_time() -> Json:
    return joined_by("Time")


def _panel(
    kind: str,
    title: str,
    targets: Sequence[Json],
    defaults: Json,
    overrides: Sequence[Json],
    options: Json,
) -> Json:
    return {
        "type": kind,
        "title": title,
        "datasource": SOURCE,
        "targets": [
            {"refId": chr(ord("A") + index), "datasource": SOURCE, "rawQuery": True, **target}
            for index, target in enumerate(targets)
        ],
        "fieldConfig": {"defaults": defaults, "overrides": list(overrides)},
        "options": options,
    }


def _only(names: Mapping[str, str]) -> Json:
    return {"id": "filterFieldsByName", "options": {"include": {"names": list(names)}}}


def _arranged(names: Mapping[str, str]) -> Json:
    """The order of tags is by chance in what Grafana makes of InfluxQL."""
    order = {name: index for index, name in enumerate(names)}
    renamed = {name: shown for name, shown in names.items() if name != shown}
    return {
        "id": "organize",
        "options": {"excludeByName": {}, "indexByName": order, "renameByName": renamed},
    }


def _calculated(left: str, operator: str, right: str, name: str, replaces: bool) -> Json:
    return {
        "id": "calculateField",
        "options": {
            "mode": "binary",
            "binary": {"left": left, "operator": operator, "right": right, "reducer": "sum"},
            "alias": name,
            "replaceFields": replaces,
        },
    }
