"""Between queries and what is shown, panels transform columns: here by the code of Grafana 9.2."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from ipsecmon.model import Direction
from tests.parts.conftest import require
from tests.parts.servers import InfluxServer

from .lab import CAPACITY_BITS_PER_S, PARTS, STEPS, sent_octets
from .lab_months import HOURS, hour_start_s, sent_in_hour
from .node_project import built_transformer
from .queries import expand, variable_values
from .test_queries import DASHBOARDS, VPN, moment_of
from .test_rendering import columns_of

Json = dict[str, Any]
NS_PER_MS = 10**6


@pytest.fixture(scope="module")
def shown(influxd: InfluxServer, day: str) -> dict[tuple[str, int], dict[str, list[Any]]]:
    """Columns by name, of each panel with transformations: by dashboard and the panel's id."""
    require("node", "npm")
    asked = {
        (path.stem, panel["id"]): {"panel": panel, "answers": answers(panel, dashboard, influxd, day)}
        for path in DASHBOARDS
        for dashboard in [json.loads(path.read_text())]
        for panel in dashboard["panels"]
        if panel.get("transformations")
    }
    done = subprocess.run(
        ["node", str(built_transformer())],
        input=json.dumps(list(asked.values())),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    told = [{column["name"]: column["values"] for column in columns} for columns in json.loads(done.stdout)]
    return dict(zip(asked, told))


def answers(panel: Json, dashboard: Json, influxd: InfluxServer, day: str) -> list[list[Json]]:
    """As a data source gets them, in milliseconds."""
    moment = moment_of(dashboard)
    values = variable_values(dashboard, lambda query: influxd.rows(query, day), moment)
    found = []
    for target in panel["targets"]:
        series = influxd.query(expand(target["query"], values, moment), day)
        for one in series:
            one["values"] = [[row[0] // NS_PER_MS, *row[1:]] for row in one["values"]]
        found.append(series)
    return found


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_each_table_has_the_columns_that_it_promises(
    path: Any, shown: dict[tuple[str, int], dict[str, list[Any]]]
) -> None:
    for panel, columns in columns_of(json.loads(path.read_text())).items():
        assert list(shown[path.stem, panel]) == columns
        assert all(shown[path.stem, panel].values())


def panel_id(name: str, title: str) -> tuple[str, int]:
    dashboard = json.loads((DASHBOARDS[0].parent / f"{name}.json").read_text())
    (found,) = [panel["id"] for panel in dashboard["panels"] if panel["title"] == title]
    return name, found


def test_the_vpns_share_is_one_number(shown: dict[tuple[str, int], dict[str, list[Any]]]) -> None:
    sums = [
        sum(sent_octets(name, Direction.IN, 0, step) for name in names for step in range(STEPS))
        for names in (VPN, PARTS)
    ]
    share = shown[panel_id("vpn-versus-other", "VPN's share, in")]

    assert share["share"] == [pytest.approx(sums[0] / sums[1])]


def test_overhead_is_how_much_more_was_on_the_line_than_inside(
    shown: dict[tuple[str, int], dict[str, list[Any]]],
) -> None:
    tunnels = shown[panel_id("vpn-versus-other", "Tunnels: octets inside against octets on the line")]
    rows = dict(zip(tunnels["Tunnel"], tunnels["Overhead, in"]))

    assert rows["VPN-to-parent"] == pytest.approx(0.09, abs=1e-4)
    assert rows["branch-berlin"] == pytest.approx(0.09, abs=1e-4)


def test_a_change_is_after_less_before(shown: dict[tuple[str, int], dict[str, list[Any]]]) -> None:
    table = shown[panel_id("before-and-after", "Mean rates in: before and after the change")]
    for before, after, change in zip(table["Before"], table["After"], table["Change"]):
        assert change == pytest.approx(after - before)
    assert table["After"] == sorted(table["After"], reverse=True)


def test_the_busiest_hours_are_those_with_the_highest_rates_of_the_line(
    shown: dict[tuple[str, int], dict[str, list[Any]]],
) -> None:
    octets = {hour: sum(sent_in_hour(name, Direction.IN, hour) for name in PARTS) for hour in range(HOURS)}
    busiest = sorted(octets, key=octets.__getitem__, reverse=True)[:10]
    rates = [octets[hour] * 8 / 3600 for hour in busiest]

    table = shown[panel_id("months", "Busiest hours, in")]
    assert table["Hour"] == [hour_start_s(hour) * 1000 for hour in busiest]
    assert table["Mean rate"] == pytest.approx(rates)
    assert table["Of capacity"] == pytest.approx([rate / CAPACITY_BITS_PER_S for rate in rates])
    assert shown[panel_id("months", "Busiest hour, in")]["used"] == pytest.approx(
        [octets[hour] * 8 / 3600 / CAPACITY_BITS_PER_S for hour in range(HOURS)]
    )


def test_the_table_of_parts_has_the_sums_of_all_hours(
    shown: dict[tuple[str, int], dict[str, list[Any]]],
) -> None:
    table = shown[panel_id("months", "Parts of the line, the whole range")]
    sums = {
        name: [
            sum(sent_in_hour(name, way, hour) for hour in range(HOURS))
            for way in (Direction.IN, Direction.OUT)
        ]
        for name in PARTS
    }
    rows = {part: [*ways] for part, *ways in zip(table["Part"], table["In"], table["Out"])}
    assert rows == sums
    assert table["Both"] == sorted((sum(both) for both in sums.values()), reverse=True)
