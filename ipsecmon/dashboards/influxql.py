"""InfluxQL of one series, checked: a quoted name that the series has not is an error.

Every query asks for the chosen router. $timeFilter, $__interval, $__from and variables are put in by Grafana.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from ipsecmon.dashboards.series import SERIES

__all__ = [
    "DIRECTIONS",
    "EVER",
    "IN",
    "INNER",
    "LIMIT",
    "OUT",
    "RANGE_MS",
    "ROUTER",
    "SUM",
    "WHOLE_RANGE",
    "bits_per_s",
    "chosen",
    "is_tag",
    "mean_bits_per_s",
    "of_hours_per_day",
    "over_time",
    "per_day",
    "per_hour",
    "per_tag",
    "rows",
    "tag_values",
]

WHOLE_RANGE = "$timeFilter"
EVER = "time > 0"
RANGE_MS = "(${__to} - ${__from})"
IN, OUT = "\"direction\" = 'in'", "\"direction\" = 'out'"
DIRECTIONS = (("in", IN), ("out", OUT))
SUM = 'sum("octets")'
LIMIT = 'max("capacity_bits_per_s")'
INNER = "\"observed_at\" = 'inner'"

_DAYS = "fill(none) tz('${zone}')"
_QUOTED = re.compile(r'"(\w+)"')
_RENAMED = re.compile(r' AS "(\w+)"')


def chosen(tag: str, variable: str = "") -> str:
    """The tag is what the variable of that name is set to; any of it where that is several values."""
    return f'"{tag}" =~ /^${{{variable or tag}:regex}}$/'


def is_tag(tag: str, value: str) -> str:
    return f"\"{tag}\" = '{value}'"


ROUTER = chosen("router")


def bits_per_s(field: str = "octets") -> str:
    """The mean rate in each bucket of over_time(), of a field that counts octets in each interval."""
    return f'sum("{field}") * 8000.0 / $__interval_ms'


def mean_bits_per_s(field: str = "octets", range_ms: str = RANGE_MS) -> str:
    """The mean rate over a whole range of so many milliseconds."""
    return f'sum("{field}") * 8000.0 / {range_ms}'


def over_time(
    measurement: str, expression: str, where: Sequence[str] = (), by: Sequence[str] = (), fill: str = "null"
) -> str:
    """A value for each bucket of time, and for each value of the tags."""
    grouped = ", ".join(["time($__interval)", *map(_quoted, by)])
    return f"{_select(measurement, expression, [WHOLE_RANGE, *where], by)} GROUP BY {grouped} fill({fill})"


def per_hour(measurement: str, expression: str, where: Sequence[str] = (), by: Sequence[str] = ()) -> str:
    """A value for each hour in which there is one."""
    grouped = ", ".join(["time(1h)", *map(_quoted, by)])
    return f"{_select(measurement, expression, [WHOLE_RANGE, *where], by)} GROUP BY {grouped} fill(none)"


def per_day(measurement: str, expression: str, where: Sequence[str] = (), by: Sequence[str] = ()) -> str:
    """A value for each day of the chosen time zone in which there is one."""
    grouped = ", ".join(["time(1d)", *map(_quoted, by)])
    return f"{_select(measurement, expression, [WHOLE_RANGE, *where], by)} GROUP BY {grouped} {_DAYS}"


def of_hours_per_day(expression: str, hours: str) -> str:
    """For each day, of what per_hour() gives."""
    return f"SELECT {expression} FROM ({hours}) WHERE {WHOLE_RANGE} GROUP BY time(1d) {_DAYS}"


def per_tag(
    measurement: str,
    expression: str,
    where: Sequence[str] = (),
    by: Sequence[str] = (),
    window: str = WHOLE_RANGE,
) -> str:
    """One value over a window of time, for each value of the tags."""
    grouped = f" GROUP BY {', '.join(map(_quoted, by))}" if by else ""
    return f"{_select(measurement, expression, [window, *where], by)}{grouped}"


def rows(
    measurement: str,
    fields: Iterable[str],
    where: Sequence[str] = (),
    limit: int = 0,
    window: str = WHOLE_RANGE,
) -> str:
    """Points as they were written, the newest first if there is a limit."""
    newest = f" ORDER BY time DESC LIMIT {limit}" if limit else ""
    return f"{_select(measurement, ', '.join(map(_quoted, fields)), [window, *where])}{newest}"


def tag_values(measurement: str, tag: str, where: Sequence[str] = (ROUTER,)) -> str:
    _check(measurement, f'"{tag}" {" ".join(where)}')
    narrowed = f" WHERE {' AND '.join(where)}" if where else ""
    return f'SHOW TAG VALUES FROM "{measurement}" WITH KEY = "{tag}"{narrowed}'


def _select(measurement: str, expression: str, where: Sequence[str], by: Sequence[str] = ()) -> str:
    conditions = " AND ".join([where[0], ROUTER, *where[1:]])
    _check(measurement, " ".join([expression, conditions, *map(_quoted, by)]))
    return f'SELECT {expression} FROM "{measurement}" WHERE {conditions}'


def _quoted(name: str) -> str:
    return f'"{name}"'


def _check(measurement: str, text: str) -> None:
    series = SERIES.get(measurement)
    if series is None:
        raise ValueError(f"no series is named {measurement!r}")
    unknown = set(_QUOTED.findall(text)) - series.names - set(_RENAMED.findall(text))
    if unknown:
        raise ValueError(f"series {measurement!r} has no {', '.join(sorted(unknown))}")
