"""What interfaces counted while rules were gone: from the last round that saw them, to their repair."""

from __future__ import annotations

from ipsecmon.account.rule_gaps import Gap, RuleGaps
from ipsecmon.model import CounterKey, Direction, ObservationPoint, Reading

IN, OUT = Direction.IN, Direction.OUT
NS = 10**9


def nic(way: Direction, octets: int, packets: int, birth: str = "boot/2") -> Reading:
    return Reading(CounterKey("wan0", way, ObservationPoint.NIC), octets, packets, birth)


def told(gaps: RuleGaps) -> dict[tuple[str, str, str], tuple[int, int]]:
    return {tuple(one.key): (one.octets, one.packets) for one in gaps.readings()}  # type: ignore[misc]


def test_nothing_is_told_before_the_first_gap() -> None:
    gaps = RuleGaps()
    gaps.stood([nic(IN, 900, 9)], 1 * NS)

    assert gaps.readings() == []


def test_a_gap_reaches_from_the_last_round_to_the_repair_and_gaps_add_up() -> None:
    gaps = RuleGaps()
    gaps.stood([nic(IN, 1000, 10), nic(OUT, 50, 1)], 10 * NS)
    assert gaps.add([nic(IN, 1700, 14), nic(OUT, 50, 1)], 20 * NS) == Gap(10.0, 700, 0)
    gaps.stood([nic(IN, 5000, 50), nic(OUT, 90, 2)], 30 * NS)
    assert gaps.add([nic(IN, 5001, 51), nic(OUT, 99, 3)], 31 * NS) == Gap(1.0, 1, 9)

    assert told(gaps) == {("wan0", "in", "rules-gone"): (701, 5), ("wan0", "out", "rules-gone"): (9, 1)}


def test_a_second_gap_begins_where_the_first_one_ended() -> None:
    gaps = RuleGaps()
    gaps.stood([nic(IN, 0, 0)], 0)
    gaps.add([nic(IN, 100, 1)], 1 * NS)

    assert gaps.add([nic(IN, 130, 2)], 2 * NS) == Gap(1.0, 30, 0)


def test_it_is_one_counter_of_a_run_that_began_at_0() -> None:
    gaps = RuleGaps()
    gaps.stood([nic(IN, 0, 0)], 0)
    births = set()
    for at_s in (1, 2):
        gaps.add([nic(IN, 100 * at_s, at_s)], at_s * NS)
        births |= {one.birth for one in gaps.readings()}

    assert len(births) == 1 and all(one.from_zero for one in gaps.readings())


def test_an_interface_that_was_made_anew_meanwhile_tells_nothing() -> None:
    gaps = RuleGaps()
    gaps.stood([nic(IN, 1000, 10)], 0)

    assert gaps.add([nic(IN, 1200, 12, birth="boot/3")], NS) == Gap(1.0, 0, 0)
    assert gaps.readings() == []
