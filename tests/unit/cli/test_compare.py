"""`ipsecmon compare` over a real store with planted traffic: what it finds, and what it does not pretend."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from ipsecmon.cli.compare import compare_command
from ipsecmon.model import (
    Batch,
    CounterKey,
    Direction,
    Increment,
    ObservationPoint,
    TunnelIncrement,
    TunnelKey,
)
from ipsecmon.qos import Event, EventKind, QueueIncrement, QueueKey, QueuePlace
from ipsecmon.store import LINE_NAMES
from tests.unit.store.store_cases import DAY_S, NS, T0_S, batch, commit, opened

IN, OUT = Direction.IN, Direction.OUT
WIRE, NIC = ObservationPoint.WIRE, ObservationPoint.NIC
LINK, DROPS = ObservationPoint.LINK_HEADERS, ObservationPoint.QDISC_DROPS
VPN, WEB = "VPN-to-parent", "web"
STEP_S, HOUR_S = 10, 3600
CHANGE_S = HOUR_S  # after T0_S
PACKET = 1000
FIFO = QueueKey("wan0", "pfifo", "1:", "root")
CLASSES = [QueueKey("wan0", "htb", f"1:{number}", "1:") for number in (10, 20)]


INGRESS = QueueKey("wan0", "ingress", "ffff:", "ffff:fff1")
SHAPER, ELSEWHERE = QueueKey("ifb0", "htb", "1:", "root"), QueueKey("ifb1", "htb", "1:", "root")


def interval(after_s: int, inbound: dict[str, int], outbound: dict[str, int], sent: dict[str, int]) -> Batch:
    """Packets by part; sent: of those outbound. One queue of all, or after CHANGE_S a class for each."""
    rows = []
    for way, packets in ((IN, inbound), (OUT, outbound)):
        carried = sum(sent.values()) if way is OUT else sum(packets.values())
        parts = {"T1": sum(packets.values()), **packets, "other": 0}
        rows += [Increment(CounterKey(name, way, WIRE), PACKET * one, one) for name, one in parts.items()]
        rows.append(Increment(CounterKey("wan0", way, NIC), (PACKET + 14) * carried, carried))
        rows.append(Increment(CounterKey("wan0", way, LINK), 14 * carried, carried))
    dropped = {name: outbound[name] - sent[name] for name in outbound}
    rows.append(Increment(CounterKey("wan0", OUT, DROPS), 0, sum(dropped.values())))
    tunnel = TunnelIncrement(
        TunnelKey(VPN, "198.51.100.7", IN), 950 * inbound[VPN], inbound[VPN], lost_packets=1
    )
    told = [(FIFO, sum(sent.values()), sum(dropped.values()))]
    if after_s >= CHANGE_S:
        told = [(key, sent[name], dropped[name]) for key, name in zip(CLASSES, (VPN, WEB))]
    queues = [QueueIncrement(key, (PACKET + 14) * packets, packets, drops) for key, packets, drops in told]
    came = sum(inbound.values())
    queues += [
        QueueIncrement(INGRESS, (PACKET + 14) * came, came),
        QueueIncrement(SHAPER, (PACKET + 14) * came, came, drops=100, place=QueuePlace("T1", IN)),
        QueueIncrement(ELSEWHERE, 7, 1, place=QueuePlace("T2", IN)),
    ]
    return replace(batch(after_s, *rows, length_s=STEP_S), tunnels=(tunnel,), queues=tuple(queues))


def two_hours(gain: float, first_s: int = 0) -> Iterable[Batch]:
    """300 packets of each part are offered in an interval and 400 carried; the VPN's share grows by gain."""
    rng = np.random.default_rng(1)
    for after_s in range(first_s, first_s + 2 * HOUR_S, STEP_S):
        vpn, web = (int(one) for one in rng.poisson(300, 2))
        vpn_sent = min(vpn, round(400 * vpn / (vpn + web) * (1 + gain * (after_s >= CHANGE_S))))
        sent = {VPN: vpn_sent, WEB: min(web, 400 - vpn_sent)}
        yield interval(after_s, {VPN: vpn, WEB: web}, {VPN: vpn, WEB: web}, sent)


