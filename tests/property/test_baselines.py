"""Baselines against plain Python, whatever the steps between intervals, and however often it restarts."""

from __future__ import annotations

import tempfile
from collections import Counter, defaultdict
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from ipsecmon.clock import Moment
from ipsecmon.model import Baseline, Batch, Direction, How, PartIncrement
from ipsecmon.store import Store, kept_batches

NS = 10**9
DAY_S = 86_400
T0_S = 20_000 * DAY_S
BUCKET_S, AHEAD_S = 300, 3_600
SHIFTS_S = {"1d": DAY_S, "7d": 7 * DAY_S}

Sums = dict[tuple[str, Direction], int]

onward_s = st.sampled_from([10, 60, 290, 300, 1_800, 3_600, 6 * 3_600, 12 * 3_600])
any_s = onward_s | st.sampled_from([DAY_S - 600, 7 * DAY_S - 7_200, 3 * DAY_S, -10, -5_000, -DAY_S])
parts = st.lists(
    st.tuples(st.sampled_from(["web", "esp"]), st.sampled_from([Direction.IN, Direction.OUT])), unique=True
)
octets = st.integers(0, 2**40)


def runs(steps_s: st.SearchStrategy[int]) -> st.SearchStrategy[list[tuple[int, bool, list[PartIncrement]]]]:
    """Of each interval: seconds since the one before, whether the agent restarts, what parts carried."""
    carried = st.builds(
        lambda names, number: [
            PartIncrement("T1", name, way, number + index, 1, How.COUNTED)
            for index, (name, way) in enumerate(names)
        ],
        parts,
        octets,
    )
    return st.lists(st.tuples(steps_s, st.booleans(), carried), min_size=8, max_size=40)


def committed(run: list[tuple[int, bool, list[PartIncrement]]]) -> list[Batch]:
    """As they were kept, with their baselines, in the order in which they were committed."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder), 10, 400 * DAY_S)
        store.start(Moment(T0_S * NS, 0))
        start_s = T0_S
        for number, (step_s, restarts, carried) in enumerate(run):
            start_s += step_s
            start_ns = start_s * NS + number  # no two alike
            if restarts:
                store.stop()
                store.start(Moment(start_ns, 0))
            batch = Batch("gw", start_ns, start_ns + 10 * NS, (), parts=tuple(carried))
            store.commit(batch, [], [], Moment(batch.end_ns, 0))
        store.stop()
        return sorted(kept_batches(Path(folder), 0, 2 * T0_S * NS), key=lambda one: one.start_ns % NS)


def bucket_s(batch: Batch) -> int:
    return batch.start_ns // NS // BUCKET_S * BUCKET_S


def carried_by(baseline: Baseline) -> Sums:
    return {(one.part, one.direction): one.octets for one in baseline.parts}


@given(runs(any_s))
def test_what_is_told_is_what_the_bucket_carried_and_nothing_is_told_of_an_empty_one(
    run: list[tuple[int, bool, list[PartIncrement]]],
) -> None:
    history: dict[int, Counter[tuple[str, Direction]]] = defaultdict(Counter)
    for batch in committed(run):
        for one in batch.baselines:
            then_s = one.start_ns // NS - SHIFTS_S[one.shift]
            assert one.parts and carried_by(one) == history[then_s]
            assert one.start_ns // NS < bucket_s(batch) + AHEAD_S
        for part in batch.parts:
            history[bucket_s(batch)][part.part, part.direction] += part.octets


@given(runs(onward_s))
def test_while_the_clock_goes_on_all_is_told_in_time_and_once(
    run: list[tuple[int, bool, list[PartIncrement]]],
) -> None:
    batches = committed(run)
    told = [(one.start_ns // NS, one.shift) for batch in batches for one in batch.baselines]
    known = {bucket_s(batch) for batch in batches if batch.parts}
    first_s, end_s = bucket_s(batches[0]), bucket_s(batches[-1]) + AHEAD_S
    due = {
        (then_s + shift_s, shift)
        for then_s in known
        for shift, shift_s in SHIFTS_S.items()
        if first_s <= then_s + shift_s < end_s
    }
    assert sorted(told) == sorted(due)
