"""Every query of every dashboard, by a real influxd: none fails, and none is empty where there is data."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from ipsecmon.model import Direction
from tests.parts.servers import InfluxServer

from .lab import END_MS, INTERVAL_S, PARTS, START_MS, STEPS, sent_octets
from .lab_months import FIRST_HOUR_MS, HOURS, hour_start_s, sent_in_hour
from .queries import Moment, annotation_queries, expand, panel_queries, variable_values

Json = dict[str, Any]
FOLDER = Path(__file__).parents[3] / "grafana" / "dashboards"
DASHBOARDS = sorted(FOLDER.glob("*.json"))
VPN = ("VPN-to-parent", "branch-berlin", "nat-t", "esp", "ike")
MOMENT = Moment(START_MS, END_MS, INTERVAL_S * 1000)
MONTHS = Moment(FIRST_HOUR_MS, END_MS, 3_600_000)


@pytest.fixture(params=DASHBOARDS, ids=lambda path: path.stem)
def dashboard(request: pytest.FixtureRequest) -> Json:
    found: Json = json.loads(request.param.read_text())
    return found


def moment_of(dashboard: Json) -> Moment:
    return MONTHS if dashboard["uid"] == "ipsecmon-months" else MOMENT


def empty_queries(dashboard: Json, influxd: InfluxServer, day: str) -> list[str]:
    """Where those stand that give no value."""
    moment = moment_of(dashboard)
    values = variable_values(dashboard, lambda query: influxd.rows(query, day), moment)
    empty = []
    for query in (*panel_queries(dashboard), *annotation_queries(dashboard)):
        rows = influxd.rows(expand(query.text, values, moment.at_least(query.least_ms)), day)
        if not any(value is not None for row in rows for name, value in row.items() if name != "time"):
            empty.append(query.name)
    return empty


def test_every_variable_has_values(dashboard: Json, influxd: InfluxServer, day: str) -> None:
    values = variable_values(dashboard, lambda query: influxd.rows(query, day), moment_of(dashboard))

    assert [name for name, found in values.items() if found in ([], [""])] == []


def test_no_panel_and_no_annotation_is_empty(dashboard: Json, influxd: InfluxServer, day: str) -> None:
    assert empty_queries(dashboard, influxd, day) == []


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ('FROM "part"', 'FROM "parts"'),
        ('sum("octets")', 'sum("octests")'),
        ("\"direction\" = 'in'", "\"direction\" = 'inn'"),
        ("=~ /^${line:regex}$/", "=~ /^${router:regex}$/"),
    ],
)
def test_a_planted_fault_makes_a_query_empty(influxd: InfluxServer, day: str, good: str, bad: str) -> None:
    text = (FOLDER / "vpn-versus-other.json").read_text()
    planted = text.replace(json.dumps(good)[1:-1], json.dumps(bad)[1:-1])

    assert planted != text
    assert empty_queries(json.loads(planted), influxd, day)


def test_the_events_of_annotations_end_at_a_whole_number_of_milliseconds(
    dashboard: Json, influxd: InfluxServer, day: str
) -> None:
    moment = moment_of(dashboard)
    values = variable_values(dashboard, lambda query: influxd.rows(query, day), moment)
    for query in annotation_queries(dashboard):
        rows = influxd.rows(expand(query.text, values, moment), day)
        assert rows
        assert all(row["text"] and moment.from_ms < row["end_ms"] <= moment.to_ms for row in rows)


def test_with_an_empty_database_no_query_fails(dashboard: Json, influxd: InfluxServer, database: str) -> None:
    values = variable_values(dashboard, lambda query: influxd.rows(query, database), MOMENT)
    for query in (*panel_queries(dashboard), *annotation_queries(dashboard)):
        assert influxd.rows(expand(query.text, values, MOMENT), database) == []


def ask(
    influxd: InfluxServer,
    day: str,
    name: str,
    panel_and_target: str,
    moment: Moment = MOMENT,
    **chosen: list[str],
) -> list[Json]:
    """The rows that a target of a panel gets. chosen: of variables."""
    dashboard = json.loads((FOLDER / f"{name}.json").read_text())
    values = variable_values(dashboard, lambda query: influxd.rows(query, day), moment)
    values.update(chosen)
    (query,) = [one for one in panel_queries(dashboard) if one.name == panel_and_target]
    return influxd.rows(expand(query.text, values, moment.at_least(query.least_ms)), day)


def sent(parts: Iterable[str], days: int = 0) -> int:
    """Octets inbound in the window of so many days before."""
    return sum(sent_octets(name, Direction.IN, days, step) for name in parts for step in range(STEPS))


@pytest.mark.parametrize("bucket_s", [60, 600])
def test_the_vpns_curve_encloses_as_many_bits_as_were_sent(
    influxd: InfluxServer, day: str, bucket_s: int
) -> None:
    moment = Moment(START_MS, END_MS - 1, bucket_s * 1000)
    rows = ask(influxd, day, "vpn-versus-other", "Line in A", moment)

    assert len(rows) == 3 * 3600 // bucket_s
    assert sum(row["sum"] for row in rows) * bucket_s == pytest.approx(8 * sent(VPN))


def test_the_vpns_share_is_of_all_that_was_sent_on_the_line(influxd: InfluxServer, day: str) -> None:
    (vpn,) = ask(influxd, day, "vpn-versus-other", "VPN's share, in A")
    (line,) = ask(influxd, day, "vpn-versus-other", "VPN's share, in B")

    assert (vpn["sum"], line["sum"]) == (sent(VPN), sent(PARTS))
    assert vpn["time"] == line["time"], "one is divided by the other where their times are the same"


@pytest.mark.parametrize(("shift", "days_before"), [("1d", 1), ("7d", 7)])
def test_before_is_the_same_window_a_day_or_a_week_before(
    influxd: InfluxServer, day: str, shift: str, days_before: int
) -> None:
    title = "Mean rates in: ${shift:text} and now"
    before = ask(influxd, day, "before-and-after", f"{title} A", shift=[shift])
    now = ask(influxd, day, "before-and-after", "Mean rates in: ${shift:text} and now B")

    seconds = (END_MS - START_MS) / 1000
    for rows, days, column in ((before, days_before, "before"), (now, 0, "now")):
        rates = {row["part"]: row[column] for row in rows}
        assert rates == pytest.approx({name: 8 * sent([name], days) / seconds for name in PARTS})


@pytest.mark.parametrize(("target", "shift", "days"), [("A", "1d", 0), ("C", "1d", 1), ("C", "7d", 7)])
@pytest.mark.parametrize("bucket_s", [60, 300, 600])
def test_now_and_before_enclose_as_many_bits_as_were_sent_in_the_same_buckets(
    influxd: InfluxServer, day: str, target: str, shift: str, days: int, bucket_s: int
) -> None:
    moment = Moment(START_MS, END_MS - 1, bucket_s * 1000)
    panel_and_target = f"Line in, now and ${{shift:text}} {target}"
    rows = ask(influxd, day, "before-and-after", panel_and_target, moment, shift=[shift])

    width_s = max(bucket_s, 300)
    assert [row["time"] // 10**6 for row in rows] == list(range(START_MS, END_MS, width_s * 1000))
    assert sum(row["sum"] for row in rows) * width_s == pytest.approx(8 * sent(VPN, days))


def test_around_a_change_the_vpn_gains_what_the_web_loses(influxd: InfluxServer, day: str) -> None:
    title = "Mean rates in: before and after the change"
    before = {row["part"]: row["before"] for row in ask(influxd, day, "before-and-after", f"{title} A")}
    after = {row["part"]: row["after"] for row in ask(influxd, day, "before-and-after", f"{title} B")}

    assert after["VPN-to-parent"] > before["VPN-to-parent"]
    assert after["web"] < before["web"]


def sent_by_day(parts: Iterable[str], way: Direction, day_of: Callable[[int], int]) -> list[int]:
    """Octets of each day. day_of: the number of the day, of seconds since 1970."""
    days: Counter[int] = Counter()
    for hour in range(HOURS):
        days[day_of(hour_start_s(hour))] += sum(sent_in_hour(name, way, hour) for name in parts)
    return [days[day] for day in sorted(days)]


def in_berlin(second: int) -> int:
    """Summer time ended at 2026-10-25 01:00 UTC."""
    return (second + (7200 if second < 1_792_890_000 else 3600)) // 86_400


@pytest.mark.parametrize(
    ("zone", "day_of"), [("UTC", lambda second: second // 86_400), ("Europe/Berlin", in_berlin)]
)
def test_a_day_has_all_that_was_sent_in_it_in_the_chosen_time_zone(
    influxd: InfluxServer, day: str, zone: str, day_of: Callable[[int], int]
) -> None:
    for direction, way in (("in", Direction.IN), ("out", Direction.OUT)):
        rows = ask(influxd, day, "months", f"Line {direction}, octets a day A", MONTHS, zone=[zone])
        assert [row["sum"] for row in rows] == sent_by_day(VPN, way, day_of)


def test_the_busiest_hour_of_a_day_is_the_largest_of_its_rates(influxd: InfluxServer, day: str) -> None:
    rows = ask(influxd, day, "months", "Line in: rates of each day's hours A", MONTHS)
    rates = [
        8 * sum(sent_in_hour(name, Direction.IN, hour) for name in PARTS) / 3600 for hour in range(HOURS)
    ]
    first = [hour_start_s(hour) // 86_400 for hour in range(HOURS)]
    assert [row["max"] for row in rows] == pytest.approx(
        [max(rate for rate, on in zip(rates, first) if on == each) for each in sorted(set(first))]
    )
