"""Layers and road warriors as points, and the part of them that a sink gets."""

from __future__ import annotations

from dataclasses import replace

from ipsecmon.model import (
    CounterKey,
    Direction,
    Increment,
    Layer,
    LayerIncrement,
    LayerKey,
    ObservationPoint,
)
from ipsecmon.sinks.encoding import encode_csv
from ipsecmon.sinks.points import points_of
from ipsecmon.sinks.selection import select

from .samples import batch

IN = Direction.IN


def layer(tunnel: str, layer: Layer, link: str, octets: int) -> LayerIncrement:
    return LayerIncrement(LayerKey(tunnel, layer, link, IN), octets, octets // 100, 0, 0)


LAYERED = replace(
    batch(),
    increments=(Increment(CounterKey("berlin", IN, ObservationPoint.IP), 2280, 10),),
    layers=(
        layer("berlin", Layer.GRE, "", 2520),
        layer("berlin", Layer.IP, "gre1", 2280),
        layer("warriors", Layer.L2TP, "", 4000),
        layer("warriors", Layer.IP, "anna", 1500),
        layer("warriors", Layer.IP, "10.9.0.3", 1200),
    ),
)


def told(measurement: str, tag: str) -> dict[tuple[str, str], int]:
    return {
        (point.tags["tunnel"], point.tags[tag]): int(point.fields["octets"])
        for point in points_of(LAYERED)
        if point.measurement == measurement
    }


def test_each_layer_is_one_point_its_interfaces_together() -> None:
    assert told("layer", "layer") == {
        ("berlin", "gre"): 2520,
        ("berlin", "ip"): 2280,
        ("warriors", "l2tp"): 4000,
        ("warriors", "ip"): 2700,
    }


def test_only_l2tp_has_road_warriors() -> None:
    assert told("road_warrior", "warrior") == {("warriors", "anna"): 1500, ("warriors", "10.9.0.3"): 1200}


def test_the_innermost_layer_is_in_no_counter_series_and_in_csv_under_its_observation_point() -> None:
    assert not [point for point in points_of(LAYERED) if point.measurement in ("counter", "meter")]
    assert [row.split(b",")[3:7] for row in encode_csv(LAYERED)] == [[b"berlin", b"in", b"ip", b"2280"]]


def test_a_sink_of_one_tunnel_gets_its_layers_alone() -> None:
    assert {one.key.tunnel for one in select(LAYERED, ["berlin"]).layers} == {"berlin"}
