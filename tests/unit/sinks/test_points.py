"""A batch as points, and the part of a batch that a sink gets."""

from __future__ import annotations

from dataclasses import replace

from ipsecmon.model import (
    Baseline,
    Batch,
    CounterKey,
    Direction,
    How,
    Increment,
    LineCapacity,
    ObservationPoint,
    Pair,
    PartIncrement,
    Reason,
    Reconciliation,
)
from ipsecmon.sinks.point import SeriesPoint
from ipsecmon.sinks.points import points_of
from ipsecmon.sinks.selection import has_any, select

from .samples import START_NS, VPN_IN, WEB_OUT, batch, increment

TAGS = {"router": "hq-gw1", "counter": "VPN-to-parent", "direction": "in", "observed_at": "wire"}


def test_a_counter_gives_its_truth_and_beside_it_its_meter() -> None:
    truth, meter = points_of(Batch("hq-gw1", START_NS, START_NS + 1, (increment(),)))
    assert truth == SeriesPoint("counter", TAGS, {"octets": 1500, "packets": 3}, START_NS)
    assert meter.measurement == "meter"
    assert meter.tags == TAGS
    assert meter.fields == {
        "nflog_octets": 1100,
        "nflog_packets": 2,
        "lost_packets": 1,
        "pending_packets": 4,
        "bridged_octets": 5,
        "bridged_packets": 6,
    }


def test_an_agreement_says_in_octets_what_two_meters_make_of_the_same_packets() -> None:
    explained = Reconciliation(VPN_IN, Pair.RULE_NFLOG, 1500, 1100, 1, 400, Reason.LOSS)
    wrong = Reconciliation(VPN_IN, Pair.SA_RULE, 1500, 1100, 0, 100, Reason.SKEW)
    told = replace(batch(), increments=(), self_measurements=(), reconciliations=(explained, wrong))
    first, second = points_of(told)
    assert (first.measurement, first.tags) == ("agreement", {**TAGS, "pair": "rule-nflog"})
    assert first.fields == {
        "expected": 1500,
        "seen": 1100,
        "lost": 1,
        "explained": 400,
        "unexplained": 0,
        "agrees": 1,
    }
    assert (second.tags["pair"], second.fields["unexplained"], second.fields["agrees"]) == ("sa-rule", 300, 0)


def test_a_sink_with_names_gets_the_agreement_of_these() -> None:
    both = tuple(Reconciliation(key, Pair.RULE_NFLOG, 1, 1) for key in (VPN_IN, WEB_OUT))
    chosen = select(replace(batch(), reconciliations=both), ("web",))
    assert [one.key for one in chosen.reconciliations] == [WEB_OUT]


def test_an_interface_is_a_measurement_of_its_own_without_a_meter() -> None:
    found = [point for point in points_of(batch()) if "eth1" in point.tags.values()]
    tags = {"router": "hq-gw1", "interface": "eth1", "direction": "in"}
    assert found == [SeriesPoint("interface", tags, {"octets": 1600, "frames": 3}, START_NS)]


def test_a_term_of_the_line_is_a_measurement_of_its_own_without_a_meter() -> None:
    key = CounterKey("eth1", Direction.OUT, ObservationPoint.QDISC_DROPS)
    found = points_of(Batch("hq-gw1", START_NS, START_NS + 1, (Increment(key, 0, 7),)))
    tags = {"router": "hq-gw1", "interface": "eth1", "direction": "out", "term": "qdisc-drops"}
    assert found == [SeriesPoint("line_term", tags, {"octets": 0, "packets": 7}, START_NS)]


def test_the_agents_numbers_about_itself_are_points_too() -> None:
    tags = {"router": "hq-gw1", "component": "nflog", "kind": "overrun"}
    assert points_of(batch(7))[-1] == SeriesPoint("agent", tags, {"value": 7}, batch(7).start_ns)


