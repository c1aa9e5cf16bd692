"""The variables at the head of dashboards."""

from __future__ import annotations

from collections.abc import Sequence

from ipsecmon.dashboards.influxql import ROUTER, tag_values
from ipsecmon.dashboards.look import Json
from ipsecmon.dashboards.panels import SOURCE
from ipsecmon.dashboards.series import CHANGE_KINDS

__all__ = [
    "DATA_SOURCE",
    "EVENT",
    "INTERFACE",
    "LINE",
    "ROUTER_VARIABLE",
    "SHIFT",
    "SPAN",
    "TUNNEL",
    "VPN",
    "ZONE",
]


def _asked(name: str, label: str, query: str, several: bool = False, hidden: bool = False) -> Json:
    """Of what is in the database; several: any number of them, and all at first."""
    return {
        **({"current": {"text": ["All"], "value": ["$__all"]}} if several else {}),
        "type": "query",
        "name": name,
        "label": label,
        "datasource": SOURCE,
        "query": query,
        "definition": query,
        "refresh": 2,  # when the range of time changes: names come and go
        "sort": 0 if "ORDER BY" in query else 1,
        "regex": "",
        "multi": several,
        "includeAll": several,
        "options": [],
        "hide": 2 if hidden else 0,
    }


def _offered(name: str, label: str, choices: Sequence[tuple[str, str]]) -> Json:
    """choices: what is shown and what it means, the first one at first."""
    options = [
        {"text": shown, "value": value, "selected": index == 0}
        for index, (shown, value) in enumerate(choices)
    ]
    return {
        "type": "custom",
        "name": name,
        "label": label,
        "query": ", ".join(f"{shown} : {value}" for shown, value in choices),
        "current": options[0],
        "options": options,
        "multi": False,
        "includeAll": False,
        "hide": 0,
    }


def _written(name: str, label: str, content: str) -> Json:
    """A text that the reader may change. content: at first."""
    option = {"text": content, "value": content, "selected": True}
    return {
        "type": "textbox",
        "name": name,
        "label": label,
        "query": content,
        "current": option,
        "options": [option],
        "hide": 0,
    }


DATA_SOURCE: Json = {
    "type": "datasource",
    "name": "datasource",
    "label": "Data source",
    "query": "influxdb",
    "regex": "",
    "options": [],
    "refresh": 1,
    "multi": False,
    "includeAll": False,
    "hide": 0,
}
ROUTER_VARIABLE = _asked("router", "Router", tag_values("counter", "router", ()))
LINE = _asked("line", "Line", tag_values("part", "line"))
INTERFACE = _asked("interface", "Interface", tag_values("interface", "interface"))
TUNNEL = _asked("tunnel", "Tunnel", tag_values("tunnel", "tunnel"))
VPN = _asked("vpn", "Tunnels", tag_values("tunnel", "tunnel"), several=True, hidden=True)
"""All tunnels' names: the parts of the line that have one of them are VPN."""
SHIFT = _offered("shift", "Compared with", [("a day before", "1d"), ("7 days before", "7d")])
ZONE = _written("zone", "Days of time zone", "UTC")
"""A name of the tz database, which the server must have; it has UTC without one."""
_HOUR_MS = 3_600_000
SPAN = _offered(
    "span",
    "Each side of the change",
    [
        ("1 hour", str(_HOUR_MS)),
        ("6 hours", str(6 * _HOUR_MS)),
        ("1 day", str(24 * _HOUR_MS)),
        ("7 days", str(168 * _HOUR_MS)),
    ],
)
_CHANGES = f'"kind" =~ /^({"|".join(CHANGE_KINDS)})$/'
EVENT = _asked(
    "event",
    "Change (choose one below)",
    f'SELECT "end_ms" FROM "event" WHERE {ROUTER} AND {_CHANGES} ORDER BY time DESC LIMIT 100',
)
