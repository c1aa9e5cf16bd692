"""The interfaces of a line against its parts, interval by interval."""

from __future__ import annotations

import pytest

from ipsecmon.account.agreement import Agreement
from ipsecmon.account.line_agreement import outside_of, reconcile_lines
from ipsecmon.account.partition import Volume
from ipsecmon.model import (
    Batch,
    CounterKey,
    Direction,
    Increment,
    ObservationPoint,
    Pair,
    Reason,
    Reconciliation,
    Word,
)

NS = 10**9
IN, OUT = Direction.IN, Direction.OUT
WIRE, NIC, LINK = ObservationPoint.WIRE, ObservationPoint.NIC, ObservationPoint.LINK_HEADERS
DROPS, SKEW = ObservationPoint.QDISC_DROPS, ObservationPoint.READ_SKEW
BEFORE = ObservationPoint.DROPPED_BEFORE_RULES
FRAGMENTS = ObservationPoint.FRAGMENT_HEADERS
LINES = {"T1": ("wan0",)}


def counted(
    parts: Volume, nic: Volume, way: Direction = IN, header: int = 14, **terms: Volume
) -> tuple[Increment, ...]:
    """terms: by the name of their observation point."""
    rows = {
        CounterKey("T1", way, WIRE): parts,
        CounterKey("wan0", way, NIC): nic,
        CounterKey("wan0", way, LINK): Volume(nic.packets * header, nic.packets),
        **{CounterKey("wan0", way, ObservationPoint[name]): volume for name, volume in terms.items()},
    }
    return tuple(Increment(key, *volume) for key, volume in rows.items())


def agreed(*increments: Increment) -> Reconciliation:
    """Of one interval of 10 s, when readings are 20 ms apart at most."""
    (one,) = reconcile_lines(increments, LINES, 10 * NS, 20_000_000)
    assert one.pair is Pair.NIC_PARTS
    assert one.explained_octets + one.unexplained_octets == one.difference_octets
    return one


def test_parts_and_headers_that_are_the_interface_agree() -> None:
    one = agreed(*counted(Volume(100_000, 100), Volume(101_400, 100)))
    assert (one.word, one.expected_octets, one.seen_octets) == (Word.AGREE, 101_400, 101_400)


def test_what_is_derived_of_the_interface_is_seen_and_cannot_agree_with_it() -> None:
    blind = counted(Volume(90_000, 90), Volume(101_400, 100))
    derived = Increment(CounterKey("vpn", IN, ObservationPoint.DERIVED), 10_000, 10)
    one = agreed(*blind, derived)
    assert (one.word, one.reason, one.unexplained_octets) == (Word.EXPLAINED, Reason.DERIVED, 0)


def test_what_passed_while_rules_were_gone_is_explained_as_that() -> None:
    one = agreed(*counted(Volume(50_000, 50), Volume(101_400, 100), RULES_GONE=Volume(50_700, 50)))
    assert (one.word, one.reason) == (Word.EXPLAINED, Reason.RULES_GONE)


def test_frames_that_no_rule_sees_are_explained_by_name() -> None:
    one = agreed(*counted(Volume(100_000, 100), Volume(101_484, 102)))
    assert (one.word, one.reason, one.explained_octets) == (Word.EXPLAINED, Reason.NON_IP, 56)


def test_octets_that_no_frame_is_missing_for_are_a_disagreement_at_once() -> None:
    one = agreed(*counted(Volume(100_000, 100), Volume(101_500, 100)))
    assert (one.word, one.unexplained_octets) == (Word.DISAGREE, 100)


def test_packets_between_two_readings_are_skew_as_far_as_the_rate_allows() -> None:
    """1000 packets of 1000 octets in 10 s: two in 20 ms, at each end."""
    one = agreed(*counted(Volume(1_000_000, 1000), Volume(996 * 1014, 996)))
    assert (one.word, one.reason) == (Word.EXPLAINED, Reason.SKEW)
    assert agreed(*counted(Volume(1_000_000, 1000), Volume(900 * 1014, 900))).word is Word.DISAGREE


def test_what_the_queue_dropped_is_explained_as_that() -> None:
    one = agreed(*counted(Volume(100_000, 100), Volume(91_260, 90), OUT, QDISC_DROPS=Volume(0, 10)))
    assert (one.word, one.reason, one.difference_octets) == (Word.EXPLAINED, Reason.QDISC_DROPS, 0)


