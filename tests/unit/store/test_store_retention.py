"""How long each resolution is kept, and that pruning stays small."""

from __future__ import annotations

from pathlib import Path

import pytest

from ipsecmon.model import Increment
from ipsecmon.store import report
from ipsecmon.store.history import MAX_BASE_SPANS, PRUNE_SPANS, retentions_s
from tests.unit.store.store_cases import DAY_S, NS, T0_S, WEB, batch, commit, moment, number_in, opened

DAY10_S = 10 * DAY_S


def _spans(folder: Path, level_s: int) -> int:
    return number_in(folder, f"SELECT count(*) FROM span WHERE resolution_s = {level_s}")


def _octets(folder: Path, start_s: int, end_s: int) -> int:
    found = report(folder, (T0_S + start_s) * NS, (T0_S + end_s) * NS)
    return sum(row.octets for row in found.rows)


@pytest.mark.parametrize(
    ("interval_s", "retention_s", "expected_days"),
    [
        (10, 400 * DAY_S, (2, 14, 400, 3653)),
        (10, 5 * DAY_S, (2, 5, 5, 3653)),
        (60, DAY_S, (1, 1, 1, 3653)),
        (10, 5000 * DAY_S, (2, 14, 5000, 5000)),
    ],
)
def test_levels_are_kept_as_long_as_configured(
    interval_s: int, retention_s: int, expected_days: tuple[int, ...]
) -> None:
    days = tuple(kept_s // DAY_S for kept_s in retentions_s(interval_s, retention_s).values())
    assert days == expected_days


def test_a_short_interval_keeps_a_bounded_number_of_rows() -> None:
    assert retentions_s(1, 400 * DAY_S)[0] == MAX_BASE_SPANS


def test_every_level_is_pruned_after_its_own_retention(tmp_path: Path) -> None:
    with opened(tmp_path, retention_s=20 * DAY_S) as store:
        commit(store, *(batch(day * DAY_S) for day in range(31)))
    assert [_spans(tmp_path, level_s) for level_s in (0, 60, 900, 86400)] == [2, 14, 20, 31]
    assert number_in(tmp_path, "SELECT count(*) FROM history") == 2 + 14 + 20 + 31


def test_no_octet_is_lost_or_doubled_where_resolutions_meet(tmp_path: Path) -> None:
    with opened(tmp_path, retention_s=20 * DAY_S) as store:
        commit(store, *(batch(hour * 3600 + 130) for hour in range(40 * 24)))
    assert _octets(tmp_path, 0, 40 * DAY_S) == 40 * 24 * 1000
    for day in range(40):
        assert _octets(tmp_path, day * DAY_S, (day + 1) * DAY_S) == 24 * 1000


def test_recent_ranges_are_exact_to_the_interval(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        commit(store, *(batch(10 * number) for number in range(100)))
    assert _octets(tmp_path, 130, 870) == 74 * 1000


def test_recent_ranges_are_exact_with_a_short_retention_too(tmp_path: Path) -> None:
    with opened(tmp_path, retention_s=1800) as store:
        commit(store, *(batch(60 * number) for number in range(120)))
    assert _octets(tmp_path, 91 * 60, 119 * 60) == 28 * 1000


def test_a_commit_prunes_a_bounded_number_of_rows(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        commit(store, *(batch(10 * number) for number in range(30)))
        before = _spans(tmp_path, 0)
        commit(store, batch(5 * DAY_S))
        assert _spans(tmp_path, 0) == before + 1 - PRUNE_SPANS
    assert _octets(tmp_path, 0, DAY10_S) == 31 * 1000


def test_a_clock_that_was_far_ahead_for_a_moment_costs_little(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        commit(store, *(batch(day * DAY_S) for day in range(20)))
        commit(store, *(batch(30_000 * DAY_S + 10 * number) for number in range(60)))
        commit(store, batch(20 * DAY_S))
    assert _octets(tmp_path, 0, 21 * DAY_S) == (21 - PRUNE_SPANS) * 1000


def test_a_clock_that_was_far_behind_for_a_moment_does_no_harm(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        commit(store, *(batch(hour * 3600) for hour in range(24 * 5)))
        store.commit(batch(-T0_S), [], [], moment(0))  # 1970: the battery of the clock is empty
        commit(store, batch(5 * DAY_S))
    assert _octets(tmp_path, 0, 5 * DAY_S) == 24 * 5 * 1000


def test_a_changed_interval_keeps_the_history_whole(tmp_path: Path) -> None:
    for interval_s, day in ((10, 0), (3600, 1), (60, 3), (10, 8)):
        with opened(tmp_path, interval_s=interval_s) as store:
            starts = range(day * DAY_S, (day + 1) * DAY_S, max(interval_s, 600))
            commit(store, *(batch(start, length_s=interval_s) for start in starts))
    assert _octets(tmp_path, 0, 9 * DAY_S) == (144 + 24 + 144 + 144) * 1000


def test_a_bridged_batch_longer_than_the_buckets_is_counted_once(tmp_path: Path) -> None:
    bridged = Increment(WEB, 5000, 50, bridged_octets=5000, bridged_packets=50)
    with opened(tmp_path) as store:
        commit(store, batch(0), batch(10, bridged, length_s=7200), batch(7210))
    found = report(tmp_path, T0_S * NS, (T0_S + DAY_S) * NS)
    assert found.rows[0].octets == 7000
    assert found.rows[0].bridged_octets == 5000
    assert found.end_ns == (T0_S + 7220) * NS
