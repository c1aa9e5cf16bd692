"""The queries of a dashboard, with Grafana's macros and variables put in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Callable

__all__ = ["Moment", "Query", "annotation_queries", "expand", "panel_queries", "variable_values"]

Json = dict[str, Any]
Ask = Callable[[str], list[dict[str, Any]]]

_VARIABLE = re.compile(r"\$\{(\w+)(?::(\w+))?\}")
_SPECIAL = re.compile(r"[\\^$*+?.()|\[\]{}/]")


@dataclass(frozen=True)
class Moment:
    """What Grafana puts in of the chosen range of time."""

    from_ms: int
    to_ms: int
    interval_ms: int

    def at_least(self, interval_ms: int) -> Moment:
        return replace(self, interval_ms=max(self.interval_ms, interval_ms))

    def expand(self, query: str) -> str:
        found = query.replace("$timeFilter", f"time >= {self.from_ms}ms and time <= {self.to_ms}ms")
        found = found.replace("$__interval_ms", str(self.interval_ms))
        found = found.replace("$__interval", f"{self.interval_ms}ms")
        return found.replace("${__from}", str(self.from_ms)).replace("${__to}", str(self.to_ms))


@dataclass(frozen=True)
class Query:
    """name: where it stands. least_ms: the panel's smallest interval."""

    name: str
    text: str
    least_ms: int = 0


def panel_queries(dashboard: Json) -> Iterator[Query]:
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            yield Query(f"{panel['title']} {target['refId']}", target["query"], _least_ms(panel))


def _least_ms(panel: Json) -> int:
    found = panel.get("interval", "0s")
    return int(found[:-1]) * {"s": 1000, "m": 60_000, "h": 3_600_000}[found[-1]]


def annotation_queries(dashboard: Json) -> Iterator[Query]:
    for one in dashboard["annotations"]["list"]:
        yield Query(one["name"], one["query"])


def expand(text: str, values: Mapping[str, list[str]], moment: Moment) -> str:
    """Raises KeyError for a variable that the dashboard has not."""

    def replaced(found: re.Match[str]) -> str:
        chosen = values[found[1]]
        if found[2] != "regex":
            return ",".join(chosen)
        escaped = [_SPECIAL.sub(r"\\\g<0>", one) for one in chosen]
        return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"

    return _VARIABLE.sub(replaced, moment.expand(text))


def variable_values(dashboard: Json, ask: Ask, moment: Moment) -> dict[str, list[str]]:
    """As Grafana chooses them at first: the first one, or all where several may be chosen.

    ask: runs a query and gives its rows.
    """
    values: dict[str, list[str]] = {}
    for one in dashboard["templating"]["list"]:
        if one["type"] in ("custom", "textbox"):
            values[one["name"]] = [one["current"]["value"]]
        elif one["type"] == "query":
            rows = ask(expand(one["query"], values, moment))
            found = [str(row.get("value", row.get("end_ms"))) for row in rows]
            values[one["name"]] = found if one["multi"] else found[:1] or [""]
    return values
