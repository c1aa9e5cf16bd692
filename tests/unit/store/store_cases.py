"""Batches, readings and opened stores for the tests of the store."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Optional

from ipsecmon.clock import Moment
from ipsecmon.ipsec import AntiReplay, Lifetime, SavedSas, SecurityAssociation, Selector
from ipsecmon.model import (
    Batch,
    CounterKey,
    Counts,
    Direction,
    Increment,
    ObservationPoint,
    Reading,
    TunnelIncrement,
    TunnelKey,
)
from ipsecmon.store import DEFAULT_MAX_OCTETS, MAX_SPOOL_BATCHES, Spool, Store

NS = 10**9
DAY_S = 86400
T0_S = 20_000 * DAY_S  # a midnight, UTC
WEB = CounterKey("web", Direction.IN, ObservationPoint.WIRE)
VPN = CounterKey("VPN-to-parent", Direction.OUT, ObservationPoint.INNER)

PARENT_IN = TunnelKey("VPN-to-parent", "198.51.100.7", Direction.IN)
PARENT_OUT = PARENT_IN._replace(direction=Direction.OUT)
NO_LIMITS = Lifetime(None, None, None, None, None, None, None, None)


def moment(after_s: int) -> Moment:
    return Moment((T0_S + after_s) * NS, after_s * NS)


def batch(after_s: int, *increments: Increment, length_s: int = 10, router: str = "hq-gw1") -> Batch:
    start_ns = (T0_S + after_s) * NS
    return Batch(router, start_ns, start_ns + length_s * NS, increments or (Increment(WEB, 1000, 10),))


def tunnels(after_s: int, *increments: TunnelIncrement, errors: dict[str, int] | None = None) -> Batch:
    """A batch of nothing else."""
    one = batch(after_s)
    return replace(one, increments=(), tunnels=increments, xfrm_errors=tuple((errors or {}).items()))


def sa(spi: int, packets: int = 0, **changes: object) -> SecurityAssociation:
    """One of ESP in tunnel mode, into this router, which has counted so many packets of 100 octets."""
    plain = SecurityAssociation(
        "198.51.100.7",
        "192.0.2.1",
        2,
        spi,
        50,
        "tunnel",
        7,
        100 * packets,
        packets,
        T0_S - 60,
        None,
        0,
        0,
        0,
        32,
        0,
        NO_LIMITS,
        Selector("10.2.0.0/16", "10.1.0.0/16", 0, None, None),
        anti_replay=AntiReplay(packets, 0, 32, 0),
        is_keyed=True,
    )
    return plain._replace(**changes)  # type: ignore[arg-type]


def save(store: Store, after_s: int, saved: SavedSas) -> None:
    """A commit with nothing but SAs."""
    one = tunnels(after_s)
    store.commit(one, [], [], Moment(one.end_ns, 0), sas=saved)


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
