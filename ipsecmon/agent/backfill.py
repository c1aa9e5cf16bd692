"""Sends a range of the own history again, to sinks that make sending twice look like sending once.

Intervals as they were, as far back as they are kept, and the sums of every hour that is over. What is there
already is written over with itself, so an interrupted or repeated backfill does no harm. It works beside a
running agent, on a connection of its own, and takes nothing from the spool.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Callable, NamedTuple, Optional

from ipsecmon.agent.changes import name_sinks
from ipsecmon.config import Config
from ipsecmon.errors import ConfigError, Rejected, Unavailable
from ipsecmon.model import Batch
from ipsecmon.sinks import SINKS, Sink
from ipsecmon.sinks.points import points_of
from ipsecmon.sinks.seam import BulkSink
from ipsecmon.sinks.selection import select
from ipsecmon.store import hour_batches, kept_batches

__all__ = ["TRIES", "Progress", "Sent", "Target", "backfill", "targets"]

TRIES = 6  # of one request, a minute together: a server that is away for longer is away
_GROUP_POINTS = 5000  # about, at a time in memory

Progress = Callable[[int], None]
"""Told the end of what is safe, wall clock, ns."""


class Target(NamedTuple):
    """name: of the sink, by its place in the config. counters: the names it gets, None for all."""

    name: str
    sink: Sink
    counters: Optional[Collection[str]]


@dataclass(frozen=True)
class Sent:
    """refused: points that the far side takes at no time. refusal: what it said of the first."""

    intervals: int = 0
    hours: int = 0
    points: int = 0
    refused: int = 0
    refusal: Optional[str] = None


def targets(config: Config, name: Optional[str]) -> list[Target]:
    """The sinks that can be backfilled; only the one of that name, if there is one. Raises ConfigError."""
    names = name_sinks([(entry.kind, str(place)) for place, entry in enumerate(config.sinks)], {})
    found = [
        Target(one, SINKS[entry.kind].build(entry.settings), getattr(entry.settings, "counters", None))
        for one, entry in zip(names, config.sinks)
    ]
    able = [one for one in found if isinstance(one.sink, BulkSink)]
    chosen = [one for one in able if name in (None, one.name)]
    if not chosen:
        there = f"there is {', '.join(one.name for one in able)}" if able else "add an influxdb sink"
        wanted = f"sink {name}" if name else "sink"
        raise ConfigError(f"the config has no {wanted} that takes a range twice without harm: {there}")
    return chosen


def backfill(
    folder: Path,
    start_ns: int,
    end_ns: int,
    target: Target,
    progress: Progress,
    wait: Callable[[float], None] = time.sleep,
) -> Sent:
    """Everything of the range. Raises Unavailable when the server stays away, and StoreError."""
    sent = Sent()
    target.sink.start()
    try:
        for batches in (kept_batches(folder, start_ns, end_ns), hour_batches(folder, start_ns, end_ns)):
            for group, points in _grouped(select(batch, target.counters) for batch in batches):
                sent = _add(sent, group, points, _send(target.sink, group, wait))
                progress(group[-1].end_ns)
    finally:
        target.sink.stop()
    return sent


def _grouped(batches: Iterable[Batch]) -> Iterator[tuple[list[Batch], int]]:
    """And how many points they are."""
    group: list[Batch] = []
    points = 0
    for batch in batches:
        group.append(batch)
        points += len(points_of(batch))
        if points >= _GROUP_POINTS:
            yield group, points
            group, points = [], 0
    if group:
        yield group, points


def _send(sink: Sink, group: Sequence[Batch], wait: Callable[[float], None]) -> Optional[Rejected]:
    """What was refused of it, if anything was. Raises Unavailable after TRIES."""
    assert isinstance(sink, BulkSink)
    for left in reversed(range(TRIES)):
        try:
            sink.send_all(group)
            break
        except Rejected as refusal:
            return refusal
        except Unavailable as failure:
            if not left:
                raise
            wait(failure.retry_after_s or 2.0 ** (TRIES - 1 - left))
    return None


def _add(sent: Sent, group: Sequence[Batch], points: int, refusal: Optional[Rejected]) -> Sent:
    hours = sum(1 for batch in group if batch.resolution_s)
    return replace(
        sent,
        intervals=sent.intervals + len(group) - hours,
        hours=sent.hours + hours,
        points=sent.points + points,
        refused=sent.refused + ((refusal.dropped or 0) if refusal else 0),
        refusal=sent.refusal or (str(refusal) if refusal else None),
    )
