"""Bounds of the loss, at chosen moments; the same over random histories is in tests/property."""

from __future__ import annotations

from ipsecmon.account.loss import SETTLE_NS, Loss, LossMeter

NOW = 5_000_000_000


def settled(meter: LossMeter, *updates: tuple[int, int]) -> list[Loss]:
    """(expected, seen) once each settling time."""
    return [
        meter.update(NOW + position * SETTLE_NS, expected, seen)
        for position, (expected, seen) in enumerate(updates)
    ]


def test_copies_that_may_be_on_their_way_are_pending_and_not_lost() -> None:
    assert settled(LossMeter(), (100, 40)) == [Loss(0, 60, 0)]


def test_copies_that_came_late_were_never_lost() -> None:
    assert settled(LossMeter(), (100, 40), (0, 60))[-1] == Loss(0, 0, 0)


def test_copies_that_did_not_come_in_time_are_lost_once() -> None:
    assert settled(LossMeter(), (100, 40), (0, 50), (0, 0))[1:] == [Loss(10, 0, 0), Loss(0, 0, 0)]


def test_under_traffic_only_what_was_due_can_be_lost() -> None:
    assert settled(LossMeter(), (100, 0), (100, 70))[-1] == Loss(30, 100, 0)


def test_a_moment_too_early_nothing_is_lost_yet() -> None:
    meter = LossMeter()
    meter.update(NOW, 100, 0)
    assert meter.update(NOW + SETTLE_NS - 1, 0, 90) == Loss(0, 10, 0)
    assert meter.update(NOW + SETTLE_NS, 0, 0) == Loss(10, 0, 0)


def test_nothing_is_lost_while_the_socket_was_not_empty() -> None:
    meter = LossMeter()
    meter.update(NOW, 100, 0)
    assert meter.update(NOW + SETTLE_NS, 0, 60, drained=False) == Loss(0, 40, 0)
    assert meter.update(NOW + 2 * SETTLE_NS, 0, 40) == Loss(0, 0, 0)


def test_copies_that_overtake_the_counter_are_no_negative_loss() -> None:
    assert settled(LossMeter(), (100, 130), (30, 0)) == [Loss(0, 0, 0), Loss(0, 0, 0)]


def test_what_fits_the_window_was_never_copied_and_is_no_loss() -> None:
    assert settled(LossMeter(window=10), (10, 0), (0, 4)) == [Loss(0, 10, 0), Loss(0, 0, 6)]


def test_what_is_missing_beyond_the_window_is_lost() -> None:
    assert settled(LossMeter(window=10), (25, 0), (0, 0)) == [Loss(0, 25, 0), Loss(15, 0, 10)]


def test_under_traffic_the_window_stays_open_and_hides_at_most_itself() -> None:
    first, second, third = settled(LossMeter(window=10), (10, 0), (50, 2), (50, 45))
    assert (first.lost, second, third) == (0, Loss(0, 58, 0), Loss(3, 60, 0))


def test_the_window_closes_at_the_first_rest_for_good() -> None:
    updates = settled(LossMeter(window=10), (10, 0), (0, 10), (5, 0), (0, 0))
    assert updates[1:] == [Loss(0, 0, 0), Loss(0, 5, 0), Loss(5, 0, 0)]
