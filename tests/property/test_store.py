"""The store against plain Python: codec, segments of a range, totals through pruning."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Optional
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st

from ipsecmon.clock import Moment
from ipsecmon.errors import DecodeError, StoreError
from ipsecmon.ipsec import SavedSas, SecurityAssociation
from ipsecmon.model import (
    OTHER_PEERS,
    Batch,
    CounterKey,
    Direction,
    Increment,
    ObservationPoint,
    Pair,
    Reason,
    Reconciliation,
    SelfMeasurement,
    TunnelIncrement,
    TunnelKey,
)
from ipsecmon.store import (
    DEFAULT_MAX_OCTETS,
    WAL_MAX_OCTETS,
    Store,
    report,
    room,
    tunnel_report,
    tunnel_totals,
)
from ipsecmon.store.codec import decode_batch, encode_batch
from ipsecmon.store.history import LEVELS_S
from ipsecmon.store.segments import segments
from tests.unit.store.store_cases import sa

NS = 10**9
DAY_S = 86400
T0_S = 20_000 * DAY_S

integers = st.integers(-(2**63), 2**63 - 1)
totals = st.integers(0, 2**40)
keys = st.builds(CounterKey, st.text(), st.sampled_from(Direction), st.sampled_from(ObservationPoint))
few_keys = st.builds(
    CounterKey, st.sampled_from(["web", "vpn"]), st.just(Direction.IN), st.sampled_from(ObservationPoint)
)
tunnels = st.builds(
    TunnelIncrement,
    st.builds(TunnelKey, st.text(), st.text(), st.sampled_from(Direction)),
    *[integers] * 20,
    last_used_s=st.none() | integers,
    added_s=st.none() | integers,
)
batches = st.builds(
    Batch,
    st.text(),
    integers,
    integers,
    st.lists(st.builds(Increment, keys, *[integers] * 8)).map(tuple),
    st.lists(st.builds(SelfMeasurement, st.text(), st.text(), integers)).map(tuple),
    st.lists(tunnels).map(tuple),
    st.lists(st.tuples(st.text(), integers)).map(tuple),
    st.lists(
        st.builds(
            Reconciliation,
            keys,
            st.sampled_from(Pair),
            *[integers] * 4,
            st.none() | st.sampled_from(Reason),
        )
    ).map(tuple),
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(batches)
def test_every_batch_survives_the_spools_codec(batch: Batch) -> None:
    assert decode_batch(encode_batch(batch)) == batch


@given(st.text() | json_values.map(str) | batches.map(encode_batch).map(lambda text: text[1:]))
def test_the_spools_decoder_raises_decode_error_only(text: str) -> None:
    try:
        decode_batch(text)
    except DecodeError:
        pass


# Far apart, on boundaries, and just beside each other: seams go wrong where buckets are not filled.
range_edges = (
    st.integers(0, 30 * DAY_S * NS)
    | st.integers(0, 30).map(lambda day: day * DAY_S * NS)
    | st.integers(0, 100).map(lambda minute: minute * 60 * NS)
    | st.integers(0, 2000 * NS)
)
level_floors = st.lists(range_edges, min_size=4, max_size=4).map(lambda floors: dict(zip(LEVELS_S, floors)))


@given(range_edges, range_edges, level_floors)
def test_segments_are_disjoint_and_end_with_the_range(
    start_ns: int, length_ns: int, complete_from_ns: dict[int, int]
) -> None:
    end_ns = start_ns + length_ns
    found = segments(start_ns, end_ns, complete_from_ns)
    assert all(start_ns <= part.start_ns < part.end_ns <= end_ns for part in found)
    assert not found or found[-1].end_ns == end_ns
    for before, after in zip(found, found[1:]):
        assert before.end_ns == after.start_ns
        assert before.end_ns % (max(before.level_s, after.level_s) * NS) == 0


@given(range_edges, range_edges, level_floors)
def test_no_segment_is_asked_for_what_its_level_has_lost(
    start_ns: int, length_ns: int, complete_from_ns: dict[int, int]
) -> None:
    for part in segments(start_ns, start_ns + length_ns, complete_from_ns):
        assert part.start_ns >= complete_from_ns[part.level_s]


@given(st.integers(0, 30), st.integers(1, 30), level_floors)
def test_a_range_of_days_is_answered_from_its_start(
    first_day: int, days: int, complete_from_ns: dict[int, int]
) -> None:
    start_ns = first_day * DAY_S * NS
    found = segments(start_ns, start_ns + days * DAY_S * NS, {**complete_from_ns, DAY_S: 0})
    assert found[0].start_ns == start_ns


@given(range_edges, range_edges, level_floors)
def test_a_range_that_a_level_has_whole_is_answered_from_its_start(
    start_ns: int, length_ns: int, complete_from_ns: dict[int, int]
) -> None:
    complete_from_ns[0] = min(start_ns, complete_from_ns[0])
    found = segments(start_ns, start_ns + length_ns + 1, complete_from_ns)
    assert found[0].start_ns == start_ns


# Steps from one batch to the next: regular, gaps of many sizes, a clock set back. Without the long
# ones nothing is ever pruned.
steps_s = st.sampled_from(
    [10] * 6 + [50, 600, 3600, 7 * 3600, DAY_S, 3 * DAY_S, 20 * DAY_S, -10, -5000, -2 * DAY_S]
)
runs = st.lists(
    st.tuples(
        steps_s, st.lists(st.builds(Increment, few_keys, *[totals] * 8), max_size=4), st.integers(1, 700)
    ),
    max_size=40,
)
retentions_s = st.sampled_from([3600, DAY_S, 5 * DAY_S, 400 * DAY_S])


def _committed(
    folder: Path,
    run: Iterable[tuple[int, list[Increment], int]],
    retention_s: int,
    max_octets: int = DEFAULT_MAX_OCTETS,
) -> list[Batch]:
    store = Store(folder, 10, retention_s, max_octets=max_octets)
    store.start(Moment(T0_S * NS, 0))
    done = []
    start_s = T0_S
    for step_s, increments, length_s in run:
        start_s += step_s
        batch = Batch("gw", start_s * NS, (start_s + length_s) * NS, tuple(increments))
        store.commit(batch, [], [], Moment(batch.end_ns, 0))
        done.append(batch)
    store.stop()
    return done


def _plain_sums(batches: Iterable[Batch], start_ns: int, end_ns: int) -> dict[CounterKey, Increment]:
    sums: dict[CounterKey, Increment] = {}
    for batch in batches:
        if start_ns <= batch.start_ns < end_ns:
            for one in batch.increments:
                sums[one.key] = _plus(sums.get(one.key, Increment(one.key, 0, 0)), one)
    return sums


def _plus(a: Increment, b: Increment) -> Increment:
    return replace(
        a,
        octets=a.octets + b.octets,
        packets=a.packets + b.packets,
        nflog_octets=a.nflog_octets + b.nflog_octets,
        nflog_packets=a.nflog_packets + b.nflog_packets,
        lost_packets=a.lost_packets + b.lost_packets,
        bridged_octets=a.bridged_octets + b.bridged_octets,
        bridged_packets=a.bridged_packets + b.bridged_packets,
    )


def _reported(folder: Path, start_ns: int, end_ns: int) -> dict[CounterKey, Increment]:
    found = report(folder, start_ns, end_ns)
    assert start_ns <= found.start_ns
    return {
        row.key: Increment(
            row.key,
            row.octets,
            row.packets,
            row.nflog_octets,
            row.nflog_packets,
            row.lost_packets,
            bridged_octets=row.bridged_octets,
            bridged_packets=row.bridged_packets,
        )
        for row in found.rows
    }


@settings(max_examples=60)
@given(runs, retentions_s, st.integers(-10, 60), st.integers(1, 60))
def test_a_report_is_the_plain_sum_of_what_was_committed(
    run: list[tuple[int, list[Increment], int]], retention_s: int, first_day: int, days: int
) -> None:
    with tempfile.TemporaryDirectory() as name:
        done = _committed(Path(name), run, retention_s)
        start_ns = (T0_S + first_day * DAY_S) * NS
        end_ns = start_ns + days * DAY_S * NS
        assert _reported(Path(name), start_ns, end_ns) == _plain_sums(done, start_ns, end_ns)
        assert _reported(Path(name), 0, 2**62) == _plain_sums(done, 0, 2**62)


@settings(max_examples=40)
@given(runs, st.integers(0, 12 * 360), st.integers(1, 12 * 360))
def test_a_recent_report_is_exact_to_the_interval(
    run: list[tuple[int, list[Increment], int]], from_end: int, intervals: int
) -> None:
    with tempfile.TemporaryDirectory() as name:
        done = _committed(Path(name), run, 400 * DAY_S)
        newest_ns = max((batch.end_ns for batch in done), default=T0_S * NS)
        start_ns = newest_ns - from_end * 10 * NS
        end_ns = start_ns + intervals * 10 * NS
        assert _reported(Path(name), start_ns, end_ns) == _plain_sums(done, start_ns, end_ns)


@settings(max_examples=40)
@given(runs, st.integers(-10, 60), st.integers(1, 60), st.lists(st.integers(1, 3), min_size=3, max_size=3))
def test_a_report_over_days_is_the_plain_sum_in_a_store_without_room(
    run: list[tuple[int, list[Increment], int]], first_day: int, days: int, keep: list[int]
) -> None:
    """Every commit trims history down to what must be kept, which is next to nothing here."""
    kept = dict(zip(room.KEEP_SPANS, keep))
    with tempfile.TemporaryDirectory() as name, mock.patch.object(room, "KEEP_SPANS", kept):
        done = _committed(Path(name), run, 400 * DAY_S, max_octets=WAL_MAX_OCTETS)
        start_ns = (T0_S + first_day * DAY_S) * NS
        end_ns = start_ns + days * DAY_S * NS
        assert _reported(Path(name), start_ns, end_ns) == _plain_sums(done, start_ns, end_ns)
        assert _reported(Path(name), 0, 2**62) == _plain_sums(done, 0, 2**62)


# Peers that come and go: few stay known, so that most are folded into others.
tunnel_runs = st.lists(
    st.tuples(
        steps_s,
        st.dictionaries(
            st.builds(
                TunnelKey,
                st.sampled_from(["vpn", "branch"]),
                st.sampled_from(["192.0.2.1", "192.0.2.2", "2001:db8::1", OTHER_PEERS]),
                st.sampled_from([Direction.IN, Direction.OUT]),
            ),
            st.tuples(totals, totals, st.integers(0, 3)),
            max_size=6,
        ),
    ),
    max_size=30,
)


@settings(max_examples=60)
@given(tunnel_runs, retentions_s, st.integers(0, 5))
def test_totals_and_reports_of_tunnels_are_the_plain_sum_of_what_was_committed(
    run: list[tuple[int, dict[TunnelKey, tuple[int, int, int]]]], retention_s: int, most_totals: int
) -> None:
    plain: Counter[tuple[str, Direction]] = Counter()
    with tempfile.TemporaryDirectory() as name, mock.patch.object(tunnel_totals, "MAX_TOTALS", most_totals):
        store = Store(Path(name), 10, retention_s)
        store.start(Moment(T0_S * NS, 0))
        start_s = T0_S
        for step_s, numbers in run:
            start_s += step_s
            happened = tuple(
                TunnelIncrement(key, octets, packets, sas=sas)
                for key, (octets, packets, sas) in numbers.items()
            )
            for one in happened:
                plain[one.key.tunnel, one.key.direction] += one.octets
            batch = Batch("gw", start_s * NS, (start_s + 10) * NS, (), (), happened)
            store.commit(batch, [], [], Moment(batch.end_ns, 0))
        store.stop()
        sums: Counter[tuple[str, Direction]] = Counter()
        for row in tunnel_report(Path(name)).rows:
            sums[row.total.key.tunnel, row.total.key.direction] += row.total.octets
        assert +sums == +plain
        found = report(Path(name), 0, 2**62).tunnels
        assert {(one.key.tunnel, one.key.direction): one.octets for one in found if one.octets} == +plain


changes_of_sas = st.lists(
    st.tuples(
        st.dictionaries(  # by SPI: nothing changes, gone, its numbers or its reqid do
            st.integers(1, 8), st.sampled_from(["stay", "go", "count", "update"]), max_size=8
        ),
        st.sets(st.integers(1, 8)),
        st.sampled_from(["well", "well", "fails", "restart"]),
    ),
    max_size=12,
)


@settings(max_examples=40)
@given(changes_of_sas)
def test_saved_sas_are_always_those_of_the_last_commit_that_went_well(
    run: list[tuple[dict[int, str], set[int], str]],
) -> None:
    here: dict[int, SecurityAssociation] = {}
    kept = SavedSas()
    with tempfile.TemporaryDirectory() as name:
        store = Store(Path(name), 10, DAY_S)
        store.start(Moment(T0_S * NS, 0))
        for number, (steps, awaited, end) in enumerate(run):
            for spi, step in steps.items():
                here[spi] = _changed(here.get(spi, sa(spi)), step, number)
                if step == "go":
                    del here[spi]
            ids = frozenset(one.id for spi, one in here.items() if spi in awaited)
            saved = SavedSas(tuple(here.values()), T0_S + number, ids)
            kept = _save(store, number, saved, end == "fails") or kept
            if end == "restart":
                store.stop()
                store.start(Moment(T0_S * NS, 0))
            found = store.saved_sas()
            assert sorted(found.sas, key=repr) == sorted(kept.sas, key=repr)
            assert (found.since_s, found.awaited) == (kept.since_s, kept.awaited)
        store.stop()


def _changed(one: SecurityAssociation, step: str, number: int) -> SecurityAssociation:
    if step == "count":
        return one._replace(octets=one.octets + 100, packets=one.packets + 1, last_used_s=T0_S + number)
    return one._replace(reqid=number) if step == "update" else one


def _save(store: Store, number: int, saved: SavedSas, fails: bool) -> Optional[SavedSas]:
    """What was saved."""
    start_ns = (T0_S + 10 * number) * NS
    batch = Batch("gw", start_ns, start_ns + 10 * NS, ())
    stepped_ns = 2**70 if fails else 0  # no row takes such a time, and it is the last one written
    try:
        store.commit(batch, [], [], Moment(batch.end_ns, 0), stepped_ns, saved)
    except StoreError:
        assert fails
        return None
    return saved
