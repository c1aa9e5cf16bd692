"""Each dashboard drawn by Grafana's own components, dark and light; the pictures are in build/grafana/."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.parts.conftest import require
from tests.parts.servers import InfluxServer, running

from .browser import WITHIN_S, Browser
from .node_project import built_page
from .page_server import PageServer
from .test_queries import moment_of

ROOT = Path(__file__).parents[3]
DASHBOARDS = ROOT / "grafana" / "dashboards"
PICTURES = ROOT / "build" / "grafana"
WIDTH = 1408


@pytest.fixture(scope="module")
def page(influxd: InfluxServer, day: str) -> Iterator[str]:
    """The address of the page."""
    require("node", "npm")
    with running(PageServer(built_page(), DASHBOARDS, influxd.url, day)) as server:
        yield f"{server.url}/page.html"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    require("chromium", "chromedriver")
    found = Browser(tmp_path_factory.mktemp("browser"))
    try:
        found.start()
        yield found
    finally:
        found.stop()


def draw(browser: Browser, page: str, name: str, theme: str) -> Any:
    """What became of it; the picture is in PICTURES."""
    browser.resize(WIDTH, 900)
    shown = moment_of(json.loads((DASHBOARDS / f"{name}.json").read_text()))
    browser.open(f"{page}?dashboard={name}&theme={theme}&from={shown.from_ms}&to={shown.to_ms}")
    deadline = time.monotonic() + WITHIN_S
    while browser.title() != "done":
        assert time.monotonic() < deadline, browser.value("return window.outcome")
        time.sleep(0.1)
    frame = "window.outerHeight - window.innerHeight"
    browser.resize(WIDTH, int(browser.value(f"return document.documentElement.scrollHeight + {frame}")))
    outcome = browser.value("return window.outcome")
    PICTURES.mkdir(parents=True, exist_ok=True)
    (PICTURES / f"{name}-{theme}.json").write_text(json.dumps(outcome, indent=2))
    (PICTURES / f"{name}-{theme}.png").write_bytes(browser.picture())
    return outcome


def columns_of(dashboard: Any) -> dict[int, list[str]]:
    """What its tables promise to show, by the panel's id."""
    found = {}
    for panel in dashboard["panels"]:
        if panel["type"] == "table":
            arranged = panel["transformations"][-1]["options"]
            names = sorted(arranged["indexByName"], key=arranged["indexByName"].__getitem__)
            found[panel["id"]] = [arranged["renameByName"].get(name, name) for name in names]
    return found


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("name", sorted(path.stem for path in DASHBOARDS.glob("*.json")))
def test_a_dashboard_is_drawn_without_an_error_and_no_panel_is_empty(
    browser: Browser, page: str, name: str, theme: str
) -> None:
    outcome = draw(browser, page, name, theme)

    assert outcome["errors"] == []
    panels = [one for one in outcome["drawn"] if one["type"] not in ("row", "text")]
    assert len(panels) >= 6
    assert [one["title"] for one in panels if not one["rows"]] == []
    columns = columns_of(json.loads((DASHBOARDS / f"{name}.json").read_text()))
    assert {one["id"]: one["fields"] for one in panels if one["type"] == "table"} == columns
