"""Parts interval by interval: disjoint, never negative, and at rest in sum what rules counted."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from ipsecmon.account.part_series import PartSeries
from ipsecmon.model import (
    Batch,
    CounterKey,
    Direction,
    How,
    Increment,
    ObservationPoint,
    PartIncrement,
)

IN = Direction.IN
WIRE, SHARE, DERIVED = ObservationPoint.WIRE, ObservationPoint.ESP_SHARE, ObservationPoint.DERIVED
LINE, ESP, WEB = (CounterKey(name, IN, WIRE) for name in ("T1", "esp", "web"))
LINES = {LINE: [ESP, WEB]}
A, B = (CounterKey(name, IN, SHARE) for name in ("a", "b"))


def batch(*increments: Increment) -> Batch:
    return Batch("gw", 0, 1, increments)


def told(series: PartSeries, *increments: Increment) -> dict[str, tuple[int, int, str]]:
    found = series.tell(batch(*increments), LINES)
    series.close()
    assert len({one.part for one in found}) == len(found)
    return {one.part: (one.octets, one.packets, one.how.value) for one in found}


def test_a_line_of_rules_alone_is_told_as_they_counted() -> None:
    found = PartSeries().tell(batch(Increment(ESP, 100, 1, pending_packets=1), Increment(WEB, 50, 2)), LINES)

    assert found == (
        PartIncrement("T1", "esp", IN, 100, 1, How.COUNTED),
        PartIncrement("T1", "web", IN, 50, 2, How.COUNTED),
    )


def test_what_is_left_of_a_shared_part_is_all_but_its_shares() -> None:
    found = told(PartSeries(), Increment(ESP, 1000, 10), Increment(A, 300, 3), Increment(B, 100, 1))

    assert found["a"] == (300, 3, "counted")
    assert found["esp"] == (600, 6, "counted")


def test_copies_that_come_an_interval_later_make_nothing_negative() -> None:
    series = PartSeries()
    first = told(series, Increment(ESP, 1000, 10, pending_packets=2), Increment(A, 800, 8))
    second = told(series, Increment(ESP, 0, 0), Increment(A, 200, 2))

    assert (first["esp"], second["esp"]) == ((0, 0, "counted"), (0, 0, "counted"))
    assert (first["a"], second["a"]) == ((800, 8, "counted"), (200, 2, "counted"))


def test_more_late_copies_than_waited_for_are_taken_off_later() -> None:
    """The first share of a run comes when what is left was told already."""
    series = PartSeries()
    first = told(series, Increment(ESP, 1000, 10, pending_packets=10))
    second = told(series, Increment(ESP, 500, 5), Increment(A, 1000, 10))
    third = told(series, Increment(ESP, 700, 7))

    assert (first["esp"][0], second["esp"][0], third["esp"][0]) == (1000, 0, 200)
    assert third["a"] == (0, 0, "counted")


def test_how_a_part_is_known_is_that_of_the_interval() -> None:
    series = PartSeries()
    lossy = told(series, Increment(ESP, 1000, 10, lost_packets=1), Increment(A, 300, 3))
    clean = told(series, Increment(ESP, 1000, 10), Increment(A, 300, 3))
    blind = told(series, Increment(CounterKey("a", IN, DERIVED), 500, 5))

    assert (lossy["a"][2], lossy["esp"][2], lossy["web"][2]) == ("attributed", "attributed", "counted")
    assert (clean["a"][2], clean["esp"][2]) == ("counted", "counted")
    assert blind["a"] == (500, 5, "derived")


def test_a_batch_that_the_store_refuses_is_told_again() -> None:
    series = PartSeries()
    told(series, Increment(ESP, 1000, 10, pending_packets=2), Increment(A, 800, 8))
    late = batch(Increment(ESP, 0, 0), Increment(A, 200, 2))

    assert series.tell(late, LINES) == series.tell(late, LINES)


def test_of_several_lines_a_part_is_named_without_its_line() -> None:
    lines = {CounterKey(line, IN, WIRE): [CounterKey(f"esp@{line}", IN, WIRE)] for line in ("T1", "T2")}
    shares = Increment(CounterKey("a@T2", IN, SHARE), 300, 3)
    found = PartSeries().tell(batch(Increment(CounterKey("esp@T2", IN, WIRE), 1000, 10), shares), lines)

    assert [(one.line, one.part, one.octets) for one in found] == [
        ("T1", "esp", 0),
        ("T2", "a", 300),
        ("T2", "esp", 700),
    ]


def test_sums_of_parts_over_several_lines_are_no_lines_and_nothing_is_told_twice() -> None:
    """`esp` was of the only line, and is the sum of both now: what it had itself is the first's."""
    esp1, esp2 = (CounterKey(f"esp@{line}", IN, WIRE) for line in ("T1", "T2"))
    second = CounterKey("T2", IN, WIRE)
    lines = {LINE: [esp1, ESP], second: [esp2], ESP: [esp1, esp2]}
    shares = [Increment(CounterKey(f"a@{line}", IN, SHARE), 100, 1) for line in ("T1", "T2")]
    counted = [Increment(esp1, 300, 3), Increment(esp2, 500, 5), Increment(ESP, 850, 9)]
    found = PartSeries().tell(batch(*counted, *shares), lines)

    assert {(one.line, one.part): (one.octets, one.packets) for one in found} == {
        ("T1", "a"): (100, 1),
        ("T1", "esp"): (250, 3),
        ("T2", "a"): (100, 1),
        ("T2", "esp"): (400, 4),
    }
    assert len(found) == 4


class Interval(NamedTuple):
    """Packets of 100 octets: of the tunnel, of nobody, and of the tunnel's those whose copies come later."""

    tunnel: int
    nobody: int
    late: int


intervals = st.lists(
    st.builds(Interval, st.integers(0, 50), st.integers(0, 50), st.integers(0, 20)), max_size=20
)


@given(intervals)
def test_parts_add_up_to_the_counters_however_late_copies_come(run: list[Interval]) -> None:
    series, sums = PartSeries(), Counter({"esp": 0, "a": 0})
    waiting = tunnel = nobody = 0
    told(series, Increment(ESP, 0, 0), Increment(A, 0, 0, 1))
    for one in (*run, Interval(0, 0, 0)):
        tunnel, nobody = tunnel + one.tunnel, nobody + one.nobody
        late = min(one.late, one.tunnel)
        come = one.tunnel + waiting - late
        waiting = late
        count = one.tunnel + one.nobody
        part = Increment(ESP, 100 * count, count, pending_packets=late)
        found = told(series, part, Increment(A, 100 * come, come))
        assert all(octets >= 0 and packets >= 0 for octets, packets, _ in found.values())
        sums.update({name: found[name][0] for name in ("esp", "a")})
        assert sums["esp"] + sums["a"] <= 100 * (tunnel + nobody)

    assert sums == {"esp": 100 * nobody, "a": 100 * tunnel}
