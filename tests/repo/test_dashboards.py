"""The committed dashboards are what their description gives, and ask only for series that are documented."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ipsecmon.dashboards.__main__ import DASHBOARDS, main, render
from ipsecmon.dashboards.influxql import per_tag
from ipsecmon.dashboards.series import CHANGE_KINDS, SERIES, Series
from ipsecmon.dashboards.variables import SHIFT
from ipsecmon.sinks.queue_points import CHANGE_KINDS as WRITTEN_KINDS
from ipsecmon.store import BUCKET_S, SHIFTS_S

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "grafana" / "dashboards"
REFERENCE = (ROOT / "docs" / "series.md").read_text()
_ROW = re.compile(r"^\| `(\w+)` \| (.+?) \| (.+?) \|", re.MULTILINE)
_QUOTED = re.compile(r'"([^"]+)"')


def section(measurement: str) -> str:
    """What docs/series.md says below the measurement's own heading."""
    found = re.search(rf"^## `{measurement}`.*?(?=^## |\Z)", REFERENCE, re.MULTILINE | re.DOTALL)
    return found[0] if found else ""


def documented() -> dict[str, Series]:
    """Of the first table and that of hours, with `as …` and `below` followed."""
    table = REFERENCE[: REFERENCE.index("\n## ")]
    found: dict[str, Series] = {}
    for name, tags, fields in (*_ROW.findall(table), *_ROW.findall(section("counter_1h"))):
        other = re.match(r"as `(\w+)`", tags)
        known = found[other[1]].tags if other else frozenset(_words(tags))
        below = re.findall(r"^\| `(\w+)` \|", section(name), re.MULTILINE) if fields == "below" else []
        found[name] = Series(known, frozenset(below or _words(fields)))
    return found


def _words(cell: str) -> list[str]:
    return [word for group in re.findall(r"`([^`]+)`", cell) for word in group.split()]


def panel_queries(dashboard: Any) -> list[str]:
    return [target["query"] for panel in dashboard["panels"] for target in panel.get("targets", [])]


def queries(dashboard: Any) -> list[str]:
    texts = panel_queries(dashboard) + [one["query"] for one in dashboard["annotations"]["list"]]
    return texts + [one["query"] for one in dashboard["templating"]["list"] if one["type"] == "query"]


@pytest.fixture(params=sorted(DASHBOARDS))
def dashboard(request: pytest.FixtureRequest) -> Any:
    return json.loads((FOLDER / f"{request.param}.json").read_text())


@pytest.mark.parametrize("name", sorted(DASHBOARDS))
def test_a_committed_dashboard_is_what_its_description_gives(name: str) -> None:
    committed = (FOLDER / f"{name}.json").read_text(encoding="utf-8")
    assert committed == render(DASHBOARDS[name]()), "run: make docs"


def test_no_other_dashboard_is_committed(tmp_path: Path) -> None:
    main([str(tmp_path)])
    assert {path.name for path in FOLDER.iterdir()} == {path.name for path in tmp_path.iterdir()}


def test_the_series_that_dashboards_know_are_those_of_the_documentation() -> None:
    told = documented()
    assert {name: told[name] for name in SERIES} == SERIES


def test_what_can_be_compared_with_is_what_baselines_are_written_of() -> None:
    assert [option["value"] for option in SHIFT["options"]] == list(SHIFTS_S)
    seconds = {"d": 86_400}
    for shift, seconds_back in SHIFTS_S.items():  # it stands in arithmetic of InfluxQL too
        assert int(shift[:-1]) * seconds[shift[-1]] == seconds_back


def test_panels_of_baselines_have_no_shorter_buckets_than_these() -> None:
    panels = [one for build in DASHBOARDS.values() for one in build()["panels"]]
    ones = [
        one for one in panels if 'FROM "baseline"' in json.dumps(one.get("targets", "")).replace("\\", "")
    ]
    assert ones and {one["interval"] for one in ones} == {f"{BUCKET_S // 60}m"}


def test_a_comparison_starts_from_kinds_of_events_that_are_written() -> None:
    assert set(CHANGE_KINDS) < set(WRITTEN_KINDS)


def test_a_query_asks_only_for_series_tags_and_fields_that_are_documented(dashboard: Any) -> None:
    told = documented()
    for query in queries(dashboard):
        measurements = set(re.findall(r'FROM "(\w+)"', query))
        assert measurements and measurements <= set(told), query
        names = {name for one in measurements for name in told[one].names}
        own = set(re.findall(r' AS "([^"]+)"', query))
        assert set(_QUOTED.findall(query)) - measurements - own <= names, query


def test_the_kinds_and_components_that_a_query_names_are_documented(dashboard: Any) -> None:
    for query in queries(dashboard):
        named = set(re.findall(r"\"(?:kind|component)\" = '([a-z-]+)'", query))
        for group in re.findall(r'"kind" [=!]~ /\^\(([a-z|-]+)\)\$/', query):
            named |= set(group.split("|"))
        for name in named:
            assert f"`{name}`" in REFERENCE or f"| {name} |" in REFERENCE, (name, query)


def test_a_name_that_a_series_has_not_is_an_error_when_dashboards_are_made() -> None:
    with pytest.raises(ValueError, match="series 'counter' has no octests"):
        per_tag("counter", 'sum("octests")')
    with pytest.raises(ValueError, match="no series is named 'counters'"):
        per_tag("counters", 'sum("octets")')


def test_dashboards_lead_to_each_other_by_addresses_that_exist(dashboard: Any) -> None:
    uids = {json.loads(path.read_text())["uid"] for path in FOLDER.iterdir()}
    linked = set(re.findall(r"/d/([\w-]+)\?", json.dumps(dashboard)))

    assert dashboard["uid"] in uids and linked <= uids
    tags = {tag for path in FOLDER.iterdir() for tag in json.loads(path.read_text())["tags"]}
    assert {tag for link in dashboard["links"] for tag in link["tags"]} == tags


def test_a_range_of_months_is_not_carried_to_queries_over_intervals(dashboard: Any) -> None:
    intervals = {name for name in SERIES if not name.endswith("_1h")}
    asked = {name for query in panel_queries(dashboard) for name in re.findall(r'FROM "(\w+)"', query)}
    reads_hours = not asked & intervals
    assert reads_hours == (dashboard["uid"] == "ipsecmon-months")
    assert {link["tags"][0] for link in dashboard["links"] if link["keepTime"]} == set(dashboard["tags"])
    assert not reads_hours or "__url_time_range" not in json.dumps(dashboard)


def test_provisioning_names_the_folder_that_compose_mounts_and_the_interval_of_the_agent() -> None:
    compose = yaml.safe_load((ROOT / "grafana" / "compose.yaml").read_text())
    provider = yaml.safe_load(
        (ROOT / "grafana" / "provisioning" / "dashboards" / "ipsecmon.yaml").read_text()
    )
    source = yaml.safe_load((ROOT / "grafana" / "provisioning" / "datasources" / "influxdb.yaml").read_text())

    mounted = [volume.split(":")[1] for volume in compose["services"]["grafana"]["volumes"]]
    assert provider["providers"][0]["options"]["path"] in mounted
    given = compose["services"]["grafana"]["environment"]
    for text in (source["datasources"][0]["url"], source["datasources"][0]["jsonData"]["dbName"]):
        assert text.lstrip("$") in given
    assert source["datasources"][0]["jsonData"]["timeInterval"] == "10s"
