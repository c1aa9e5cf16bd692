"""Two meters of the same packets: what agrees, what is explained by what, what is wrong by how much."""

from __future__ import annotations

from typing import Optional

import pytest

from ipsecmon.account.reconcile import (
    range_skew_ns,
    reconcile,
    reconcile_copies,
    reconcile_tunnel,
)
from ipsecmon.model import (
    CounterKey,
    Direction,
    Increment,
    ObservationPoint,
    Pair,
    Reason,
    Reconciliation,
    TunnelIncrement,
    TunnelKey,
    Word,
)

NS = 10**9
IN, OUT, UNKNOWN = Direction.IN, Direction.OUT, Direction.UNKNOWN
WEB = CounterKey("web", IN, ObservationPoint.WIRE)
VPN = CounterKey("VPN", IN, ObservationPoint.INNER)


def said(one: Reconciliation) -> tuple[Word, Optional[Reason], int]:
    return one.word, one.reason, one.unexplained_octets


def sas(octets: int, packets: int, direction: Direction = IN, **more: int) -> TunnelIncrement:
    return TunnelIncrement(TunnelKey("VPN", "192.0.2.1", direction), octets, packets, **more)


def held(rule: Increment, *ones: TunnelIncrement, length_s: int = 10) -> Reconciliation:
    return reconcile_tunnel(VPN, ones, rule, length_s * NS)


def test_copies_that_all_came_agree() -> None:
    assert said(reconcile_copies(Increment(WEB, 1000, 10, 1000, 10))) == (Word.AGREE, None, 0)


@pytest.mark.parametrize(
    ("copies", "reason"),
    [
        (Increment(WEB, 1000, 10, 800, 8, lost_packets=2), Reason.LOSS),
        (Increment(WEB, 1000, 10, 800, 8, pending_packets=2), Reason.SKEW),
        (Increment(WEB, 1000, 10, 1200, 12), Reason.SKEW),  # two were on their way before
        (Increment(WEB, 1000, 10, 0, 0, bridged_octets=1000, bridged_packets=10), Reason.BRIDGED),
        (Increment(WEB, 1000, 10, 900, 9, bridged_packets=1), Reason.BRIDGED),
    ],
)
def test_copies_that_are_known_to_be_missing_are_explained(copies: Increment, reason: Reason) -> None:
    assert said(reconcile_copies(copies)) == (Word.EXPLAINED, reason, 0)


def test_copies_of_a_rule_that_took_its_count_with_it_are_explained() -> None:
    gone = Increment(CounterKey("wan0", WEB.direction, ObservationPoint.RULES_GONE), 514, 2)
    (found,) = reconcile([gone, Increment(WEB, 1000, 10, 1200, 12)], (), 10 * NS, 0)
    assert said(found) == (Word.EXPLAINED, Reason.RULES_GONE, 0)


@pytest.mark.parametrize(
    ("copies", "unexplained"),
    [
        (Increment(WEB, 1000, 10, 999, 10), 1),
        (Increment(WEB, 1000, 10, 800, 8), 200),
        (Increment(WEB, 1000, 10, 1001, 10), -1),
        (Increment(WEB, 1000, 10, 990, 9, lost_packets=1), -10),  # no IP packet has 10 octets
        (Increment(WEB, 70_000, 2, 100, 1, lost_packets=1), 70_000 - 100 - 65_535),
    ],
)
def test_copies_that_nothing_accounts_for_disagree_by_the_least_that_is_wrong(
    copies: Increment, unexplained: int
) -> None:
    found = reconcile_copies(copies)
    assert (found.word, found.unexplained_octets) == (Word.DISAGREE, unexplained)


def test_sas_and_their_rule_agree_without_gro() -> None:
    """Of a decrypting router with kernel 6.1, 8 MB of TCP: the SA and the rule behind it."""
    rule = Increment(VPN, 8_013_549, 5566)
    assert said(held(rule, sas(8_013_549, 5566))) == (Word.AGREE, None, 0)


def test_gro_explains_its_deficit_to_the_octet() -> None:
    """The same with GRO on: 436 packets for 5377, each merged one less its IP and TCP header, 52 octets."""
    found = held(Increment(VPN, 7_492_236, 436), sas(7_749_168, 5377))
    assert said(found) == (Word.EXPLAINED, Reason.GRO, 0)
    assert found.explained_octets == 256_932 == (5377 - 436) * 52


