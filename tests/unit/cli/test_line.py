"""`ipsecmon line`: its JSON contract, its table at every width, and what it reads."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Optional

import pytest
from click.testing import CliRunner
from rich.console import Console

from ipsecmon.account.partition import Volume
from ipsecmon.agent.line import LineReport, ways_of
from ipsecmon.cli.line import describe_line, line_command
from ipsecmon.cli.line_table import print_lines
from ipsecmon.config import load
from ipsecmon.model import CounterKey, Direction, Increment, ObservationPoint
from tests.unit.cli.tunnel_cases import IN, NOW_S, NS, OUT, START_NS, VPN, answer, found, row
from tests.unit.store.store_cases import batch, commit, opened

WIRE, NIC, LINK = ObservationPoint.WIRE, ObservationPoint.NIC, ObservationPoint.LINK_HEADERS
TUNNELS = answer(found(row(IN, 600_000, 600, sas=1), row(OUT, 60_000, 60, sas=1)), VPN)


def rows(way: Direction, times: int = 1, extra: int = 0) -> dict[CounterKey, Volume]:
    """1000 packets in two parts, and the interface under Ethernet."""
    parts = {VPN: Volume(700_000 * times, 700 * times), "web": Volume(300_000 * times, 300 * times)}
    return {
        CounterKey("T1", way, WIRE): Volume(1_000_000 * times, 1000 * times),
        **{CounterKey(name, way, WIRE): volume for name, volume in parts.items()},
        CounterKey("wan0", way, NIC): Volume(1_014_000 * times + extra, 1000 * times),
        CounterKey("wan0", way, LINK): Volume(14_000 * times, 1000 * times),
    }


@pytest.fixture
def report(config_file: Path) -> LineReport:
    """Inbound to the octet, outbound 5 octets off."""
    lines = load(config_file).lines
    ways = ways_of(lines[0], lines, {**rows(IN, 9), **rows(OUT, 9, extra=5)}, {**rows(IN), **rows(OUT)})
    return LineReport(lines[0], ways, START_NS, NOW_S * NS, 10.0)


def printed(report: LineReport, width: int, in_bits: Optional[bool] = None) -> str:
    console = Console(width=width, record=True, force_terminal=True, file=io.StringIO(), highlight=False)
    print_lines([report], TUNNELS, console, in_bits)
    return console.export_text()


def test_a_queue_that_dropped_nothing_is_said_where_what_it_carried_is_not_known(report: LineReport) -> None:
    way = report.ways[OUT]
    unknown = replace(way.identity, terms={**way.identity.terms, "link-headers": None})
    text = printed(replace(report, ways={**report.ways, OUT: replace(way, identity=unknown)}), 100)

    assert "offered 9.0 MB, carried –, the queue dropped nothing" in text


def test_old_rates_are_said_to_be_old(report: LineReport) -> None:
    assert "rates of 10 s\n" in printed(report, 100)
    console = Console(width=100, record=True, file=io.StringIO())
    print_lines([report], replace(TUNNELS, now_s=NOW_S + 7_200), console, None)
    assert "rates of 10 s, 2.0 h ago\n" in console.export_text()


def test_json_keeps_its_contract(report: LineReport) -> None:
    document = json.loads(json.dumps(describe_line(report, TUNNELS)))

    assert document["line"] == {
        "name": "T1",
        "interface": "wan0",
        "capacity_bits_per_s": {"in": 2_000_000, "out": 1_000_000},
    }
    inbound = document["in"]
    assert (inbound["nic_octets"], inbound["agreement"]) == (9 * 1_014_000, "agree")
    assert inbound["terms"]["link-headers"] == 9 * 14_000
    assert [(part["name"], part["octets"], part["packets"]) for part in inbound["parts"]] == [
        (VPN, 6_300_000, 6_300),
        ("web", 2_700_000, 2_700),
    ]
    assert (inbound["bits_per_s"], inbound["utilization"]) == (800_000, 0.4)
    assert (document["out"]["agreement"], document["out"]["unexplained_octets"]) == ("disagree", 5)
    assert [one["name"] for one in document["tunnels"]] == [VPN]


def test_the_line_itself_is_no_part_of_it(report: LineReport) -> None:
    assert "T1" not in [part.name for part in report.ways[IN].parts]


@pytest.mark.parametrize("width", [80, 110, 160])
def test_the_table_fits_its_terminal(report: LineReport, width: int) -> None:
    lines = printed(report, width).splitlines()

    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    for said in ("70.0%", "agree, to the octet", "disagree", "5 octets more", "40.0%", "not to be added"):
        assert said in text, said


def test_units_are_one_s_choice(report: LineReport) -> None:
    assert "800.0 kbit/s" in printed(report, 110) and "6.3 MB" in printed(report, 110)
    assert "50.4 Mbit" in printed(report, 110, in_bits=True)
    assert "100.0 kB/s" in printed(report, 110, in_bits=False)


def test_an_empty_store_is_said(config_file: Path) -> None:
    with opened(config_file.parent / "store"):
        pass
    result = CliRunner().invoke(line_command, ["-c", str(config_file)])

    assert result.exit_code == 0, result.output
    assert "nothing is recorded yet" in result.output


def test_a_real_store_is_read_whole_and_its_newest_interval_apart(config_file: Path) -> None:
    def increments(times: int) -> list[Increment]:
        return [Increment(key, *volume) for key, volume in rows(IN, times).items()]

    with opened(config_file.parent / "store") as store:
        commit(store, batch(0, *increments(3)), batch(10, *increments(1)))
    result = CliRunner().invoke(line_command, ["-c", str(config_file), "--json"])
    document: dict[str, Any] = json.loads(result.output)

    assert document["in"]["nic_octets"] == 4 * 1_014_000
    assert (document["in"]["agreement"], document["seconds"]) == ("agree", 10.0)
    assert document["in"]["bits_per_s"] == 800_000
    assert document["out"]["parts"] == []
    assert "lines" not in document


def test_a_tunnel_that_shares_a_part_is_a_part_and_says_how_it_is_known(config_file: Path) -> None:
    def increments(**of_esp: int) -> list[Increment]:
        return [
            Increment(CounterKey("esp", IN, WIRE), 1000, 10, **of_esp),
            Increment(CounterKey("branch", IN, ObservationPoint.ESP_SHARE), 700, 7),
        ]

    with opened(config_file.parent / "store") as store:
        commit(store, batch(0, *increments()))
    result = CliRunner().invoke(line_command, ["-c", str(config_file), "--json"])
    parts = json.loads(result.output)["in"]["parts"]
    assert [(one["name"], one["octets"], one["how"]) for one in parts] == [
        ("branch", 700, "counted"),
        ("esp", 300, "counted"),
    ]

    with opened(config_file.parent / "store") as store:
        commit(store, batch(10, *increments(lost_packets=1)))
    result = CliRunner().invoke(line_command, ["-c", str(config_file)])
    assert "branch ~" in result.output and "esp ~" in result.output
    assert "~ attributed" in result.output


def test_what_is_derived_closes_the_identity_and_cannot_agree_with_it(config_file: Path) -> None:
    line = load(config_file).lines[0]
    seen = rows(IN)
    seen[CounterKey("wan0", IN, NIC)] = Volume(1_014_000 + 10 * 1070, 1010)
    seen[CounterKey("wan0", IN, LINK)] = Volume(14_140, 1010)
    blind = ways_of(line, [line], seen, seen)[IN].identity
    seen[CounterKey(VPN, IN, ObservationPoint.DERIVED)] = Volume(10 * 1056, 10)
    way = ways_of(line, [line], seen, seen)[IN]

    assert (blind.agreement.value, blind.unexplained) == ("disagree", 10_560)
    assert "flowtable" in blind.reasons[-1]
    assert (way.identity.agreement.value, way.identity.unexplained) == ("explained", 0)
    assert "10 packets of ESP were seen by no rule" in way.identity.reasons[-1]
    assert {part.name: part.how.value for part in way.parts} == {VPN: "derived", "web": "counted"}
    assert way.last == Volume(1_010_560, 1010)
