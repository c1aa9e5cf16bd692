"""`ipsecmon status` says how the store is (size, refusals, what it gave up), and how SAs are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ipsecmon.cli.status import status_command

STORE: dict[str, Any] = {
    "octets_in_use": 81_000_000,
    "file_octets": 82_000_000,
    "wal_octets": 4_000_000,
    "spool_octets": 1_500_000,
    "max_octets": 2_000_000_000,
    "refusal": None,
    "dropping": [],
    "trimmed": False,
    "too_small": False,
}
SINK: dict[str, Any] = {
    "name": "influxdb",
    "healthy": True,
    "last_error": None,
    "sent_batches": 9,
    "rejected_points": 0,
    "backlog_batches": 3,
    "backlog_oldest_ns": 1_795_323_600 * 10**9,
    "dropped_batches": 0,
}


def status(
    monkeypatch: pytest.MonkeyPatch,
    config_file: Path,
    store: dict[str, Any],
    sink: dict[str, Any],
    **more: Any,
) -> tuple[int, str]:
    """Exit status and text, of an agent whose store and sink differ in this from a healthy one's.

    more: what else it answers.
    """
    answer = {
        "router": "hq",
        "interval_s": 10,
        "last_interval_end_ns": None,
        "rules_stand": True,
        "nfmarks_refused": [],
        "dropped_datagrams": 0,
        "counts": {},
        "store": store,
        "sinks": [{**SINK, **sink}],
        **more,
    }
    monkeypatch.setattr("ipsecmon.cli.status.ask", lambda folder, verb: answer)
    monkeypatch.setenv("COLUMNS", "200")
    done = CliRunner().invoke(status_command, ["-c", str(config_file)])
    return done.exit_code, done.output


def test_a_healthy_store_says_its_size(monkeypatch: pytest.MonkeyPatch, config_file: Path) -> None:
    code, said = status(monkeypatch, config_file, STORE, {})
    assert code == 0
    assert "81.0 MB of 2.0 GB, spool 1.5 MB" in said
    assert "delivers, 3 batches waiting" in said and "all is well" in said


def test_a_store_that_refuses_is_a_trouble(monkeypatch: pytest.MonkeyPatch, config_file: Path) -> None:
    refusing = {**STORE, "refusal": "no space left for [/x]"}
    code, said = status(monkeypatch, config_file, refusing, {})
    assert code == 1
    assert "no space left for [/x]; counting goes on in memory" in said


def test_a_store_that_cannot_even_be_read_is_said(monkeypatch: pytest.MonkeyPatch, config_file: Path) -> None:
    unknown = {"backlog_batches": None, "backlog_oldest_ns": None, "dropped_batches": None}
    code, said = status(monkeypatch, config_file, {"refusal": "disk I/O error"}, unknown)
    assert code == 1
    assert "disk I/O error" in said and "unknown batches waiting" in said


def test_what_was_given_up_is_said(monkeypatch: pytest.MonkeyPatch, config_file: Path) -> None:
    full = {**STORE, "dropping": ["influxdb"], "trimmed": True, "too_small": True}
    lost = {"dropped_batches": 1200, "rejected_points": 7}
    code, said = status(monkeypatch, config_file, full, lost)
    assert code == 1
    assert "spool is full, oldest intervals are dropped: influxdb" in said
    assert "store.max_size is too small for these counters" in said
    assert "at its size: fine history goes early" in said
    assert "3 batches waiting, the oldest of 2026-11-22" in said
    assert ", 1,200 dropped batches, 7 rejected points" in said


def test_how_sas_are_read_is_said_where_they_are(monkeypatch: pytest.MonkeyPatch, config_file: Path) -> None:
    reading = {"reader": "netlink", "sas": 1200, "error": ""}
    code, said = status(monkeypatch, config_file, STORE, {}, xfrm=reading)
    assert code == 0 and "1,200 alive, read by netlink" in said
    assert "read by" not in status(monkeypatch, config_file, STORE, {})[1]


def test_sas_that_cannot_be_read_are_a_trouble(monkeypatch: pytest.MonkeyPatch, config_file: Path) -> None:
    reading = {"reader": "ip-xfrm", "sas": 0, "error": "ip [x] ended\x1b"}
    code, said = status(monkeypatch, config_file, STORE, {}, xfrm=reading)
    assert code == 1 and "ip [x] ended\\x1b" in said and "all is well" not in said


def test_findings_of_the_doctor_are_shown_and_a_wrong_one_is_a_trouble(
    monkeypatch: pytest.MonkeyPatch, config_file: Path
) -> None:
    risk = {"severity": "risk", "kind": "clock", "what": "not [synchronised]\x1b"}
    code, said = status(monkeypatch, config_file, STORE, {}, doctor=[risk])
    assert code == 0 and "risk: clock: not [synchronised]\\x1b" in said and "all is well" in said
    code, said = status(monkeypatch, config_file, STORE, {}, doctor=[{**risk, "severity": "wrong"}])
    assert code == 1 and "wrong: clock" in said and "all is well" not in said


def test_rules_that_were_gone_are_told_with_how_often_and_how_long(
    monkeypatch: pytest.MonkeyPatch, config_file: Path
) -> None:
    gaps = {"rules.gaps": 2, "rules.gap-ms": 3140}
    code, said = status(monkeypatch, config_file, STORE, {}, counts=gaps)

    assert code == 0
    assert "installed; gone 2 times since the start, 3.1 s at most" in said


def test_whether_parts_and_interface_agree_is_shown_and_no_trouble(
    monkeypatch: pytest.MonkeyPatch, config_file: Path
) -> None:
    line = {"name": "T1", "reason": "qdisc-drops", "unexplained_octets": 0}
    lines = [
        {**line, "direction": "in", "word": "agree", "reason": None},
        {**line, "direction": "out", "word": "disagree", "unexplained_octets": 1234},
    ]
    code, text = status(monkeypatch, config_file, STORE, {}, lines=lines)

    assert code == 0 and "all is well" in text
    assert "line T1 in" in text and "parts and interface agree" in text
    assert "parts and interface disagree by 1,234 octets, qdisc-drops" in text


def test_it_says_what_is_counted_layer_by_layer_and_what_is_in_no_tunnel(
    monkeypatch: pytest.MonkeyPatch, config_file: Path
) -> None:
    unclaimed = [f"gre{number}" for number in range(1, 11)]
    layers = {"inside": {"berlin": "gre"}, "unclaimed": unclaimed, "error": ""}
    code, text = status(monkeypatch, config_file, STORE, {}, layers=layers)
    assert code == 0
    assert "gre in berlin; in none of them: gre1, gre2" in text
    assert "gre8 and 2 more" in text


def test_an_xfrm_interface_of_several_tunnels_is_said(
    monkeypatch: pytest.MonkeyPatch, config_file: Path
) -> None:
    shared = {"ipsec0": ["berlin", "lyon"]}
    layers = {"inside": {"berlin": "xfrm"}, "unclaimed": ["ipsec0"], "shared": shared, "error": ""}
    code, text = status(monkeypatch, config_file, STORE, {}, layers=layers)
    assert code == 0
    assert "in none of them: ipsec0; SAs of ipsec0 are in several: berlin, lyon" in " ".join(text.split())


def test_layers_that_cannot_be_read_are_a_trouble(monkeypatch: pytest.MonkeyPatch, config_file: Path) -> None:
    layers = {"inside": {"berlin": "gre"}, "unclaimed": [], "error": "no memory"}
    code, text = status(monkeypatch, config_file, STORE, {}, layers=layers)
    assert code == 1
    assert "gre in berlin" in text


def test_an_interface_that_is_not_there_is_a_trouble(
    monkeypatch: pytest.MonkeyPatch, config_file: Path
) -> None:
    code, said = status(monkeypatch, config_file, STORE, {}, interfaces_gone=["ppp0"])
    assert code == 1 and "there is no ppp0 now" in said and "all is well" not in said
    assert status(monkeypatch, config_file, STORE, {}, interfaces_gone=[])[0] == 0


def test_what_servers_and_people_wrote_is_shown_as_it_is(
    monkeypatch: pytest.MonkeyPatch, config_file: Path
) -> None:
    failing = {"healthy": False, "last_error": "status 500 ([/red] \x1b[2J)"}
    code, said = status(monkeypatch, config_file, STORE, failing, router="[/b]", nfmarks_refused=["[/x]"])
    assert code == 1
    assert "status 500 ([/red] \\x1b[2J)" in said
    assert "[/b]" in said and "not written: [/x]" in said
