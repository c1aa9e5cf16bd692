"""The report command over a real store: what was asked for, what is covered, and what could not be cut."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ipsecmon.cli.ranges import Range
from ipsecmon.cli.report import report_command, uncut
from ipsecmon.clock import Moment
from ipsecmon.model import (
    CounterKey,
    Direction,
    Increment,
    ObservationPoint,
    TunnelIncrement,
    TunnelKey,
)
from ipsecmon.store import report
from tests.unit.cli.conftest import Zone
from tests.unit.store.store_cases import DAY_S, NS, T0_S, VPN, WEB, batch, commit, opened

NIC = CounterKey("wan0", Direction.IN, ObservationPoint.NIC)
T0_NS = T0_S * NS  # 2024-10-04, midnight UTC
HOUR_S = 3600
ASKED = Range(T0_NS, T0_NS + DAY_S * NS, "a day")


def run(config_file: Path, *arguments: str, status: int = 0) -> Any:
    result = CliRunner().invoke(report_command, ["-c", str(config_file), *arguments])
    assert result.exit_code == status, result.output
    return result


@pytest.fixture
def store(tmp_path: Path, zone: Zone) -> Iterator[Path]:
    """An hour of two counters and the interface, from midnight UTC, in Berlin."""
    zone("Europe/Berlin")
    folder = tmp_path / "store"
    with opened(folder) as made:
        for after_s in range(0, HOUR_S, 600):
            rows = (
                Increment(WEB, 1000, 10, 1000, 9, 1),
                Increment(VPN, 5, 1, 5, 1),
                Increment(NIC, 1140, 10),
            )
            commit(made, batch(after_s, *rows, length_s=600))
    yield folder


def test_json_keeps_its_contract(store: Path, config_file: Path) -> None:
    answer = json.loads(run(config_file, "--day", "2024-10-04", "--json").stdout)
    assert {**answer, "counters": None} == {
        "router": "hq-gw1",
        "start": "2024-10-04T00:00:00.000Z",
        "end": "2024-10-04T01:00:00.000Z",
        "asked": {"start": "2024-10-03T22:00:00.000Z", "end": "2024-10-04T22:00:00.000Z"},
        "note": "",
        "clock_steps": [],
        "rules_gone": [],
        "events": [],
        "counters": None,
        "lines": [],
        "interfaces": [{"name": "wan0", "direction": "in", "octets": 6840, "frames": 60}],
        "tunnels": [],
    }
    assert answer["counters"][0] == {
        "name": "web",
        "direction": "in",
        "observed_at": "wire",
        "octets": 6000,
        "packets": 60,
        "nflog_octets": 6000,
        "nflog_packets": 54,
        "lost_packets": 6,
        "pending_packets": 0,
        "bridged_octets": 0,
        "bridged_packets": 0,
        "agreement": {
            "word": "agree",
            "reason": None,
            "pair": "rule-nflog",
            "expected_octets": 6000,
            "seen_octets": 6000,
            "lost_packets": 6,
            "explained_octets": 0,
            "unexplained_octets": 0,
        },
    }


def test_csv_has_the_columns_of_the_file_sink_and_the_interfaces_too(store: Path, config_file: Path) -> None:
    from ipsecmon.sinks.encoding import CSV_COLUMNS

    rows = list(csv.DictReader(run(config_file, "--month=2024-10", "--csv").stdout.splitlines()))
    assert set(rows[0]) == set(CSV_COLUMNS)
    assert [(row["counter"], row["observed_at"], row["octets"]) for row in rows] == [
        ("web", "wire", "6000"),
        ("VPN-to-parent", "inner", "30"),
        ("wan0", "nic", "6840"),
    ]


def test_tunnels_are_in_every_format_at_a_point_of_their_own(tmp_path: Path, config_file: Path) -> None:
    folder = tmp_path / "store"
    keys = [TunnelKey("VPN-to-parent", peer, Direction.IN) for peer in ("192.0.2.1", "192.0.2.2")]
    told = tuple(TunnelIncrement(key, octets=500, packets=5, sas=1) for key in keys)
    with opened(folder) as made:
        commit(made, replace(batch(0, Increment(VPN, 5, 1)), tunnels=told))

    (tunnel,) = json.loads(run(config_file, "--day", "2024-10-04", "--json").stdout)["tunnels"]
    assert (tunnel["name"], tunnel["direction"], tunnel["octets"]) == ("VPN-to-parent", "in", 1000)
    *_, row = csv.DictReader(run(config_file, "--day", "2024-10-04", "--csv").stdout.splitlines())
    assert (row["observed_at"], row["octets"], row["nflog_octets"]) == ("tunnel", "1000", "0")
    assert "tunnels, inside, by SA counters" in run(config_file, "--day", "2024-10-04").stdout


def test_a_table_says_what_was_asked_and_what_it_covers_in_local_time(store: Path, config_file: Path) -> None:
    lines = run(config_file, "--month", "2024-10").stdout.splitlines()
    assert lines[0] == "hq-gw1: 2024-10"
    assert lines[1] == "covers 2024-10-04 02:00:00 to 2024-10-04 03:00:00 CEST"
    assert [line.split() for line in lines if "VPN-to-parent" in line] == [
        ["VPN-to-parent", "0", "30", "0", "6", "0"]
    ]


def test_a_range_is_half_open(store: Path, config_file: Path) -> None:
    first, rest = (
        json.loads(run(config_file, "--json", *arguments).stdout)["counters"][0]["octets"]
        for arguments in (
            ("--from", "2024-10-04T00:00Z", "--to", "2024-10-04T00:20Z"),
            ("--from", "2024-10-04T00:20Z", "--to", "2024-10-04T01:00Z"),
        )
    )
    assert (first, rest) == (2000, 4000)


def test_an_empty_range_is_said_to_be_empty(store: Path, config_file: Path) -> None:
    assert "nothing is recorded in this range" in run(config_file, "--day", "2024-10-09").stdout
    assert json.loads(run(config_file, "--day", "2024-10-09", "--json").stdout)["counters"] == []
    assert len(run(config_file, "--day", "2024-10-09", "--csv").stdout.splitlines()) == 1


@pytest.mark.parametrize("ending", [(), ("--json",), ("--csv",)])
def test_a_row_across_the_end_is_said_in_every_format(
    store: Path, config_file: Path, ending: tuple[str, ...]
) -> None:
    said = run(config_file, "--from", "2024-10-04T00:05Z", "--to", "2024-10-04T00:15Z", *ending).output
    cuts = "2024-10-04 02:05:00 CEST and 2024-10-04 02:15:00 CEST"
    assert f"not cut at {cuts}: history has a longer row there" in said


def test_day_rows_are_not_cut_at_a_local_midnight(tmp_path: Path) -> None:
    """What is older than the fine resolutions is kept by days of UTC."""
    with opened(tmp_path, retention_s=2 * DAY_S) as store:
        for after_s in range(0, 6 * DAY_S, HOUR_S):
            commit(store, batch(after_s, Increment(WEB, 100, 1), length_s=HOUR_S))
        for _ in range(40):  # retention deletes a few rows at each commit
            after_s += HOUR_S
            commit(store, batch(after_s, Increment(WEB, 0, 0), length_s=HOUR_S))
    berlin = Range(T0_NS + 22 * HOUR_S * NS, T0_NS + (22 + 24) * HOUR_S * NS, "")
    found = report(tmp_path, berlin.start_ns, berlin.end_ns)
    assert (found.start_ns, found.end_ns) == (T0_NS + DAY_S * NS, T0_NS + 2 * DAY_S * NS)
    assert uncut(tmp_path, berlin, found, HOUR_S * NS) == (berlin.start_ns, berlin.end_ns)
    utc = report(tmp_path, ASKED.start_ns, ASKED.end_ns)
    assert utc.rows[0].octets == 2400
    assert uncut(tmp_path, ASKED, utc, HOUR_S * NS) == ()


def test_a_row_no_longer_than_the_interval_is_not_worth_a_word(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        commit(store, batch(-5), batch(DAY_S - 5))
    found = report(tmp_path, ASKED.start_ns, ASKED.end_ns)
    assert uncut(tmp_path, ASKED, found, 10 * NS) == ()
    assert uncut(tmp_path, ASKED, found, 4 * NS) == (ASKED.start_ns, ASKED.end_ns)


def test_a_mistake_is_said_before_the_config_is_read(tmp_path: Path) -> None:
    missing = tmp_path / "missing.yaml"
    assert "--month and --day are two ranges" in run(missing, "--month", "--day", status=2).output
    assert "--json and --csv are two formats" in run(missing, "--json", "--csv", status=2).output
    assert "Invalid value for --day: 'x' is not a day" in run(missing, "--day", "x", status=2).output


def test_month_and_day_need_no_value(store: Path, config_file: Path) -> None:
    for option in ("--month", "--day"):
        assert "nothing is recorded" in run(config_file, option).stdout


def test_a_clock_that_was_stepped_is_said(store: Path, config_file: Path) -> None:
    with opened(store) as made:
        one = batch(HOUR_S)
        made.commit(one, [], [], Moment(one.end_ns - 600 * NS, 0), -600 * NS)
    answer = json.loads(run(config_file, "--day", "2024-10-04", "--json").stdout)
    assert answer["clock_steps"] == [{"from": "2024-10-04T01:00:10.000Z", "to": "2024-10-04T00:50:10.000Z"}]
    said = "the clock was set from 2024-10-04 03:00:10 CEST to 2024-10-04 02:50:10 CEST"
    assert said in answer["note"]
    assert said in run(config_file, "--day", "2024-10-04").stdout


def test_the_last_line_of_a_table_says_whether_the_meters_agree(tmp_path: Path, config_file: Path) -> None:
    folder = tmp_path / "store"
    day = ("--day", "2024-10-04")
    with opened(folder) as made:
        commit(made, batch(0, Increment(WEB, 1000, 10, 1000, 10)))
    assert run(config_file, *day).stdout.splitlines()[-1] == "meters agree"
    with opened(folder) as made:
        commit(made, batch(10, Increment(WEB, 1000, 10, 900, 9, lost_packets=1)))
    explained = "meters agree, and where they differ it is explained: web in at wire (loss, 100 octets)"
    assert run(config_file, *day).stdout.splitlines()[-1] == explained
    with opened(folder) as made:
        commit(made, batch(20, Increment(VPN, 5000, 10)))
    wrong = "meters disagree: VPN-to-parent out at inner by 5,000 octets (rule-nflog)"
    assert run(config_file, *day).stdout.splitlines()[-1] == wrong


def test_a_tunnel_is_held_against_its_rule_inside(tmp_path: Path, config_file: Path) -> None:
    key = TunnelKey("VPN-to-parent", "192.0.2.1", Direction.OUT)
    with opened(tmp_path / "store") as made:
        rule = Increment(VPN, 480, 5, 480, 5)
        commit(made, replace(batch(0, rule), tunnels=(TunnelIncrement(key, octets=1000, packets=15),)))

    (tunnel,) = json.loads(run(config_file, "--day", "2024-10-04", "--json").stdout)["tunnels"]
    told = {name: tunnel["agreement"][name] for name in ("word", "reason", "explained_octets")}
    assert told == {"word": "explained", "reason": "gro", "explained_octets": 520}


def test_a_time_without_our_rules_is_said_with_what_passed_at_most(store: Path, config_file: Path) -> None:
    keys = [CounterKey("wan0", way, ObservationPoint.RULES_GONE) for way in (Direction.IN, Direction.OUT)]
    with opened(store) as made:
        commit(made, batch(HOUR_S, Increment(keys[0], 4_000, 9), Increment(keys[1], 500, 3), length_s=600))
    answer = json.loads(run(config_file, "--day", "2024-10-04", "--json").stdout)

    assert answer["note"] == (
        "our rules did not stand all the time: at most 4,000 octets in and 500 out, with link headers, "
        "are in no counter"
    )
    assert answer["rules_gone"] == [
        {"name": "wan0", "direction": "in", "octets": 4_000, "frames": 9},
        {"name": "wan0", "direction": "out", "octets": 500, "frames": 3},
    ]
    assert answer["note"] in run(config_file, "--day", "2024-10-04").stdout
