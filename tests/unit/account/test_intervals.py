"""Which interval it is, when the clock runs, lags, slews and steps."""

from __future__ import annotations

import pytest

from ipsecmon.account.intervals import STEP_NS, Intervals, Span

S = 1_000_000_000
T0 = 1_700_000_000 * S  # a multiple of ten seconds
BOOT = 77 * S  # the monotonic clock at T0


def begun(after_ns: int = 0, interval_s: int = 10, **remembered: int) -> Intervals:
    return Intervals(interval_s, T0 + after_ns, BOOT + after_ns, **remembered)


def closed(intervals: Intervals, after_ns: int, stepped_ns: int = 0) -> Span:
    """Closed so long after T0, by a wall clock that was stepped by then."""
    wall_ns, monotonic_ns = T0 + after_ns + stepped_ns, BOOT + after_ns
    span = intervals.span(wall_ns, monotonic_ns)
    intervals.close(wall_ns, monotonic_ns)
    return span


def test_the_first_interval_ends_at_the_next_multiple() -> None:
    intervals = begun(3 * S)
    assert intervals.due_monotonic_ns() == BOOT + 10 * S
    assert closed(intervals, 10 * S) == (T0 + 3 * S, T0 + 10 * S, 0)


def test_intervals_meet_and_are_aligned() -> None:
    intervals = begun(3 * S)
    spans = [closed(intervals, after * S) for after in (10, 20, 30)]
    assert [span.start_ns - T0 for span in spans[1:]] == [10 * S, 20 * S]
    assert [span.end_ns - T0 for span in spans] == [10 * S, 20 * S, 30 * S]


@pytest.mark.parametrize("interval_s", [1, 10, 60, 300, 3600])
def test_every_length_is_aligned_to_the_wall_clock(interval_s: int) -> None:
    intervals = begun(interval_s=interval_s)
    closed(intervals, intervals.due_monotonic_ns() - BOOT)
    assert closed(intervals, intervals.due_monotonic_ns() - BOOT).end_ns % (interval_s * S) == 0


def test_closed_a_little_late_it_still_ends_at_its_boundary() -> None:
    intervals = begun()
    assert closed(intervals, 10 * S + S // 2).end_ns == T0 + 10 * S
    assert intervals.due_monotonic_ns() == BOOT + 20 * S


def test_closed_much_too_late_it_ends_now_and_the_next_is_shorter() -> None:
    intervals = begun()
    assert closed(intervals, 24 * S).end_ns == T0 + 24 * S
    assert intervals.due_monotonic_ns() == BOOT + 30 * S
    assert closed(intervals, 30 * S) == (T0 + 24 * S, T0 + 30 * S, 0)


def test_closed_before_its_time_it_ends_now_and_the_boundary_stays() -> None:
    intervals = begun()
    assert closed(intervals, 4 * S) == (T0, T0 + 4 * S, 0)
    assert closed(intervals, 10 * S) == (T0 + 4 * S, T0 + 10 * S, 0)


def test_closed_twice_at_once_an_interval_still_has_a_length() -> None:
    intervals = begun()
    first, second = closed(intervals, 4 * S), closed(intervals, 4 * S)
    assert first.end_ns == second.start_ns < second.end_ns


def test_a_clock_stepped_forward_leaves_a_gap_and_no_long_interval() -> None:
    intervals = begun()
    assert closed(intervals, 10 * S, 3600 * S) == (T0, T0 + 10 * S, 3600 * S)
    assert closed(intervals, 20 * S, 3600 * S) == (T0 + 3610 * S, T0 + 3620 * S, 0)
    assert intervals.steps_back == 0


def test_a_clock_stepped_back_does_not_repeat_a_start() -> None:
    intervals = begun()
    spans = [closed(intervals, 10 * S), closed(intervals, 20 * S)]
    spans += [closed(intervals, after * S, -20 * S) for after in (30, 40, 50)]
    assert spans[2].stepped_ns == -20 * S
    assert [span.start_ns - T0 for span in spans] == [0, 10 * S, 20 * S, 10 * S + 1, 20 * S + 1]
    assert all(span.end_ns - span.start_ns == 10 * S for span in spans)


def test_small_differences_of_the_clocks_are_followed_and_are_no_step() -> None:
    intervals = begun()
    for second in range(1, 10):
        late = second * (STEP_NS // 2)
        assert closed(intervals, 10 * second * S, -late).stepped_ns == 0
    assert intervals.steps_back == 0


def test_a_clock_set_behind_the_intervals_own_start_is_a_step_however_small() -> None:
    intervals = begun()
    closed(intervals, 10 * S)
    span = closed(intervals, 10 * S + 1000, -S // 2)
    assert (span.start_ns, span.end_ns) == (T0 + 10 * S, T0 + 10 * S + 1000)
    assert intervals.steps_back == 1


def test_a_deferred_interval_goes_on_to_the_next_boundary() -> None:
    intervals = begun()
    intervals.defer(BOOT + 10 * S)
    assert intervals.due_monotonic_ns() == BOOT + 20 * S
    assert closed(intervals, 20 * S) == (T0, T0 + 20 * S, 0)


def test_an_interval_deferred_over_many_boundaries_is_due_in_the_future() -> None:
    intervals = begun()
    intervals.defer(BOOT + 95 * S)
    assert intervals.due_monotonic_ns() == BOOT + 100 * S


def test_a_run_after_the_last_start_goes_on_unmoved() -> None:
    intervals = begun(30 * S, last_start_ns=T0 + 20 * S, steps_back=2)
    assert intervals.steps_back == 2
    assert closed(intervals, 40 * S).start_ns == T0 + 30 * S + 2


def test_a_run_by_a_clock_behind_the_stores_is_moved_out_of_the_way() -> None:
    intervals = begun(last_start_ns=T0 + 3600 * S, steps_back=2)
    assert intervals.steps_back == 3
    assert closed(intervals, 10 * S).start_ns == T0 + 3


def test_a_run_that_begins_at_the_last_start_itself_is_moved() -> None:
    assert begun(last_start_ns=T0).steps_back == 1


def test_a_run_that_is_out_of_the_way_already_is_not_moved_again() -> None:
    assert begun(last_start_ns=T0 + 1, steps_back=2).steps_back == 2
    assert begun(last_start_ns=T0 + 2, steps_back=2).steps_back == 3


@pytest.mark.parametrize(("interval_s", "due_s"), [(5, 15), (10, 20), (60, 40)])
def test_another_length_is_that_of_the_interval_that_has_begun(interval_s: int, due_s: int) -> None:
    intervals = begun()
    closed(intervals, 12 * S)
    intervals.change(interval_s)
    assert intervals.due_monotonic_ns() == BOOT + due_s * S
