"""Tunnels, XFRM errors and events as points and as text, and the part of them that a sink gets."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from ipsecmon.model import Batch, Direction, SelfMeasurement, TunnelIncrement, TunnelKey
from ipsecmon.sinks.encoding import encode_csv, encode_json, encode_line_protocol
from ipsecmon.sinks.point import SeriesPoint
from ipsecmon.sinks.points import points_of
from ipsecmon.sinks.selection import select
from ipsecmon.sinks.tunnel_points import NUMBERS

from .samples import START_NS, batch

END_NS = START_NS + 10 * 10**9
END_S = END_NS // 10**9
PARENT_IN = TunnelKey("VPN-to-parent", "198.51.100.7", Direction.IN)
PARENT_OUT = PARENT_IN._replace(direction=Direction.OUT)
TAGS = {"router": "hq-gw1", "tunnel": "VPN-to-parent", "peer": "198.51.100.7", "direction": "in"}
FULL = replace(
    TunnelIncrement(PARENT_IN, *range(1, 21)), payload_octets=0, last_used_s=END_S - 3, added_s=END_S - 70
)


def of(*tunnels: TunnelIncrement, errors: tuple[tuple[str, int], ...] = (), **own: int) -> Batch:
    selves = tuple(SelfMeasurement("xfrm", kind.replace("_", "-"), value) for kind, value in own.items())
    return Batch("hq-gw1", START_NS, END_NS, (), selves, tunnels, errors)


def named(measurement: str, of_batch: Batch) -> list[SeriesPoint]:
    return [point for point in points_of(of_batch) if point.measurement == measurement]


def events(of_batch: Batch) -> dict[tuple[str, ...], int]:
    """By kind, tunnel and direction."""
    found = named("event", of_batch)
    counts = {tuple(list(point.tags.values())[1:]): int(point.fields["count"]) for point in found}
    assert len(counts) == len(found)
    return counts


def test_a_tunnel_is_a_point_with_all_its_numbers() -> None:
    (point,) = named("tunnel", of(FULL))
    numbers = {name: getattr(FULL, name) for name in NUMBERS}
    known = {"path_loss_packets": 14, "path_open_packets": 18, "unused_s": 3, "sa_age_s": 70}
    tags = {**TAGS, "observed_at": "inner"}
    assert FULL.lost_packets == 14 and FULL.open_packets == 18
    assert point == SeriesPoint("tunnel", tags, {**numbers, **known}, START_NS)


def test_what_the_sas_counted_in_transport_mode_stands_beside_it() -> None:
    inner, payload = named("tunnel", of(replace(FULL, octets=1200, payload_octets=1000, derived_octets=200)))
    assert (inner.fields["octets"], inner.fields["derived_octets"]) == (1200, 200)
    tags = {**TAGS, "observed_at": "payload"}
    assert payload == SeriesPoint("tunnel", tags, {"octets": 1000}, START_NS)


@pytest.mark.parametrize(
    ("changes", "is_told"),
    [
        ({"sas": 2, "sas_without_anti_replay": 0}, True),
        ({"sas": 2, "sas_without_anti_replay": 1}, True),
        ({"sas": 2, "sas_without_anti_replay": 2}, False),
        ({"sas": 0, "sas_without_anti_replay": 0}, False),
        ({"sas": 0, "lost_packets": 3}, True),
        ({"sas": 2, "key": PARENT_OUT}, False),
        ({"sas": 2, "key": PARENT_IN._replace(direction=Direction.UNKNOWN)}, True),
    ],
)
def test_path_loss_is_told_where_it_can_be_known(changes: dict[str, int], is_told: bool) -> None:
    one = replace(TunnelIncrement(PARENT_IN), **changes)  # type: ignore[arg-type]
    (point,) = named("tunnel", of(one))
    assert ("path_loss_packets" in point.fields) is is_told
    assert ("path_open_packets" in point.fields) is is_told


def test_times_that_are_not_known_are_absent_and_a_clock_set_back_gives_no_negative_ones() -> None:
    (point,) = named("tunnel", of(replace(FULL, last_used_s=None, added_s=None)))
    assert not {"unused_s", "sa_age_s"} & set(point.fields)
    (point,) = named("tunnel", of(replace(FULL, last_used_s=END_S + 9, added_s=END_S + 9)))
    assert (point.fields["unused_s"], point.fields["sa_age_s"]) == (0, 0)


def test_errors_are_points_by_the_kernels_name() -> None:
    assert named("xfrm_error", of(errors=(("XfrmInNoStates", 3),))) == [
        SeriesPoint("xfrm_error", {"router": "hq-gw1", "error": "XfrmInNoStates"}, {"packets": 3}, START_NS)
    ]


def test_what_happened_to_sas_is_an_event_a_kind_tunnel_and_direction() -> None:
    one = TunnelIncrement(PARENT_IN, births=3, rekeys=2, ends=4, unseen_ends=1)
    other = replace(one, key=PARENT_IN._replace(peer="2001:db8::1"))
    quiet = TunnelIncrement(PARENT_OUT, 1000, 10, births=1, rekeys=1)
    assert events(of(one, other, quiet)) == {
        ("sa-added", "VPN-to-parent", "in"): 2,
        ("rekey", "VPN-to-parent", "in"): 4,
        ("sa-ended", "VPN-to-parent", "in"): 6,
        ("sa-end-unseen", "VPN-to-parent", "in"): 2,
        ("rekey", "VPN-to-parent", "out"): 1,
    }


def test_an_event_has_a_sentence_and_its_end() -> None:
    (point,) = named("event", of(TunnelIncrement(PARENT_IN, births=2)))
    assert point.fields == {"count": 2, "text": "VPN-to-parent in: 2 SAs added", "end_ms": END_S * 1000}
    assert point.time_ns == START_NS
    (point,) = named("event", of(TunnelIncrement(PARENT_OUT, births=1, rekeys=1)))
    assert point.fields["text"] == "VPN-to-parent out: 1 SA replaced by a new one"


def test_flushes_and_missed_events_are_events_of_no_tunnel() -> None:
    assert events(of(flushes=1, missed_events=2, datagrams=5)) == {
        ("sa-flush",): 1,
        ("sa-events-missed",): 2,
    }
    texts = [point.fields["text"] for point in named("event", of(flushes=1, missed_events=2))]
    assert texts == ["1 time all SAs were flushed", "2 times events of SAs were missed"]


def test_no_two_points_fall_on_the_same_series() -> None:
    peers = [FULL, replace(FULL, key=PARENT_OUT), replace(FULL, key=PARENT_IN._replace(peer="192.0.2.9"))]
    found = points_of(of(*peers, errors=(("XfrmInError", 1), ("XfrmInNoStates", 1)), flushes=1))
    series = [(point.measurement, *point.tags.items()) for point in found]
    assert len(series) == len(set(series))


def test_no_tag_or_field_names_an_spi() -> None:
    words = {name for point in points_of(of(FULL, flushes=1)) for name in (*point.tags, *point.fields)}
    assert not [word for word in words if "spi" in word]


def test_line_protocol_quotes_text_and_leaves_integers_integers() -> None:
    key = PARENT_IN._replace(tunnel='a "b\\c"\nd')
    (line,) = [one for one in encode_line_protocol(of(TunnelIncrement(key, births=1))) if b"event" in one]
    assert rb'count=1i,end_ms=1795323610000i,text="a \"b\\c\" d in: 1 SA added" ' in line


def test_json_has_text_as_text() -> None:
    *_, line = encode_json(of(TunnelIncrement(PARENT_IN, births=1)))
    assert json.loads(line)["fields"] == {
        "count": 1,
        "text": "VPN-to-parent in: 1 SA added",
        "end_ms": END_S * 1000,
    }


def test_csv_has_one_row_a_tunnel_and_direction_apart_from_what_rules_counted() -> None:
    one = TunnelIncrement(PARENT_IN, 1000, 10, payload_octets=900, bridged_octets=5, bridged_packets=1)
    other = replace(one, key=PARENT_IN._replace(peer="192.0.2.9"))
    rows = [
        row.decode().rstrip("\n") for row in encode_csv(of(one, other, TunnelIncrement(PARENT_OUT, 7, 1)))
    ]
    times = "2026-11-22T05:00:00Z,2026-11-22T05:00:10Z,hq-gw1"
    assert rows == [
        f"{times},VPN-to-parent,in,tunnel,2000,20,0,0,0,0,10,2",
        f"{times},VPN-to-parent,out,tunnel,7,1,0,0,0,0,0,0",
    ]


def test_a_sink_with_names_gets_the_tunnels_of_these_and_no_errors() -> None:
    whole = replace(of(FULL, errors=(("XfrmInError", 1),), flushes=1), increments=batch().increments)
    chosen = select(whole, ("VPN-to-parent",))
    assert chosen.tunnels == (FULL,)
    assert [one.key.name for one in chosen.increments] == ["VPN-to-parent"]
    assert (chosen.self_measurements, chosen.xfrm_errors) == ((), ())
    assert select(whole, ("web",)).tunnels == ()
    assert select(whole, None) == whole


def test_an_end_that_nobody_saw_with_one_peer_takes_none_from_another() -> None:
    other = PARENT_IN._replace(peer="198.51.100.8")
    points = points_of(of(TunnelIncrement(PARENT_IN, ends=1), TunnelIncrement(other, unseen_ends=1)))
    counts = {point.tags["kind"]: point.fields["count"] for point in points if point.measurement == "event"}
    assert counts == {"sa-ended": 1, "sa-end-unseen": 1}
