"""Where panels stand, and what a dashboard has besides them: variables, annotations, links."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ipsecmon.dashboards.influxql import rows
from ipsecmon.dashboards.look import Json
from ipsecmon.dashboards.panels import SOURCE
from ipsecmon.dashboards.series import CHANGE_KINDS

__all__ = ["Band", "band", "build_dashboard", "heading"]

COLUMNS = 24  # of Grafana's grid
TAG = "ipsecmon"
TAG_OF_HOURS = "ipsecmon-hours"
_SCHEMA_VERSION = 37  # Grafana 9.2's; newer ones migrate it
_TROUBLE_KINDS = ("sa-flush", "sa-end-unseen", "sa-events-missed", "rules-repaired")


class Band(NamedTuple):
    """Panels beside each other, of one height, each with its width."""

    height: int
    panels: Sequence[tuple[int, Json]]


def band(height: int, *panels: Json, widths: Sequence[int] = ()) -> Band:
    """Panels of equal widths, if none are given."""
    shares = widths or [COLUMNS // len(panels)] * len(panels)
    return Band(height, [(width, panel) for width, panel in zip(shares, panels)])


def heading(title: str) -> Band:
    return band(1, {"type": "row", "title": title, "collapsed": False, "panels": []})


def build_dashboard(
    uid: str,
    title: str,
    description: str,
    variables: Sequence[Json],
    bands: Sequence[Band],
    since: str,
    of_hours: bool = False,
) -> Json:
    """since: where the range of time begins, such as now-6h. of_hours: it reads sums of hours, for months."""
    return {
        "uid": uid,
        "title": title,
        "description": description,
        "tags": [TAG_OF_HOURS if of_hours else TAG],
        "schemaVersion": _SCHEMA_VERSION,
        "editable": True,
        "graphTooltip": 1,
        "time": {"from": since, "to": "now"},
        "timepicker": {},
        "timezone": "",
        "refresh": "1h" if of_hours else "1m",
        "templating": {"list": list(variables)},
        "annotations": {"list": _annotations()},
        "links": _links(of_hours),
        "panels": _placed(bands),
    }


def _placed(bands: Sequence[Band]) -> list[Json]:
    placed: list[Json] = []
    top = 0
    for one in bands:
        left = 0
        for width, panel in one.panels:
            place = {"h": one.height, "w": width, "x": left, "y": top}
            placed.append({"id": len(placed) + 1, **panel, "gridPos": place})
            left += width
        top += one.height
    return placed


def _annotations() -> list[Json]:
    changes, trouble = "|".join(CHANGE_KINDS), "|".join(_TROUBLE_KINDS)
    return [
        _annotation("Changes", "purple", f'"kind" =~ /^({changes})$/'),
        _annotation("Doubt about numbers", "red", f'"kind" =~ /^({trouble})$/'),
        _annotation("SAs", "blue", f'"kind" !~ /^({changes}|{trouble})$/', shown=False),
    ]


def _annotation(name: str, colour: str, condition: str, shown: bool = True) -> Json:
    return {
        "name": name,
        "datasource": SOURCE,
        "enable": shown,
        "hide": False,
        "iconColor": colour,
        "query": rows("event", ("text", "kind", "tunnel", "interface", "end_ms"), [condition]),
        "fromAnnotations": True,
        "textColumn": "text",
        "tagsColumn": "kind,tunnel,interface",
        "timeEndColumn": "end_ms",
    }


def _links(of_hours: bool) -> list[Json]:
    """To the others, with the variables; with the range of time only where both read points of one length.

    A query for each interval of months reads too much, and hours say nothing about minutes.
    """
    return [_link(TAG, keeps_time=not of_hours), _link(TAG_OF_HOURS, keeps_time=of_hours)]


def _link(tag: str, keeps_time: bool) -> Json:
    return {
        "type": "dashboards",
        "tags": [tag],
        "title": tag,
        "tooltip": "",
        "icon": "external link",
        "url": "",
        "asDropdown": False,
        "includeVars": True,
        "keepTime": keeps_time,
        "targetBlank": False,
    }
