"""Layers inside tunnels, and road warriors, as points.

    measurement   tags                                fields
    layer         router, tunnel, layer, direction    LAYER_FIELDS
    road_warrior  router, tunnel, warrior, direction  LAYER_FIELDS

A warrior is whoever has an L2TP session: of `inside: gre` there is none. The same packets are at each layer:
never to be summed over layers, nor with `counter` or `tunnel`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from ipsecmon.model import Batch, Layer, LayerIncrement, LayerKey
from ipsecmon.sinks.point import SeriesPoint

__all__ = ["LAYER_FIELDS", "points_of_layers"]

LAYER_FIELDS = ("octets", "packets", "bridged_octets", "bridged_packets")


def points_of_layers(batch: Batch) -> Iterator[SeriesPoint]:
    """In a stable order."""
    for one in _without_links(batch.layers):
        yield _point(batch, "layer", {"layer": one.key.layer.value}, one)
    of_warriors = {one.key.tunnel for one in batch.layers if one.key.layer is Layer.L2TP}
    for one in batch.layers:
        if one.key.link and one.key.tunnel in of_warriors:
            yield _point(batch, "road_warrior", {"warrior": one.key.link}, one)


def _without_links(layers: Iterable[LayerIncrement]) -> list[LayerIncrement]:
    """The interfaces of a layer together."""
    found: dict[LayerKey, LayerIncrement] = {}
    for one in layers:
        key = one.key._replace(link="")
        was = found.get(key, LayerIncrement(key))
        sums = {name: getattr(was, name) + getattr(one, name) for name in LAYER_FIELDS}
        found[key] = replace(was, **sums)
    return list(found.values())


def _point(batch: Batch, measurement: str, tags: dict[str, str], one: LayerIncrement) -> SeriesPoint:
    where = {"router": batch.router, "tunnel": one.key.tunnel, **tags, "direction": one.key.direction.value}
    fields = {name: getattr(one, name) for name in LAYER_FIELDS}
    return SeriesPoint(measurement, where, dict(fields), batch.start_ns)