@pytest.mark.parametrize("header", [39, 130])
def test_what_no_header_has_is_not_explained_by_gro(header: int) -> None:
    found = held(Increment(VPN, 7_492_236, 436), sas(7_492_236 + header * 4941, 5377))
    assert found.reason is not Reason.GRO


def test_one_packet_of_skew_beside_merged_ones_is_explained() -> None:
    found = held(Increment(VPN, 98_344, 96), sas(100_000, 100))  # 3 of 52, and a whole one of 1500
    assert said(found) == (Word.EXPLAINED, Reason.GRO, 0)


def test_fragments_are_explained_by_their_headers() -> None:
    found = held(Increment(VPN, 2_000_000, 1000), sas(2_020_000, 2000))
    assert said(found) == (Word.EXPLAINED, Reason.FRAGMENTS, 0)


def test_packets_that_the_rule_never_saw_disagree() -> None:
    found = held(Increment(VPN, 45 * 1028, 45), sas(50 * 1028, 50))
    assert said(found) == (Word.DISAGREE, None, 5 * 1028)


def test_one_packet_can_fall_between_two_readings() -> None:
    found = held(Increment(VPN, 49 * 1028, 49), sas(50 * 1028, 50))
    assert said(found) == (Word.EXPLAINED, Reason.SKEW, 0)


def test_skew_is_bounded_by_the_rate() -> None:
    """20 ms at each end of 10 s: of 10,000 packets 40."""
    rule = Increment(VPN, 10_000_000, 10_000)
    assert held(rule, sas(10_040_000, 10_040)).reason is Reason.SKEW
    assert said(held(rule, sas(10_042_000, 10_042))) == (Word.DISAGREE, None, 42_000)


def test_skew_goes_where_intervals_are_summed() -> None:
    first, second = sas(1000, 10), sas(3000, 30)
    assert held(Increment(VPN, 1100, 11), first).word is Word.EXPLAINED
    assert held(Increment(VPN, 2900, 29), second).word is Word.EXPLAINED
    assert held(Increment(VPN, 4000, 40), first, second).word is Word.AGREE


def test_an_sa_that_ended_unread_explains_what_the_rule_has_more() -> None:
    rule = Increment(VPN, 100_000, 100)
    assert said(held(rule, sas(50_000, 50, error_bound_octets=60_000))) == (
        Word.EXPLAINED,
        Reason.ERROR_BOUND,
        0,
    )
    assert held(rule, sas(50_000, 50, unseen_ends=1, unbounded_ends=1)).word is Word.EXPLAINED
    found = held(rule, sas(50_000, 50, error_bound_octets=10_000))
    assert found.word is Word.DISAGREE and -40_000 <= found.unexplained_octets < 0


def test_what_passed_while_no_agent_ran_may_be_in_one_meter_only() -> None:
    found = held(Increment(VPN, 1000, 10), sas(9000, 90, bridged_octets=8000, bridged_packets=80))
    assert said(found) == (Word.EXPLAINED, Reason.BRIDGED, 0)


def test_sas_of_unknown_direction_may_be_what_the_rule_has_more() -> None:
    found = held(Increment(VPN, 10_000, 10), sas(2000, 2), sas(8000, 8, UNKNOWN))
    assert said(found) == (Word.EXPLAINED, Reason.ERROR_BOUND, 0)


def test_a_tunnel_without_a_rule_has_nothing_to_be_held_against() -> None:
    (found,) = reconcile([], [sas(1000, 10)], 10 * NS, 0)
    assert said(found) == (Word.EXPLAINED, Reason.NO_COUNTER, 0)


def test_peers_are_summed_and_directions_are_not() -> None:
    rules = [Increment(VPN, 300, 3, 300, 3), Increment(VPN._replace(direction=OUT), 7, 1, 7, 1)]
    both = [sas(100, 1), sas(200, 2), sas(7, 1, OUT)]
    found = reconcile(rules, both, 10 * NS, 0)
    told = {(one.key.direction, one.pair): one.expected_octets for one in found}
    assert told == {
        (IN, Pair.RULE_NFLOG): 300,
        (OUT, Pair.RULE_NFLOG): 7,
        (IN, Pair.SA_RULE): 300,
        (OUT, Pair.SA_RULE): 7,
    }
    assert {one.word for one in found} == {Word.AGREE}


@pytest.mark.parametrize(("length_s", "skew_s"), [(0, 0.02), (10, 0.1), (3600, 1), (10**7, 1)])
def test_a_range_may_have_a_start_in_it(length_s: int, skew_s: float) -> None:
    assert range_skew_ns(length_s * NS) == int(skew_s * NS)
