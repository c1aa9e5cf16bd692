"""From readings to increments: births, wraps, resets."""

from __future__ import annotations

from ipsecmon.account.deltas import Deltas, delta
from ipsecmon.model import CounterKey, Direction, ObservationPoint, Reading

KEY = CounterKey("web", Direction.IN, ObservationPoint.WIRE)
TOP = 1 << 64


def reading(octets: int, packets: int = 0, birth: str = "first") -> Reading:
    return Reading(KEY, octets, packets, birth)


def advanced(deltas: Deltas, *readings: Reading) -> list[tuple[int, int]]:
    return [(octets, packets) for _, octets, packets in deltas.advance(readings)]


def test_a_counter_born_since_the_last_poll_counts_from_zero() -> None:
    assert advanced(Deltas(), reading(500, 5)) == [(500, 5)]


def test_an_older_counter_with_a_saved_reading_of_its_life_goes_on() -> None:
    assert list(Deltas([reading(500, 5)]).adopt([reading(700, 6)])) == [(KEY, 200, 1)]


def test_an_older_counter_without_a_saved_reading_is_a_baseline() -> None:
    deltas = Deltas()
    assert list(deltas.adopt([reading(500, 5)])) == [(KEY, 0, 0)]
    assert advanced(deltas, reading(501, 6)) == [(1, 1)]


def test_a_saved_reading_of_another_life_is_no_baseline() -> None:
    assert list(Deltas([reading(500, 5)]).adopt([reading(700, 6, "second")])) == [(KEY, 700, 6)]


def test_another_birth_counts_from_zero_even_if_it_has_passed_the_old_value() -> None:
    deltas = Deltas([reading(500, 5)])
    assert advanced(deltas, reading(900, 9, "second"), reading(901, 10, "second")) == [(900, 9), (1, 1)]


def test_a_decrease_in_one_life_is_a_reset() -> None:
    assert advanced(Deltas([reading(500, 5)]), reading(300, 3)) == [(300, 3)]


def test_a_reset_that_only_packets_show_counts_both_from_zero() -> None:
    assert advanced(Deltas([reading(500, 50)]), reading(9000, 6)) == [(9000, 6)]


def test_a_counter_that_wraps_goes_on_from_zero() -> None:
    assert advanced(Deltas([reading(TOP - 10, 5)]), reading(20, 6)) == [(30, 1)]


def test_a_counter_that_stands_still_has_no_increment() -> None:
    deltas = Deltas([reading(500, 5)])
    assert advanced(deltas, reading(500, 5), reading(500, 5)) == [(0, 0), (0, 0)]


def test_the_difference_takes_the_counters_width() -> None:
    assert delta(0xFFFFFFFF, 0, bits=32) == 1
    assert delta(5, 5, bits=32) == 0
    assert delta(5, 4, bits=32) == 0xFFFFFFFF


def test_a_new_life_that_may_have_begun_with_a_value_is_a_baseline() -> None:
    deltas = Deltas([Reading(KEY, 1000, 10, "first")])

    loaded = Reading(KEY, 900, 9, "second", from_zero=False)
    assert list(deltas.advance([loaded])) == [(KEY, 0, 0)]
    later = Reading(KEY, 950, 10, "second", from_zero=False)
    assert list(deltas.advance([later])) == [(KEY, 50, 1)]


def test_where_the_source_says_what_to_go_on_from_that_holds() -> None:
    deltas = Deltas([reading(500, 5)])
    goes_on = Reading(KEY, 90, 9, "first", from_zero=False, before=(60, 8))
    assert advanced(deltas, goes_on, reading(100, 10), reading(10, 1)) == [(30, 1), (10, 1), (10, 1)]
    afresh = Reading(KEY, 50, 5, "second", from_zero=False, before=(0, 0))
    assert advanced(deltas, afresh) == [(50, 5)]
