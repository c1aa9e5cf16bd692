"""Which part of a batch a sink gets: the one place that knows what `counters:` means."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Optional

from ipsecmon.model import Batch

__all__ = ["has_any", "select"]


def select(batch: Batch, counters: Optional[Collection[str]]) -> Batch:
    """The increments of the named counters; the whole batch when no names are given.

    Everything goes by its name, the line's aggregate and capacity, the interfaces and the tunnels too. The
    agent's measurements of itself, XFRM's errors, rules and marks belong to no counter: they are left out of
    any selection; queues and their changes go by their interface, queues by their line too.
    """
    if counters is None:
        return batch
    chosen = tuple(increment for increment in batch.increments if increment.key.name in counters)
    tunnels = tuple(one for one in batch.tunnels if one.key.tunnel in counters)
    layers = tuple(one for one in batch.layers if one.key.tunnel in counters)
    agreement = tuple(one for one in batch.reconciliations if one.key.name in counters)
    return replace(
        batch,
        increments=chosen,
        self_measurements=(),
        tunnels=tunnels,
        xfrm_errors=(),
        reconciliations=agreement,
        layers=layers,
        parts=tuple(one for one in batch.parts if one.part in counters),
        capacities=tuple(one for one in batch.capacities if one.line in counters),
        queues=tuple(
            one for one in batch.queues if one.key.interface in counters or one.place.line in counters
        ),
        events=tuple(one for one in batch.events if one.interface in counters),
        baselines=tuple(
            one._replace(parts=tuple(part for part in one.parts if part.part in counters))
            for one in batch.baselines
        ),
    )


def has_any(batch: Batch) -> bool:
    """Whether there is anything to send."""
    parts = (batch.increments, batch.self_measurements, batch.tunnels, batch.xfrm_errors)
    if any((*parts, batch.reconciliations, batch.layers, batch.parts, batch.queues, batch.events)):
        return True
    return any(one.parts for one in batch.baselines)
