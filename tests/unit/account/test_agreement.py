"""The agreement of an interval: a burst between two readings is no fault, and a fault is told one later."""

from __future__ import annotations

from ipsecmon.account.agreement import Agreement
from ipsecmon.model import (
    Batch,
    CounterKey,
    Direction,
    Increment,
    ObservationPoint,
    Pair,
    Reconciliation,
    TunnelIncrement,
    TunnelKey,
    Word,
)

NS = 10**9
IN = Direction.IN
WEB = CounterKey("web", IN, ObservationPoint.WIRE)
VPN = CounterKey("VPN", IN, ObservationPoint.INNER)


def batch(number: int, sas: int, rule: int) -> Batch:
    """The number-th second, of packets of 660 octets."""
    start_ns = number * NS
    told = TunnelIncrement(TunnelKey("VPN", "192.0.2.1", IN), sas * 660, sas)
    counted = Increment(VPN, rule * 660, rule, rule * 660, rule)
    return Batch("gw", start_ns, start_ns + NS, (counted,), tunnels=(told,))


def told(*intervals: tuple[int, int]) -> list[int]:
    """Packets that are unexplained in each interval. intervals: packets by SAs and by the rule."""
    agreement = Agreement()
    agreement.judge(batch(0, 1, 1))  # the first of a run has more skew
    agreement.close()
    found = []
    for number, (sas, rule) in enumerate(intervals, 1):
        judged = agreement.judge(batch(number, sas, rule))
        assert agreement.judge(batch(number, sas, rule)) == judged  # a store has refused it
        agreement.close()
        (one,) = (one for one in judged.reconciliations if one.pair is Pair.SA_RULE)
        assert one.explained_octets + one.unexplained_octets == one.difference_octets
        assert (one.word is Word.DISAGREE) == (one.unexplained_octets != 0)
        found.append(one.unexplained_octets // 660)
    return found


def test_a_burst_between_two_readings_is_skew() -> None:
    """As real ESP had it: 16 packets at once, and the next interval has them."""
    assert told((32, 32), (32, 16), (16, 32), (32, 32)) == [0, 0, 0, 0]
    assert told((32, 48), (32, 16), (32, 32)) == [0, 0, 0]


def test_packets_that_a_rule_missed_once_are_told_one_interval_later() -> None:
    assert told((32, 32), (32, 16), (32, 32), (32, 32)) == [0, 0, 16, 0]


def test_a_rule_that_goes_on_to_miss_packets_disagrees_in_every_interval_but_the_first() -> None:
    assert told((32, 16), (32, 16), (32, 16), (32, 16)) == [0, 32, 16, 16]


def test_header_copies_are_judged_at_once() -> None:
    short = Batch("gw", 0, NS, (Increment(WEB, 1000, 10, 500, 5),))
    (one,) = Agreement().judge(short).reconciliations
    assert one == Reconciliation(WEB, Pair.RULE_NFLOG, 1000, 500)


def test_a_batch_says_nothing_of_what_stood_still_nor_of_what_has_one_meter() -> None:
    nic = Increment(CounterKey("eth1", IN, ObservationPoint.NIC), 100, 1)
    alone = TunnelIncrement(TunnelKey("VPN", "192.0.2.1", IN), 100, 1)
    quiet = Batch("gw", 0, NS, (Increment(WEB, 0, 0), nic), tunnels=(alone,))
    assert Agreement().judge(quiet).reconciliations == ()


def test_the_first_interval_of_a_run_has_more_skew_and_leaves_nothing_to_the_second() -> None:
    """Rules count as soon as they stand, SAs when they are first read."""
    agreement = Agreement()
    first = agreement.judge(batch(0, 20, 32))
    agreement.close()
    assert {one.word for one in first.reconciliations} == {Word.AGREE, Word.EXPLAINED}
    second = agreement.judge(batch(1, 32, 32))
    assert {one.word for one in second.reconciliations} == {Word.AGREE}
