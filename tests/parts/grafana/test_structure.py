"""Each dashboard has the form that Grafana's own types ask for, with nothing that Grafana 9.2 lacks."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.parts.conftest import require

from .node_project import built_schema
from .structure import faults

Json = dict[str, Any]
DASHBOARDS = sorted((Path(__file__).parents[3] / "grafana" / "dashboards").glob("*.json"))


@pytest.fixture(scope="session")
def schema() -> Json:
    require("node", "npm")
    found: Json = json.loads(built_schema().read_text())
    return found


def panel(dashboard: Json, kind: str) -> Json:
    found: Json = next(one for one in dashboard["panels"] if one["type"] == kind)
    return found


def rename(place: Json, name: str, other: str) -> None:
    place[other] = place.pop(name)


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_has_the_form_that_grafanas_types_ask_for(path: Path, schema: Json) -> None:
    assert list(faults(json.loads(path.read_text()), schema)) == []


PLANTED: dict[str, Callable[[Json], object]] = {
    "an unknown key of the dashboard": lambda d: rename(d, "refresh", "refreshEvery"),
    "an unknown option": lambda d: rename(panel(d, "timeseries")["options"], "legend", "legends"),
    "a wrong value of an option": lambda d: panel(d, "stat")["options"].update(colorMode="blinking"),
    "an unknown field option": lambda d: panel(d, "timeseries")["fieldConfig"]["defaults"].update(
        units="bps"
    ),
    "an unknown way to draw": lambda d: panel(d, "timeseries")["fieldConfig"]["defaults"]["custom"].update(
        drawStyle="wavy"
    ),
    "a target without a query": lambda d: panel(d, "table")["targets"][0].pop("query"),
    "a panel without a place": lambda d: panel(d, "table")["gridPos"].pop("w"),
    "a variable of no kind": lambda d: d["templating"]["list"][0].update(type="guess"),
    "an annotation whose text nobody knows": lambda d: d["annotations"]["list"][0].pop("textColumn"),
    "a panel that 9.2 has not": lambda d: panel(d, "table").update(type="canvas"),
    "a transformation that 9.2 has not": lambda d: panel(d, "table")["transformations"].append(
        {"id": "transpose", "options": {}}
    ),
    "a colour mode that 9.2 has not": lambda d: panel(d, "stat")["fieldConfig"]["defaults"].update(
        color={"mode": "shades", "fixedColor": "blue"}
    ),
    "a panel over another": lambda d: panel(d, "table")["gridPos"].update(x=0, y=0),
    "an id twice": lambda d: panel(d, "table").update(id=1),
}


@pytest.mark.parametrize("planted", PLANTED)
def test_a_planted_fault_is_found(planted: str, schema: Json) -> None:
    dashboard = json.loads((DASHBOARDS[0].parent / "vpn-versus-other.json").read_text())
    broken = copy.deepcopy(dashboard)
    PLANTED[planted](broken)

    assert set(faults(broken, schema)) - set(faults(dashboard, schema))
