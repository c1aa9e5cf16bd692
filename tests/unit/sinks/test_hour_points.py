"""Sums of an hour have measurements of their own, so that nobody adds them to what they are the sums of."""

from __future__ import annotations

from dataclasses import replace

from ipsecmon.model import (
    Direction,
    How,
    LineCapacity,
    ObservationPoint,
    PartIncrement,
    TunnelIncrement,
    TunnelKey,
)
from ipsecmon.sinks.hour_points import HOUR_NUMBERS
from ipsecmon.sinks.point import FieldValue, SeriesPoint
from ipsecmon.sinks.points import points_of
from ipsecmon.sinks.selection import select

from .samples import START_NS, WEB_OUT, batch, increment

TUNNEL = TunnelKey("parent", "", Direction.IN)
HOUR = replace(
    batch(),
    end_ns=START_NS + 3600 * 10**9,
    self_measurements=(),
    increments=(
        *batch().increments,
        increment(WEB_OUT._replace(observed_at=ObservationPoint.LINK_HEADERS), 14, 1),
        increment(WEB_OUT._replace(observed_at=ObservationPoint.IP), 14, 1),
    ),
    tunnels=(
        TunnelIncrement(TUNNEL, octets=900, packets=9, payload_octets=720, rekeys=2, lost_packets=4, sas=2),
    ),
    parts=(PartIncrement("T1", "web", Direction.OUT, 90, 1, How.ATTRIBUTED),),
    resolution_s=3600,
)


def test_each_kind_of_sum_has_a_measurement_of_its_own_at_the_hours_start() -> None:
    found = points_of(HOUR)
    names = ["counter_1h", "counter_1h", "interface_1h", "part_1h", "tunnel_1h", "tunnel_1h"]
    assert [point.measurement for point in found] == names
    assert {point.time_ns for point in found} == {START_NS}
    where = {"router": "hq-gw1", "counter": "web", "direction": "out", "observed_at": "inner"}
    assert found[1] == SeriesPoint("counter_1h", where, {"octets": 90, "packets": 1}, START_NS)
    where = {"router": "hq-gw1", "line": "T1", "part": "web", "direction": "out"}
    fields: dict[str, FieldValue] = {"octets": 90, "packets": 1, "how": "attributed"}
    assert found[3] == SeriesPoint("part_1h", where, fields, START_NS)


def test_a_tunnel_has_its_sums_and_no_levels_and_no_peer() -> None:
    inner, payload = points_of(HOUR)[-2:]
    where = {"router": "hq-gw1", "tunnel": "parent", "direction": "in"}
    assert inner.tags == {**where, "observed_at": "inner"}
    assert set(inner.fields) == set(HOUR_NUMBERS) and "sas" not in inner.fields
    assert (inner.fields["octets"], inner.fields["rekeys"], inner.fields["path_loss_packets"]) == (900, 2, 4)
    assert payload == SeriesPoint("tunnel_1h", {**where, "observed_at": "payload"}, {"octets": 720}, START_NS)


def test_an_hour_tells_what_its_line_can_carry() -> None:
    both = tuple(LineCapacity("T1", way, 1_544_000) for way in (Direction.IN, Direction.OUT))
    found = [one for one in points_of(replace(HOUR, capacities=both)) if one.measurement == "line_1h"]
    where = {"router": "hq-gw1", "line": "T1", "direction": "in"}
    assert found[0] == SeriesPoint("line_1h", where, {"capacity_bits_per_s": 1_544_000}, START_NS)
    assert [one.tags["direction"] for one in found] == ["in", "out"]


def test_a_selection_holds_for_hours_too() -> None:
    chosen = points_of(select(HOUR, ["web"]))
    assert [point.measurement for point in chosen] == ["counter_1h", "part_1h"]