def test_a_line_where_nothing_passed_says_nothing() -> None:
    assert reconcile_lines(counted(Volume(), Volume()), LINES, NS, 1) == []


def test_each_interface_of_a_line_has_link_headers_of_its_own() -> None:
    """100 frames under Ethernet, 50 of PPP."""
    rows = {
        CounterKey("eth1", IN, NIC): Volume(10_000 + 1_400, 100),
        CounterKey("eth1", IN, LINK): Volume(140, 10),  # known of a tenth of them
        CounterKey("ppp0", IN, NIC): Volume(5_000, 50),
        CounterKey("ppp0", IN, LINK): Volume(0, 50),
        CounterKey("T1", IN, WIRE): Volume(15_000, 150),
    }
    outside = outside_of(("eth1", "ppp0"), IN, rows)
    assert outside.nic == Volume(16_400, 150)
    assert outside.said[LINK] == Volume(140, 60)
    increments = [Increment(key, *volume) for key, volume in rows.items()]
    (one,) = reconcile_lines(increments, {"T1": ("eth1", "ppp0")}, NS, 1)
    assert one.word is Word.AGREE


def test_headers_that_one_interface_does_not_tell_are_not_known_of_the_line() -> None:
    rows = {
        CounterKey("eth1", IN, NIC): Volume(11_400, 100),
        CounterKey("eth1", IN, LINK): Volume(1_400, 100),
        CounterKey("eth2", IN, NIC): Volume(11_400, 100),
    }
    outside = outside_of(("eth1", "eth2"), IN, rows)
    assert (outside.nic.packets, outside.said[LINK]) == (200, Volume(1_400, 100))


def test_fragments_of_the_machine_count_once_whatever_the_number_of_interfaces() -> None:
    rows = {CounterKey(name, IN, FRAGMENTS): Volume(200, 10) for name in ("eth1", "eth2")}
    assert outside_of(("eth1", "eth2"), IN, rows).said[FRAGMENTS] == Volume(200, 10)


def test_what_queues_dropped_came_to_the_rules_outbound_and_not_inbound() -> None:
    rows = {CounterKey(name, way, DROPS): Volume(0, 3) for name in ("eth1", "eth2") for way in (IN, OUT)}
    rows[CounterKey("eth1", IN, BEFORE)] = Volume(0, 5)
    assert outside_of(("eth1", "eth2"), OUT, rows).said == {DROPS: Volume(0, 6)}
    assert outside_of(("eth1", "eth2"), IN, rows).said == {BEFORE: Volume(0, 11)}


def in_turn(*intervals: tuple[int, int]) -> list[Word]:
    """intervals: packets of 1000 octets by rules and by the interface, within 1 s each."""
    agreement, words = Agreement(), []
    for number, (rules, frames) in enumerate(((1, 1), *intervals)):
        increments = counted(Volume(rules * 1000, rules), Volume(frames * 1014, frames))
        batch = Batch("gw", number * NS, (number + 1) * NS, increments)
        judged = agreement.judge(batch, LINES)
        agreement.close()
        (one,) = (one for one in judged.reconciliations if one.pair is Pair.NIC_PARTS)
        words.append(one.word)
    return words[1:]


def test_a_burst_between_the_readings_of_interface_and_rules_waits_for_the_next_interval() -> None:
    assert in_turn((100, 100), (100, 80), (100, 120), (100, 100)) == [
        Word.AGREE, Word.EXPLAINED, Word.EXPLAINED, Word.AGREE,
    ]  # fmt: skip


def test_packets_that_never_reached_the_interface_are_told_one_interval_later() -> None:
    assert in_turn((100, 100), (100, 50), (100, 100)) == [Word.AGREE, Word.EXPLAINED, Word.DISAGREE]


@pytest.mark.parametrize(("octets", "word"), [(60_000, Word.EXPLAINED), (0, Word.DISAGREE)])
def test_the_most_that_passed_between_readings_is_remembered_over_intervals(octets: int, word: Word) -> None:
    agreement = Agreement()
    for number, (rules, frames, skew) in enumerate(((100, 100, octets), (100, 50, 0), (100, 50, 0))):
        increments = counted(
            Volume(rules * 1000, rules), Volume(frames * 1014, frames), READ_SKEW=Volume(skew, 1)
        )
        judged = agreement.judge(Batch("gw", number * NS, (number + 1) * NS, increments), LINES)
        agreement.close()
    assert judged.reconciliations[-1].word is word
