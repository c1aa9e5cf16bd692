"""`ipsecmon tunnels`: its JSON contract, its table at every width, and what it reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console

from ipsecmon.agent.control import NotRunning
from ipsecmon.cli.main import cli
from ipsecmon.cli.tunnel_table import Answer, print_table
from ipsecmon.cli.tunnels import tunnels_command, wire_octets
from ipsecmon.model import CounterKey, Direction, Increment, ObservationPoint, Pair, Reconciliation
from ipsecmon.store import TunnelReport
from tests.unit.cli.tunnel_cases import IN, NOW_S, NS, OUT, PARENT, START_NS, VPN, answer, found, row
from tests.unit.store.store_cases import DAY_S, T0_S, WEB, batch, commit, opened

ON_THE_LINE = CounterKey(VPN, Direction.IN, ObservationPoint.WIRE)


def run(config_file: Path, *arguments: str, status: int = 0) -> Any:
    result = CliRunner().invoke(tunnels_command, ["-c", str(config_file), *arguments])
    assert result.exit_code == status, result.output
    return result


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> TunnelReport:
    """What the store tells the command; now is 5 s after the newest interval."""
    newest: dict[str, Any] = {"last_octets": 1_250, "last_packets": 10}
    home = row(IN, 7_000, 70, sas=2, rekeys=4, lost_packets=3, added_s=NOW_S - 60, **newest)
    away = row(OUT, 5_000, 50, sas=1, rekeys=4, error_bound_octets=600, unseen_ends=1, last_used_s=NOW_S - 2)
    report = found(home, away, XfrmInNoStates=5)
    monkeypatch.setattr("ipsecmon.cli.tunnels.tunnel_report", lambda folder: report)
    monkeypatch.setattr("ipsecmon.cli.tunnels.layer_rows", lambda folder: [])
    monkeypatch.setattr("ipsecmon.cli.tunnels.wire_octets", lambda *of: {(VPN, IN): 7_700, (VPN, OUT): 5_500})
    inside = CounterKey(VPN, IN, ObservationPoint.INNER)
    agreed = {(VPN, IN): Reconciliation(inside, Pair.SA_RULE, 7_000, 6_000)}
    monkeypatch.setattr("ipsecmon.cli.tunnels.sa_agreements", lambda *of: agreed)
    monkeypatch.setattr("ipsecmon.cli.tunnels.time.time", lambda: NOW_S)
    return report


def test_json_keeps_its_contract(told: TunnelReport, config_file: Path) -> None:
    document = json.loads(run(config_file, "--json").stdout)
    (tunnel,) = document["tunnels"]
    direction = {"octets", "packets", "error_bound_octets"}
    assert {name: tunnel[name] for name in ("name", "peers", "sas", "rekeys", "path_loss_packets")} == {
        "name": VPN,
        "peers": [PARENT],
        "sas": 3,
        "rekeys": 4,
        "path_loss_packets": 3,
    }
    assert {name: tunnel["in"][name] for name in direction} == {
        "octets": 7_000,
        "packets": 70,
        "error_bound_octets": 0,
    }
    assert {name: tunnel["out"][name] for name in direction} == {
        "octets": 5_000,
        "packets": 50,
        "error_bound_octets": 600,
    }
    assert "unknown" not in tunnel


def test_json_says_whether_sas_and_the_rule_inside_agree(told: TunnelReport, config_file: Path) -> None:
    (tunnel,) = json.loads(run(config_file, "--json").stdout)["tunnels"]
    assert tunnel["in"]["agreement"] == {
        "word": "disagree",
        "reason": None,
        "pair": "sa-rule",
        "expected_octets": 7_000,
        "seen_octets": 6_000,
        "lost_packets": 0,
        "explained_octets": 0,
        "unexplained_octets": 1_000,
    }
    assert tunnel["out"]["agreement"] is None
    said = "its SAs counted more than its rule inside, and nothing explains 1,000 octets"
    assert f"meters disagree inbound: {said}" in tunnel["notes"]


def test_json_says_rates_ages_and_what_was_dropped(told: TunnelReport, config_file: Path) -> None:
    document = json.loads(run(config_file, "--json").stdout)
    (tunnel,) = document["tunnels"]
    assert (document["seconds"], document["until"]) == (10, "2026-11-18T11:06:35.000Z")
    assert (tunnel["in"]["bits_per_s"], tunnel["in"]["packets_per_s"]) == (1_000, 1)
    assert (tunnel["age_s"], tunnel["unused_s"], tunnel["overhead_ratio"]) == (60, 2, 1.1)
    assert document["xfrm_errors"] == {"XfrmInNoStates": 5}
    assert tunnel["notes"][0].startswith("up to 600 octets")


def test_a_config_without_a_running_agent_lists_its_tunnels(tmp_path: Path, config_file: Path) -> None:
    with opened(tmp_path / "store") as store:
        commit(store, batch(0))
    (tunnel,) = json.loads(run(config_file, "--json").stdout)["tunnels"]
    assert (tunnel["name"], tunnel["peers"], tunnel["in"]["octets"]) == (VPN, [], 0)
    assert (tunnel["age_s"], tunnel["unused_s"], tunnel["path_loss_packets"]) == (None, None, 0)
    assert VPN in run(config_file).stdout


def test_before_the_first_interval_there_are_no_times_and_rates(
    monkeypatch: pytest.MonkeyPatch, config_file: Path
) -> None:
    nothing = TunnelReport("", 0, 0, 0, (), ())
    monkeypatch.setattr("ipsecmon.cli.tunnels.tunnel_report", lambda folder: nothing)
    monkeypatch.setattr("ipsecmon.cli.tunnels.layer_rows", lambda folder: [])
    document = json.loads(run(config_file, "--json").stdout)
    assert (document["since"], document["until"]) == (None, None)
    assert document["tunnels"][0]["in"]["bits_per_s"] is None


def test_no_store_is_said_in_one_line(config_file: Path) -> None:
    result = CliRunner().invoke(cli, ["tunnels", "-c", str(config_file)])
    assert result.exit_code == 1
    assert result.output.startswith("ipsecmon: no store in ") and result.output.count("\n") == 1


def test_now_without_an_agent_is_said_and_the_rest_is_shown(
    told: TunnelReport, config_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(folder: Path, verb: str) -> None:
        assert verb == "close-interval"
        raise NotRunning("no agent is running")

    monkeypatch.setattr("ipsecmon.cli.closing.ask", refuse)
    result = run(config_file, "--now")
    assert "no agent is running; what is shown ends with the last closed interval" in result.output
    assert VPN in result.output


def drawn(shown: Answer, width: int) -> str:
    console = Console(width=width, highlight=False)
    with console.capture() as captured:
        print_table(shown, console)
    return captured.get()


@pytest.mark.parametrize("width", [80, 110, 160])
def test_no_line_is_wider_than_the_terminal_and_no_number_is_cut(width: int) -> None:
    full: dict[str, Any] = {"sas": 2, "added_s": NOW_S - 99, "lost_packets": 2107, "last_octets": 1_700_000}
    rows = [row(IN, 48 * 10**9, 41_233_112, **full), row(OUT, 9 * 10**9, 20_233_112, rekeys=312)]
    rows += [row(IN, 1, 1, tunnel="a-name-longer-than-any-column", peer="2001:db8:1:2:3:4:5:6", sas=1)]
    text = drawn(answer(found(*rows)), width)
    assert max(len(line) for line in text.splitlines()) <= width
    for wanted in ("1.4 Mbit/s", "48.0 GB", "9.0 GB", "2,107, <0.1%"):
        assert wanted in text
    assert "…" not in text


def test_columns_go_in_order_of_what_is_missed_least() -> None:
    shown = answer(found(row(IN, 9_000, 90, sas=1, added_s=NOW_S - 99)))
    headings = {width: drawn(shown, width).splitlines()[3].split() for width in (80, 100, 160)}
    assert {"age", "overhead", "peers", "rekeys"} <= set(headings[160])
    assert {"rekeys", "SAs", "loss"} <= set(headings[100]) and "age" not in headings[100]
    assert headings[80] == ["tunnel", "in", "out", "total", "in", "total", "out", "SAs", "rekeys", "loss"]


def test_the_first_peers_are_named_and_the_others_counted() -> None:
    rows = [row(IN, 1, 1, peer=f"203.0.113.{n}", sas=1) for n in range(1, 6)]
    assert "203.0.113.1, 203.0.113.2 +3" in drawn(answer(found(*rows)), 160)


def test_a_name_cannot_command_the_terminal() -> None:
    text = drawn(answer(found(row(IN, 1, 1, tunnel="\x1b]0;owned\x07[red]x", integrity_failures=1))), 160)
    assert "\x1b" not in text and "\x07" not in text
    assert "\\x1b]0;owned\\x07" in text and "[red]x" in text


def test_notes_and_errors_stand_below_the_table() -> None:
    text = drawn(answer(found(row(IN, 1, 1, integrity_failures=7), XfrmInNoStates=5, XfrmInError=0)), 110)
    assert f"{VPN}: 7 packets failed the integrity check" in text
    assert text.splitlines()[-1] == "packets that this machine's XFRM dropped: XfrmInNoStates 5"


def test_old_rates_are_said_to_be_old() -> None:
    told = found(row(IN, 1, 1))
    assert "rates of 10 s\n" in drawn(answer(told), 110)
    assert "rates of 10 s, 2.0 h ago" in drawn(answer(told, later_s=7_200), 110)


def test_nothing_at_all_is_said() -> None:
    nothing = answer(TunnelReport("", START_NS, START_NS, START_NS, (), ()))
    assert "nothing is recorded yet\nthe config names no tunnel, and no SA was seen" in drawn(nothing, 110)


def test_the_wire_is_read_over_the_same_time_also_from_coarse_history(tmp_path: Path) -> None:
    after_s = (1_000, 1_010, 3 * DAY_S, 3 * DAY_S + 10)
    with opened(tmp_path) as store:
        commit(store, *(batch(one, Increment(ON_THE_LINE, 700, 7), Increment(WEB, 9, 1)) for one in after_s))
    told = TunnelReport("hq-gw1", (T0_S + 1_000) * NS, 0, (T0_S + 3 * DAY_S + 20) * NS, (), ())
    assert wire_octets(tmp_path, told, 10 * NS)[(VPN, IN)] == 2_800


def test_the_wire_is_not_compared_where_history_began_earlier(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        commit(store, batch(-DAY_S + 5, Increment(ON_THE_LINE, 700, 7), length_s=DAY_S), batch(DAY_S))
    told = TunnelReport("hq-gw1", (T0_S - 100) * NS, 0, (T0_S + DAY_S + 10) * NS, (), ())
    assert wire_octets(tmp_path, told, 10 * NS) == {}


@pytest.mark.parametrize("lost", [0, 1])
def test_a_share_of_esp_is_what_a_tunnel_had_on_the_wire_if_no_copy_of_it_was_lost(
    tmp_path: Path, lost: int
) -> None:
    esp = CounterKey("esp", IN, ObservationPoint.WIRE)
    share = CounterKey(VPN, IN, ObservationPoint.ESP_SHARE)
    with opened(tmp_path) as store:
        commit(store, batch(0, Increment(esp, 1000, 10, lost_packets=lost), Increment(share, 600, 6)))
    told = TunnelReport("hq-gw1", T0_S * NS, 0, (T0_S + 10) * NS, (), ())

    assert wire_octets(tmp_path, told, 10 * NS).get((VPN, IN)) == (None if lost else 600)