def event(after_s: int = CHANGE_S, text: str = "wan0: root tbf 9: replaced by htb 1:") -> Event:
    at_ns = (T0_S + after_s) * NS
    return Event(EventKind.QDISC_CHANGED, at_ns, at_ns, text, "wan0", 2)


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("planted") / "store"
    with opened(folder) as store:
        commit(store, *two_hours(0.3))
        store.add_event(event())
    return folder


@pytest.fixture
def qos(planted: Path, tmp_path: Path) -> Path:
    """An hour of a queue for all, then one in which the VPN has a queue of its own."""
    shutil.copytree(planted, tmp_path / "store")
    return tmp_path


def run(config_file: Path, *arguments: str, status: int = 0) -> Result:
    result = CliRunner().invoke(compare_command, ["-c", str(config_file), *arguments])
    assert result.exit_code == status, result.output
    return result


def answer(config_file: Path, *arguments: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(run(config_file, "--json", *arguments).stdout)
    return document


def row(document: dict[str, Any], direction: str, kind: str, name: str) -> dict[str, Any]:
    (found,) = [
        one
        for one in document["rows"]
        if (one["direction"], one["kind"], one["name"]) == (direction, kind, name)
    ]
    return dict(found)


def test_the_vpn_gained_and_everything_else_lost(qos: Path, config_file: Path) -> None:
    """Offered is the same; what the queues carried is not."""
    document = answer(config_file)
    vpn, other = row(document, "out", "vpn", "VPN"), row(document, "out", "other", "everything else")
    assert (vpn["verdict"], vpn["verdict_together"]) == ("more", "more")
    assert (other["verdict"], other["verdict_together"]) == ("less", "less")
    assert row(document, "out", "line", "T1")["verdict"] == "no difference"
    for side, share in (("before", 200), ("after", 260)):
        truth = share * PACKET * 8 / STEP_S
        assert vpn[side]["mean_bits_per_s"] == pytest.approx(truth, rel=0.02)
        assert vpn[side]["offered_bits_per_s"] == pytest.approx(300 * PACKET * 8 / STEP_S, rel=0.02)
    assert (vpn["before"]["surety"], vpn["after"]["surety"]) == ("spread", "counted")
    assert vpn["mean"]["low_bits_per_s"] < 48_000 < vpn["mean"]["high_bits_per_s"]
    (inbound, outbound) = (one["sentence"] for one in document["summary"])
    assert "the VPN carried more (+3" in outbound and "everything else carried less" in outbound
    assert inbound.count("no difference") == 3


def test_the_line_tells_drops_and_how_full_it_was(qos: Path, config_file: Path) -> None:
    line = row(answer(config_file), "out", "line", "T1")
    assert line["before"]["missing_share"] == pytest.approx(1 / 3, rel=0.02)
    assert line["before"]["mean_bits_per_s"] == 320_000
    assert line["before"]["share_above_90_percent"] == 0  # of 1 Mbit/s
    assert line["before"]["octets"] == 400 * PACKET * HOUR_S // STEP_S


def test_a_line_under_a_new_name_has_its_old_one_not_as_a_part(qos: Path, config_file: Path) -> None:
    truth = answer(config_file)
    with opened(qos / "store") as store:
        store.set_state(LINE_NAMES, '["T1", "DSL"]')
    config_file.write_text(config_file.read_text().replace("T1", "DSL"))
    document = answer(config_file)
    for name in ("mean", "before", "after"):
        assert row(document, "in", "line", "DSL")[name] == row(truth, "in", "line", "T1")[name]
    assert not [one for one in document["rows"] if one["kind"] == "part" and one["name"] == "T1"]


def test_the_inside_of_tunnels_has_its_path_loss_and_queues_their_drops(qos: Path, config_file: Path) -> None:
    document = answer(config_file)
    tunnel = row(document, "in", "tunnel", VPN)
    assert tunnel["before"]["missing_packets"] == HOUR_S // STEP_S
    assert tunnel["before"]["missing_share"] == pytest.approx(1 / 301, rel=0.05)
    old, new = row(document, "out", "queue", "pfifo 1:"), row(document, "out", "queue", "htb 1:10")
    assert old["after"]["octets"] is None and new["before"]["octets"] is None
    assert new["after"]["mean_bits_per_s"] == pytest.approx(260 * 1014 * 8 / STEP_S, rel=0.02)


def test_what_comes_in_has_its_queues_in_rows_of_its_own(qos: Path, config_file: Path) -> None:
    """Those of the ifb that the line's ingress leads to, and the ingress itself: none of them goes out."""
    document = answer(config_file)
    queues = [(one["direction"], one["name"]) for one in document["rows"] if one["kind"] == "queue"]
    assert sorted(queues) == [
        ("in", "ifb0 htb 1:"),
        ("in", "ingress ffff:"),
        ("out", "htb 1:10"),
        ("out", "htb 1:20"),
        ("out", "pfifo 1:"),
    ]
    line, shaper = row(document, "in", "line", "T1"), row(document, "in", "queue", "ifb0 htb 1:")
    for side in ("before", "after"):
        came = line[side]["octets"] // PACKET
        assert shaper[side]["octets"] == (PACKET + 14) * came
        assert shaper[side]["missing_packets"] == 100 * HOUR_S // STEP_S
        assert shaper[side]["missing_share"] == pytest.approx(1 / 7, rel=0.02)
        assert line[side]["share"] == 1 and shaper[side]["share"] is None


def test_a_change_that_changed_nothing_is_no_difference(tmp_path: Path, config_file: Path) -> None:
    with opened(tmp_path / "store") as store:
        commit(store, *two_hours(0.0))
        store.add_event(event())
    document = answer(config_file)
    told = [one for one in document["rows"] if one["kind"] in ("line", "vpn", "other", "part")]
    assert {one["verdict"] for one in told} == {"no difference"}


def test_the_newest_event_is_taken_or_the_one_at_a_time(qos: Path, config_file: Path) -> None:
    with opened(qos / "store") as store:
        store.add_event(replace(event(CHANGE_S + 600, "VPN first"), kind=EventKind.MARK))
        store.add_event(replace(event(CHANGE_S + 900, "rules put back"), kind=EventKind.RULES_REPAIRED))
    assert answer(config_file)["event"]["text"] == "VPN first"
    document = answer(config_file, "--event", "2024-10-04T01:00:10Z")
    assert document["event"]["text"].startswith("wan0: root tbf")
    assert [one["text"] for one in document["other_events"]] == ["VPN first", "rules put back"]


def test_the_longer_side_of_an_event_is_cut_to_the_shorter_one(qos: Path, config_file: Path) -> None:
    """Within a day nothing can be matched by weekday and hour."""
    with opened(qos / "store") as store:
        store.add_event(replace(event(2 * HOUR_S - 1200, "late"), kind=EventKind.MARK))
    document = answer(config_file)
    assert document["matched_by"] is None
    assert (document["before"]["compared_s"], document["after"]["compared_s"]) == (1200, 1200)


def test_two_ranges_are_compared_and_a_gap_is_told(qos: Path, config_file: Path) -> None:
    document = answer(
        config_file,
        "--before",
        "2024-10-04T00:00Z..2024-10-04T01:00Z",
        "--after",
        "2024-10-04T01:00Z..2024-10-04T03:00Z",
    )
    assert document["event"] is None
    assert document["after"]["known_s"] == HOUR_S
    assert any("nothing is known of 1 h of 2 h" in note for note in document["notes"]), document["notes"]
    assert row(document, "in", "line", "T1")["verdict"] == "no difference"


def test_days_are_matched_by_weekday_and_hour(tmp_path: Path, config_file: Path) -> None:
    """A Friday against a Thursday and a Friday: only Fridays count, with thrice the traffic."""
    with opened(tmp_path / "store", interval_s=600) as store:
        for after_s in range(0, 8 * DAY_S, 600):
            packets = 900 if after_s // DAY_S in (0, 7) else 300
            commit(store, batch(after_s, *_in(packets), length_s=600))
    friday, after = "2024-10-04T00:00Z..2024-10-05T00:00Z", "2024-10-10T00:00Z..2024-10-12T00:00Z"
    ranges = ("--before", friday, "--after", after)
    matched, as_they_are = answer(config_file, *ranges), answer(config_file, *ranges, "--match", "none")
    assert row(matched, "in", "line", "T1")["verdict"] == "no difference"
    assert (matched["after"]["known_s"], matched["after"]["compared_s"]) == (2 * DAY_S, DAY_S)
    assert row(as_they_are, "in", "line", "T1")["mean"]["difference"] == pytest.approx(-1 / 3, abs=0.01)
    assert any("as they are" in note for note in as_they_are["notes"])


def _in(packets: int) -> list[Increment]:
    names = {"T1": packets, WEB: packets, VPN: 0, "other": 0}
    return [Increment(CounterKey(name, IN, WIRE), PACKET * one, one) for name, one in names.items()]


def test_minutes_are_too_little_data(tmp_path: Path, config_file: Path) -> None:
    with opened(tmp_path / "store") as store:
        commit(store, *(batch(after_s, *_in(300)) for after_s in range(0, 120, STEP_S)))
        store.add_event(event(60))
    document = answer(config_file)
    assert row(document, "in", "line", "T1")["verdict"] == "too little data"
    assert "too little data to tell" in run(config_file).stdout


def test_the_table_fits_a_hundred_columns_and_says_it_in_words(
    qos: Path, config_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ipsecmon.cli.render._FILE_WIDTH", 100)
    text = run(config_file).stdout
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 100
    for said in (
        "before and after",
        "no difference",
        "everything else~",
        "packets that the queue dropped",
        "htb 1:10",
    ):
        assert said in text, said
    assert "MB/s" not in text and "kB/s" in run(config_file, "--octets").stdout


def test_csv_has_a_row_for_each_row_and_direction(qos: Path, config_file: Path) -> None:
    result = run(config_file, "--csv")
    rows = list(csv.DictReader(result.stdout.splitlines()))
    (vpn,) = [one for one in rows if (one["direction"], one["kind"]) == ("out", "vpn")]
    assert float(vpn["after_mean_bits_per_s"]) == pytest.approx(208_000, rel=0.02)
    assert vpn["verdict"] == "more"
    assert len(rows) == len(answer(config_file)["rows"])


@pytest.mark.parametrize(("ending", "begins"), [("svg", b"<?xml"), ("png", b"\x89PNG")])
def test_a_chart_is_drawn(qos: Path, config_file: Path, ending: str, begins: bytes) -> None:
    file = qos / f"chart.{ending}"
    run(config_file, "--chart", str(file))
    drawn = file.read_bytes()
    assert drawn.startswith(begins) and len(drawn) > 10_000


def test_without_matplotlib_it_says_what_to_install(
    qos: Path, config_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    result = CliRunner().invoke(compare_command, ["-c", str(config_file), "--chart", str(qos / "a.png")])
    assert "pip install 'ipsecmon[chart]'" in str(result.exception)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--before", "2024-10-04..2024-10-05"), "write both"),
        (("--event", "last", "--before", "a..b", "--after", "c..d"), "write one"),
        (("--before", "2024-10-04", "--after", "2024-10-05..2024-10-06"), "is not a range: write FROM..TO"),
        (
            ("--before", "2024-10-05..2024-10-04", "--after", "2024-10-05..2024-10-06"),
            "ends before it begins",
        ),
        (
            ("--before", "2024-10-04..2024-10-06", "--after", "2024-10-05..2024-10-07"),
            "must not begin before",
        ),
        (("--json", "--csv"), "two formats"),
        (("--chart", "picture.gif"), "must end with .svg, .png, .pdf"),
        (("--chart", "/nowhere/picture.svg"), "no folder /nowhere"),
        (("--window", "7"), "is not a duration"),
    ],
)
def test_a_mistake_is_one_clear_line(
    qos: Path, config_file: Path, arguments: tuple[str, ...], said: str
) -> None:
    assert said in run(config_file, *arguments, status=2).output


def test_an_event_that_is_not_there_is_said(tmp_path: Path, config_file: Path) -> None:
    with opened(tmp_path / "store") as store:
        commit(store, batch(0))
    for arguments, said in (((), "no event in"), (("--event", "2024-10-04T12:00Z"), "no event at")):
        result = CliRunner().invoke(compare_command, ["-c", str(config_file), *arguments])
        assert said in str(result.exception)
