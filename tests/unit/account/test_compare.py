"""What is said of two windows of rates, held against simulated traffic whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from ipsecmon.account.bootstrap import choose_block, draw, interval_factor, two_sided_p
from ipsecmon.account.compare import Change, Verdict, compare, corrected, quantiles
from ipsecmon.account.pairing import Window

MEAN, SPREAD = 1e6, 3e5
Floats = NDArray[np.float64]


def traffic(n: int, likeness: float, rng: np.random.Generator, mean: float = MEAN) -> Floats:
    """An AR(1) series with this correlation of neighbours."""
    noise = rng.normal(size=n + 100)
    series = np.zeros(n + 100)
    for place in range(1, n + 100):
        series[place] = likeness * series[place - 1] + noise[place]
    found: Floats = mean + SPREAD * np.sqrt(1 - likeness**2) * series[100:]
    return found


def window(n: int) -> Window:
    return Window(np.full(n, 10.0), np.arange(n) * 10)


def in_order(before: Floats, after: Floats, seed: int = 1) -> Change:
    return compare((window(len(before)), window(len(after))), (before, after), None, seed).mean


@pytest.mark.parametrize("likeness", [0.0, 0.5, 0.8])
def test_the_interval_holds_the_truth_and_no_change_is_no_alarm(likeness: float) -> None:
    runs = 200
    held = alarms = 0
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        change = in_order(traffic(360, likeness, rng), traffic(360, likeness, rng))
        assert change.low is not None and change.high is not None
        held += change.low <= 0 <= change.high
        alarms += change.verdict in (Verdict.MORE, Verdict.LESS)
    assert held >= 0.9 * runs
    assert alarms <= 0.07 * runs


@pytest.mark.parametrize(("factor", "verdict"), [(1.2, Verdict.MORE), (0.8, Verdict.LESS)])
def test_a_fifth_more_or_less_is_found(factor: float, verdict: Verdict) -> None:
    found = 0
    for seed in range(50):
        rng = np.random.default_rng(seed)
        change = in_order(traffic(720, 0.5, rng), traffic(720, 0.5, rng, factor * MEAN))
        found += change.verdict is verdict
    assert found >= 49


def test_the_95th_percentile_has_its_own_interval() -> None:
    """Of bursts: as much in all, in fewer of them."""
    rng = np.random.default_rng(5)
    before = np.where(rng.random(600) < 0.20, 1e6, 0.0)
    after = np.where(rng.random(600) < 0.02, 1e7, 0.0)
    outcome = compare((window(600), window(600)), (before, after), None)
    assert outcome.before and outcome.after
    assert (outcome.before.p95, outcome.after.p95) == (1e6, 0.0)
    assert outcome.p95.verdict is Verdict.LESS


def test_what_is_sure_but_small_is_no_difference() -> None:
    rng = np.random.default_rng(1)
    change = in_order(MEAN + rng.normal(size=500), 1.01 * MEAN + rng.normal(size=500))
    assert change.low is not None and change.low > 0
    assert change.verdict is Verdict.SAME


def test_a_wide_interval_is_too_little_data_and_not_no_difference() -> None:
    rng = np.random.default_rng(1)
    before, after = (np.where(rng.random(100) < 0.03, 1e8, 0.0) for _ in range(2))
    assert in_order(before, after).verdict is Verdict.UNKNOWN


@pytest.mark.parametrize("n", [0, 1, 2, 7, 20])
def test_few_intervals_are_too_little_data(n: int) -> None:
    rng = np.random.default_rng(1)
    assert in_order(traffic(n, 0.0, rng), traffic(300, 0.0, rng)).verdict is Verdict.UNKNOWN


def test_nothing_before_and_after_is_no_difference() -> None:
    change = in_order(np.zeros(100), np.zeros(100))
    assert (change.verdict, change.low, change.high) == (Verdict.SAME, 0.0, 0.0)


def test_what_was_not_counted_yet_is_not_taken_for_nothing() -> None:
    rng = np.random.default_rng(2)
    before, after = traffic(400, 0.0, rng), traffic(400, 0.0, rng)
    before[:200] = np.nan
    assert in_order(before, after).verdict is Verdict.SAME
    assert in_order(np.full(400, np.nan), after).verdict is Verdict.UNKNOWN


def test_the_same_seed_gives_the_same_numbers_and_another_one_nearly() -> None:
    rng = np.random.default_rng(3)
    before, after = traffic(300, 0.5, rng), traffic(300, 0.5, rng)
    assert in_order(before, after) == in_order(before, after)
    one, other = in_order(before, after), in_order(before, after, seed=2)
    assert one.low is not None and other.low is not None
    assert one != other and one.low == pytest.approx(other.low, rel=0.2)


def test_a_longer_likeness_needs_longer_blocks() -> None:
    rng = np.random.default_rng(4)
    lengths = [choose_block(traffic(1000, likeness, rng)).length for likeness in (0.0, 0.7, 0.95)]
    assert lengths == sorted(lengths) and lengths[0] < lengths[-1]
    assert choose_block(np.ones(50)).length <= 50 // 3


@pytest.mark.parametrize(("units", "block"), [(1, 1), (7, 3), (12, 4), (5, 5)])
def test_a_draw_has_as_many_units_as_there_are_and_blocks_of_neighbours(units: int, block: int) -> None:
    drawn = draw(units, block, np.random.default_rng(1), 50)
    assert drawn.shape == (50, units)
    assert (drawn.sum(axis=1) == units).all() and (drawn == np.round(drawn)).all()
    whole = draw(12, 4, np.random.default_rng(1), 200)
    assert whole.mean(axis=0) == pytest.approx(np.ones(12), abs=0.3)  # the ends are drawn as often


def test_the_factor_is_student_s() -> None:
    """Quantiles from tables of t: 2.262 with 9, 2.045 with 29 degrees of freedom; 1.960 of the normal one."""
    for blocks, table in ((10, 2.262), (30, 2.045)):
        expected = table / 1.960 * np.sqrt(blocks / (blocks - 1))
        assert interval_factor(blocks, 0.0) == pytest.approx(expected, rel=0.005)
    assert interval_factor(10, 0.5) == pytest.approx(interval_factor(10, 0.0) * np.sqrt(2))


def test_chance_is_one_in_twenty_at_the_end_of_the_interval() -> None:
    assert two_sided_p(1.0, 0.0, 2.0) == pytest.approx(0.05, abs=1e-4)
    assert two_sided_p(0.0, -1.0, 1.0) == 1.0


def test_words_that_are_said_together_need_more_certainty() -> None:
    sure, hardly = (Change(1.0, 0.1, 1.9, chance, Verdict.MORE) for chance in (0.001, 0.03))
    unknown = Change(0.0, None, None, 1.0, Verdict.UNKNOWN)
    assert corrected([sure, hardly, hardly, unknown]) == [
        Verdict.MORE,
        Verdict.SAME,
        Verdict.SAME,
        Verdict.UNKNOWN,
    ]
    assert corrected([hardly]) == [Verdict.MORE]


def test_a_percentile_is_the_least_rate_that_so_much_weight_does_not_pass() -> None:
    values = np.array([30.0, 10.0, 20.0, 40.0])
    assert quantiles(values, np.ones(4), (0.25, 0.5, 0.95)) == [10.0, 20.0, 40.0]
    assert quantiles(values, np.array([0.0, 97.0, 2.0, 1.0]), (0.5, 0.95, 0.99)) == [10.0, 10.0, 20.0]
