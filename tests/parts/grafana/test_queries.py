"""Every query of every dashboard, by a real influxd: none fails, and none is empty where there is data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.parts.servers import InfluxServer

from .lab import END_MS, INTERVAL_S, START_MS
from .queries import Moment, annotation_queries, expand, panel_queries, variable_values

Json = dict[str, Any]
DASHBOARDS = sorted((Path(__file__).parents[3] / "grafana" / "dashboards").glob("*.json"))
MOMENT = Moment(START_MS, END_MS, INTERVAL_S * 1000)


@pytest.fixture(params=DASHBOARDS, ids=lambda path: path.stem)
def dashboard(request: pytest.FixtureRequest) -> Json:
    found: Json = json.loads(request.param.read_text())
    return found


def test_every_variable_has_values(dashboard: Json, influxd: InfluxServer, day: str) -> None:
    values = variable_values(dashboard, lambda query: influxd.rows(query, day), MOMENT)

    assert [name for name, found in values.items() if found in ([], [""])] == []


def test_no_panel_and_no_annotation_is_empty(dashboard: Json, influxd: InfluxServer, day: str) -> None:
    values = variable_values(dashboard, lambda query: influxd.rows(query, day), MOMENT)
    empty = []
    for query in (*panel_queries(dashboard), *annotation_queries(dashboard)):
        rows = influxd.rows(expand(query.text, values, MOMENT), day)
        if not any(value is not None for row in rows for name, value in row.items() if name != "time"):
            empty.append(query.name)

    assert empty == []


def test_the_events_of_annotations_end_at_a_whole_number_of_milliseconds(
    dashboard: Json, influxd: InfluxServer, day: str
) -> None:
    values = variable_values(dashboard, lambda query: influxd.rows(query, day), MOMENT)
    for query in annotation_queries(dashboard):
        rows = influxd.rows(expand(query.text, values, MOMENT), day)
        assert rows
        assert all(row["text"] and START_MS < row["end_ms"] <= END_MS for row in rows)


def test_with_an_empty_database_no_query_fails(dashboard: Json, influxd: InfluxServer, database: str) -> None:
    values = variable_values(dashboard, lambda query: influxd.rows(query, database), MOMENT)
    for query in (*panel_queries(dashboard), *annotation_queries(dashboard)):
        assert influxd.rows(expand(query.text, values, MOMENT), database) == []
