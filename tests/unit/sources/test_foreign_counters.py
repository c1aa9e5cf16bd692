"""Rules that come, go and are set back while nobody asked us: what happened is booked once, or not at all."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Optional

import pytest

from ipsecmon.account.deltas import Deltas
from ipsecmon.agent.observe import Counters
from ipsecmon.model import CounterKey, Direction, ObservationPoint, Reading
from ipsecmon.sources.foreign_counters import ForeignCounterSource

KEY = CounterKey("voip", Direction.OUT, ObservationPoint.WIRE)
OTHER = CounterKey("rest", Direction.OUT, ObservationPoint.WIRE)


class Rule(NamedTuple):
    identity: str
    octets: int
    packets: int
    born: Optional[tuple[int, int]] = None
    group: int = 31


class Dump(NamedTuple):
    rules: list[Rule]
    problems: list[tuple[int, str]]


class Router:
    """What its rules say now, and the books of an agent that reads them."""

    def __init__(self, *rules: Rule, saved: Iterable[Reading] = ()) -> None:
        self.dump = Dump(list(rules), [])
        self.counts = Counters()
        self.source = ForeignCounterSource(lambda: self.dump, {31: KEY, 33: OTHER}, self.counts)
        self.deltas = Deltas(saved)
        self.bridged = list(self.deltas.adopt(self.source.poll().readings))

    def happened(self, *rules: Rule) -> list[tuple[int, int]]:
        """Octets and packets of KEY at the next poll."""
        self.dump = Dump(list(rules), [])
        booked = self.deltas.advance(self.source.poll().readings)
        return [(octets, packets) for key, octets, packets in booked if key == KEY]


def test_a_tap_is_the_sum_over_its_rules() -> None:
    router = Router(Rule("a", 100, 1), Rule("b", 200, 2), Rule("c", 7, 7, group=33))

    (reading, other) = router.source.poll().readings
    assert (reading.key, reading.octets, reading.packets) == (KEY, 300, 3)
    assert (other.key, other.octets, other.packets) == (OTHER, 7, 7)
    assert router.happened(Rule("a", 150, 2), Rule("b", 260, 3)) == [(110, 2)]


def test_what_stood_before_the_first_poll_is_a_baseline() -> None:
    router = Router(Rule("a", 100, 1))
    assert [(octets, packets) for _, octets, packets in router.bridged] == [(0, 0)]


def test_the_same_rules_are_bridged_exactly_over_a_restart() -> None:
    before = Router(Rule("a", 100, 1), Rule("b", 50, 1))
    saved = before.source.poll().readings

    after = Router(Rule("b", 60, 2), Rule("a", 130, 2), saved=saved)
    assert after.bridged == [(KEY, 40, 2)]


def test_other_rules_after_a_restart_are_a_baseline() -> None:
    before = Router(Rule("a", 100, 1))

    after = Router(Rule("a", 500, 9), Rule("new", 1000, 9), saved=before.source.poll().readings)
    assert after.bridged == [(KEY, 0, 0)]


def test_a_new_rule_counts_from_what_it_began_with() -> None:
    router = Router(Rule("a", 100, 1))
    assert router.happened(Rule("a", 110, 2), Rule("b", 40, 4, born=(0, 0))) == [(50, 5)]
    restored = Rule("c", 1040, 14, born=(1000, 10))
    assert router.happened(Rule("a", 110, 2), Rule("b", 40, 4), restored) == [(40, 4)]


def test_a_new_rule_of_which_nobody_knows_the_beginning_counts_from_now_on() -> None:
    router = Router(Rule("a", 100, 1))
    assert router.happened(Rule("a", 110, 2), Rule("b", 40, 4)) == [(10, 1)]
    assert router.happened(Rule("a", 110, 2), Rule("b", 41, 5)) == [(1, 1)]


def test_a_rule_that_has_gone_keeps_what_it_had() -> None:
    router = Router(Rule("a", 100, 1), Rule("b", 1000, 10))
    assert router.happened(Rule("a", 105, 2)) == [(5, 1)]
    assert router.happened() == []
    assert router.happened(Rule("d", 30, 3, born=(0, 0))) == [(30, 3)]


def test_a_rule_that_reads_less_has_begun_again_at_0_and_only_that_one() -> None:
    router = Router(Rule("a", 1000, 10), Rule("b", 500, 5))
    assert router.happened(Rule("a", 30, 3), Rule("b", 600, 6)) == [(130, 4)]
    assert router.counts.totals()["rules.zeroed"] == 1
    assert router.happened(Rule("a", 40, 4), Rule("b", 600, 6)) == [(10, 1)]


def test_a_reading_says_what_to_go_on_from_only_when_rules_have_changed() -> None:
    router = Router(Rule("a", 100, 1))
    assert [one.before for one in router.source.poll().readings] == [None]
    router.happened(Rule("a", 100, 1), Rule("b", 0, 0, born=(0, 0)))
    assert [one.before for one in router.source.poll().readings] == [None]


def test_the_generation_changes_with_the_rules_and_their_troubles_and_not_with_traffic() -> None:
    router = Router(Rule("a", 100, 1))
    first = router.source.poll().generation
    router.happened(Rule("a", 200, 2))
    assert router.source.generation == first
    router.happened(Rule("a", 200, 2), Rule("b", 0, 0))
    second = router.source.generation
    assert second != first
    router.dump.problems.append((33, "no counter"))
    assert router.source.poll().generation != second
    assert router.source.problems == [(33, "no counter")]
    assert router.counts.totals()["rules.changed"] == 2


def test_a_tap_without_a_rule_is_missing() -> None:
    router = Router(Rule("a", 100, 1))
    assert router.source.poll().missing == [OTHER]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_the_order_of_rules_changes_nothing(order: tuple[int, ...]) -> None:
    rules = [Rule("a", 1, 1), Rule("b", 2, 2), Rule("c", 3, 3)]
    router = Router(*rules)
    (birth,) = {one.birth for one in router.source.poll().readings}
    router.happened(*(rules[at] for at in order))
    assert {one.birth for one in router.source.poll().readings} == {birth}
