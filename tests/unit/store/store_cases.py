"""Batches, readings and opened stores for the tests of the store."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Optional

from ipsecmon.clock import Moment
from ipsecmon.model import Batch, CounterKey, Counts, Direction, Increment, ObservationPoint, Reading
from ipsecmon.store import DEFAULT_MAX_OCTETS, MAX_SPOOL_BATCHES, Spool, Store

NS = 10**9
DAY_S = 86400
T0_S = 20_000 * DAY_S  # a midnight, UTC
WEB = CounterKey("web", Direction.IN, ObservationPoint.WIRE)
VPN = CounterKey("VPN-to-parent", Direction.OUT, ObservationPoint.INNER)


def moment(after_s: int) -> Moment:
    return Moment((T0_S + after_s) * NS, after_s * NS)


def batch(after_s: int, *increments: Increment, length_s: int = 10, router: str = "hq-gw1") -> Batch:
    start_ns = (T0_S + after_s) * NS
    return Batch(router, start_ns, start_ns + length_s * NS, increments or (Increment(WEB, 1000, 10),))


def reading(octets: int, key: CounterKey = WEB) -> Reading:
    return Reading(key, octets, octets // 100, "birth-1")


@contextlib.contextmanager
def opened(
    folder: Path,
    *,
    interval_s: int = 10,
    retention_s: int = 400 * DAY_S,
    max_spool_batches: int = MAX_SPOOL_BATCHES,
    max_octets: int = DEFAULT_MAX_OCTETS,
    counts: Optional[Counts] = None,
) -> Iterator[Store]:
    store = Store(
        folder,
        interval_s,
        retention_s,
        max_octets=max_octets,
        max_spool_batches=max_spool_batches,
        counts=counts,
    )
    store.start(moment(0))
    try:
        yield store
    finally:
        store.stop()


@contextlib.contextmanager
def spool_of(folder: Path, sink: str) -> Iterator[Spool]:
    spool = Spool(folder, sink)
    spool.start()
    try:
        yield spool
    finally:
        spool.stop()


def commit(store: Store, *batches: Batch, sinks: tuple[str, ...] = ()) -> None:
    for one in batches:
        store.commit(one, [], sinks, Moment(one.end_ns, 0))


def number_in(folder: Path, sql: str) -> int:
    """One number straight from the file."""
    with contextlib.closing(sqlite3.connect(folder / "ipsecmon.sqlite")) as connection:
        return int(connection.execute(sql).fetchone()[0])