def test_a_lines_capacity_is_told_in_bits_per_second_by_line_and_direction() -> None:
    both = (LineCapacity("T1", Direction.IN, 16_000_000), LineCapacity("T1", Direction.OUT, 1_000_000))
    found = points_of(Batch("hq-gw1", START_NS, START_NS + 1, (), capacities=both))
    tags = {"router": "hq-gw1", "line": "T1", "direction": "in"}
    assert found[0] == SeriesPoint("line", tags, {"capacity_bits_per_s": 16_000_000}, START_NS)
    assert found[1].tags["direction"] == "out" and found[1].fields == {"capacity_bits_per_s": 1_000_000}
    assert select(Batch("hq-gw1", 0, 1, (), capacities=both), ("web",)).capacities == ()
    assert select(Batch("hq-gw1", 0, 1, (), capacities=both), ("T1",)).capacities == both


def test_a_point_stands_at_the_start_of_its_interval() -> None:
    assert {point.time_ns for point in points_of(batch(3))} == {batch(3).start_ns}


def test_no_two_points_of_a_batch_fall_on_the_same_series() -> None:
    series = [(point.measurement, tuple(point.tags.items())) for point in points_of(batch())]
    assert len(series) == len(set(series)) == 6


def test_without_names_a_sink_gets_the_whole_batch() -> None:
    assert select(batch(), None) == batch()


def test_with_names_a_sink_gets_these_and_nothing_about_the_agent() -> None:
    chosen = select(batch(), ("VPN-to-parent", "unknown"))
    assert [part.key for part in chosen.increments] == [VPN_IN]
    assert chosen.self_measurements == ()
    assert (chosen.router, chosen.start_ns, chosen.end_ns) == ("hq-gw1", START_NS, batch().end_ns)


def test_an_interface_can_be_named_like_a_counter() -> None:
    assert [part.key.name for part in select(batch(), ("eth1",)).increments] == ["eth1"]


def test_parts_of_a_line_are_a_measurement_of_their_own_with_how_as_a_field() -> None:
    parts = (
        PartIncrement("T1", "vpn", Direction.IN, 1000, 10, How.ATTRIBUTED),
        PartIncrement("T1", "esp", Direction.IN, 0, 0, How.COUNTED),
    )
    found = points_of(Batch("gw", 5, 6, (), parts=parts))

    assert [(one.measurement, dict(one.tags), dict(one.fields), one.time_ns) for one in found] == [
        (
            "part",
            {"router": "gw", "line": "T1", "part": name, "direction": "in"},
            {"octets": octets, "packets": packets, "how": how},
            5,
        )
        for name, octets, packets, how in (("vpn", 1000, 10, "attributed"), ("esp", 0, 0, "counted"))
    ]
    for one in found:
        assert not set(one.tags) & set(one.fields)


def test_a_baseline_stands_at_the_time_that_it_is_compared_with() -> None:
    web = PartIncrement("T1", "web", Direction.OUT, 1000, 10, How.COUNTED)
    found = points_of(Batch("gw", 5, 6, (), baselines=(Baseline(86_400, "1d", (web,)),)))

    tags = {"router": "gw", "line": "T1", "part": "web", "direction": "out", "shift": "1d"}
    assert found == [SeriesPoint("baseline", tags, {"octets": 1000, "packets": 10, "how": "counted"}, 86_400)]


def test_a_sink_of_some_counters_gets_the_baselines_of_these() -> None:
    parts = tuple(PartIncrement("T1", name, Direction.IN, 1, 1, How.COUNTED) for name in ("web", "esp"))
    told = Batch("gw", 5, 6, (), baselines=(Baseline(7, "1d", parts), Baseline(8, "7d", parts[1:])))

    assert [one.tags["part"] for one in points_of(select(told, ("web",)))] == ["web"]
    assert has_any(select(told, ("esp",))) and not has_any(select(told, ("mail",)))


def test_shares_and_what_is_derived_have_no_meter_of_copies() -> None:
    increments = tuple(
        Increment(CounterKey("vpn", Direction.IN, point), 10, 1)
        for point in (ObservationPoint.ESP_SHARE, ObservationPoint.DERIVED)
    )
    found = points_of(Batch("gw", 5, 6, increments))

    assert [(one.measurement, one.tags["observed_at"]) for one in found] == [
        ("counter", "esp-share"),
        ("counter", "derived"),
    ]
