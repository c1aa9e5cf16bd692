"""The identity of the line: exact where all is known, else within bounds that are told, else no agreement."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ipsecmon.account.partition import Agreement, Volume, identify
from ipsecmon.model import ObservationPoint

LINK, FRAGMENTS = ObservationPoint.LINK_HEADERS, ObservationPoint.FRAGMENT_HEADERS
DROPS, BEFORE = ObservationPoint.QDISC_DROPS, ObservationPoint.DROPPED_BEFORE_RULES
SKEW, GONE = ObservationPoint.READ_SKEW, ObservationPoint.RULES_GONE
SAID = (LINK, FRAGMENTS, DROPS, BEFORE, SKEW, GONE)
PARTS = Volume(100_000, 1_000)
HEADERS = {LINK: Volume(14_000, 1_000)}

volumes = st.builds(Volume, st.integers(0, 10**12), st.integers(0, 10**9))


def test_an_idle_line_agrees() -> None:
    assert identify(Volume(), Volume(), {}).agreement is Agreement.AGREE


def test_parts_and_link_headers_are_the_interface_to_the_octet() -> None:
    found = identify(Volume(114_000, 1_000), PARTS, HEADERS)

    assert (found.agreement, found.unexplained, found.reasons) == (Agreement.AGREE, 0, ())
    assert found.terms["link-headers"] == 14_000
    assert None not in found.terms.values()


def test_one_octet_that_nothing_explains_is_a_disagreement_that_says_how_much() -> None:
    found = identify(Volume(114_001, 1_000), PARTS, HEADERS)

    assert (found.agreement, found.unexplained) == (Agreement.DISAGREE, 1)
    assert "1 octet more" in found.reasons[0]
    assert "7 octets fewer" in identify(Volume(113_993, 1_000), PARTS, HEADERS).reasons[0]


def test_a_ppp_link_has_no_headers() -> None:
    found = identify(PARTS, PARTS, {LINK: Volume(0, 1_000)})

    assert (found.agreement, found.terms["link-headers"]) == (Agreement.AGREE, 0)


@pytest.mark.parametrize("length", [14, 0])
def test_headers_of_a_length_that_closes_the_identity_are_of_that(length: int) -> None:
    found = identify(Volume(100_000 + 140 + 990 * length, 1_000), PARTS, {LINK: Volume(140, 10)})

    assert (found.agreement, found.unexplained, found.bounds) == (Agreement.AGREE, 0, {})
    assert found.terms["link-headers"] == 140 + 990 * length


def test_headers_of_unknown_length_are_null_and_bounded_and_said() -> None:
    """Some with, some without: no length of all closes it."""
    found = identify(Volume(107_000, 1_000), PARTS, {LINK: Volume(140, 10)})

    assert found.terms["link-headers"] is None
    assert (found.agreement, found.unexplained) == (Agreement.EXPLAINED, 7_000)
    assert found.bounds["link-headers"] == (140, 140 + 990 * 18)
    assert "the link headers of 990 frames are not known" in found.reasons[0]
    assert identify(Volume(200_000, 1_000), PARTS, {}).agreement is Agreement.DISAGREE
    assert identify(Volume(100_139, 1_000), PARTS, {LINK: Volume(140, 10)}).agreement is Agreement.DISAGREE


def test_with_headers_of_unknown_length_drops_of_the_queue_are_an_estimate() -> None:
    found = identify(Volume(100_000 - 10_000 + 900 * 14, 900), PARTS, {DROPS: Volume(0, 100)})

    assert (found.agreement, found.terms["link-headers"]) == (Agreement.EXPLAINED, None)
    assert found.estimated == ("qdisc-drops",) and len(found.reasons) == 2


def test_fragments_that_fit_to_octet_and_frame_are_exact() -> None:
    nic = Volume(114_000 + 20 * 34, 1_020)
    said = {LINK: Volume(14 * 1_020, 1_020), FRAGMENTS: Volume(400, 20)}
    found = identify(nic, PARTS, said)

    assert (found.agreement, found.terms["fragment-headers"]) == (Agreement.AGREE, 400)


def test_fragments_elsewhere_on_this_machine_do_not_disturb_an_exact_line() -> None:
    found = identify(Volume(114_000, 1_000), PARTS, {**HEADERS, FRAGMENTS: Volume(400, 20)})

    assert (found.agreement, found.terms["fragment-headers"]) == (Agreement.AGREE, 0)


def test_fragments_on_the_line_and_elsewhere_on_this_machine_are_told_apart() -> None:
    """As many headers as frames are left over, to the octet; the machine has counted more of them."""
    said = {LINK: Volume(14 * 1_008, 1_008), FRAGMENTS: Volume(400, 20)}
    found = identify(Volume(114_000 + 8 * 34, 1_008), PARTS, said)
    one_octet_more = identify(Volume(114_001 + 8 * 34, 1_008), PARTS, said)
    more_than_there_were = identify(Volume(114_000 + 21 * 34, 1_021), PARTS, said)

    assert (found.agreement, found.terms["fragment-headers"], found.packets["fragment-headers"]) == (
        Agreement.AGREE,
        160,
        8,
    )
    assert [one_octet_more.agreement, more_than_there_were.agreement] == [Agreement.EXPLAINED] * 2


def test_frames_that_no_rule_sees_are_bounded_and_not_given_a_name() -> None:
    found = identify(Volume(114_000 + 2 * 42, 1_002), PARTS, {LINK: Volume(14 * 1_002, 1_002)})

    assert (found.terms["non-ip"], found.terms["gro-headers"]) == (None, None)
    assert (found.agreement, found.unexplained) == (Agreement.EXPLAINED, 56)
    assert found.bounds["non-ip"] == (0, 512)
    too_much = Volume(114_000 + 28 + 513, 1_002)
    assert identify(too_much, PARTS, {LINK: Volume(14 * 1_002, 1_002)}).agreement is Agreement.DISAGREE


def test_drops_of_the_queue_are_what_is_missing_where_frames_add_up() -> None:
    """900 of 1000 packets of 100 octets went out; those that did not were of 60."""
    nic = Volume(100_000 - 100 * 60 + 12_600, 900)
    found = identify(nic, PARTS, {LINK: Volume(12_600, 900), DROPS: Volume(0, 100)})

    assert (found.terms["qdisc-drops"], found.unexplained) == (-6_000, 0)
    assert (found.agreement, found.estimated, found.bounds) == (Agreement.EXPLAINED, (), {})
    assert found.packets["qdisc-drops"] == 100
    assert "of 60 octets" in found.reasons[0] and found.main_term == "qdisc-drops"


def test_drops_of_the_queue_and_fragments_add_up_frame_by_frame() -> None:
    """Ten of the packets left as two fragments each."""
    nic = Volume(100_000 - 100 * 60 + 10 * 20 + 14 * 910, 910)
    said = {LINK: Volume(14 * 910, 910), DROPS: Volume(0, 100), FRAGMENTS: Volume(200, 10)}
    found = identify(nic, PARTS, said)

    assert (found.terms["qdisc-drops"], found.terms["fragment-headers"]) == (-6_000, 200)
    assert found.unexplained == 0


def test_drops_of_the_queue_are_estimated_by_the_mean_size_where_a_frame_is_left_over() -> None:
    nic = Volume(102_600 + 42, 901)
    found = identify(nic, PARTS, {LINK: Volume(14 * 901, 901), DROPS: Volume(0, 100)})

    assert (found.terms["qdisc-drops"], found.unexplained) == (-10_000, 28)
    assert (found.agreement, found.estimated) == (Agreement.EXPLAINED, ("qdisc-drops",))


@pytest.mark.parametrize("octets_each", [19, 1501])
def test_drops_that_no_packet_could_be_are_a_disagreement(octets_each: int) -> None:
    parts = Volume(1_000_000, 1_000)
    nic = Volume(parts.octets - 100 * octets_each + 12_600, 900)
    found = identify(nic, parts, {LINK: Volume(12_600, 900), DROPS: Volume(0, 100)})

    assert (found.agreement, abs(found.beyond)) == (Agreement.DISAGREE, 100)
    assert found.terms["qdisc-drops"] == -100_000


def test_what_passed_between_two_readings_counts_at_both_ends() -> None:
    said = {**HEADERS, SKEW: Volume(500, 5)}

    assert identify(Volume(113_000, 1_000), PARTS, said).agreement is Agreement.EXPLAINED
    assert identify(Volume(112_999, 1_000), PARTS, said).agreement is Agreement.DISAGREE
    assert identify(Volume(114_000, 1_000), PARTS, said).agreement is Agreement.AGREE


def test_what_was_dropped_before_the_rules_is_told_in_packets() -> None:
    nic = Volume(114_000 + 3 * 74, 1_003)
    found = identify(nic, PARTS, {LINK: Volume(14 * 1_003, 1_003), BEFORE: Volume(0, 3)})

    assert (found.terms["dropped-before-rules"], found.packets["dropped-before-rules"]) == (None, 3)
    assert found.agreement is Agreement.EXPLAINED


def test_data_that_rules_have_missed_is_a_disagreement() -> None:
    found = identify(Volume(114_000 + 50 * 714, 1_050), PARTS, {LINK: Volume(14 * 1_050, 1_050)})

    assert (found.agreement, found.unexplained) == (Agreement.DISAGREE, 50 * 700)
    assert f"{50 * (700 - 256):,} octets more" in found.reasons[0]


def test_data_that_was_dropped_before_the_rules_is_explained() -> None:
    said = {LINK: Volume(14 * 1_050, 1_050), BEFORE: Volume(0, 60)}
    found = identify(Volume(114_000 + 50 * 714, 1_050), PARTS, said)

    assert (found.agreement, found.bounds["dropped-before-rules"]) == (Agreement.EXPLAINED, (0, 75_000))


def test_data_that_passed_while_rules_were_gone_is_explained_and_no_octet_beyond_it() -> None:
    said = {LINK: Volume(14 * 1_050, 1_050), GONE: Volume(50 * 714, 50)}
    found = identify(Volume(114_000 + 50 * 714, 1_050), PARTS, said)

    assert (found.agreement, found.unexplained) == (Agreement.EXPLAINED, 50 * 700)
    assert found.bounds["rules-gone"] == (0, 35_700) and found.packets["rules-gone"] == 50
    assert found.reasons == (
        "our rules did not stand all the time: 35,700 octets in 50 frames at most are in no part",
    )
    more = Volume(114_000 + 50 * 714 + 35_700 + 50 * 256, 1_050)
    assert identify(more, PARTS, said).agreement is Agreement.DISAGREE


def test_rules_that_were_gone_while_nothing_passed_leave_a_line_that_agrees() -> None:
    said = {**HEADERS, GONE: Volume(700, 5)}

    assert identify(Volume(114_000, 1_000), PARTS, said).agreement is Agreement.AGREE


@pytest.mark.parametrize("agreement", Agreement)
def test_an_agreement_is_a_word(agreement: Agreement) -> None:
    assert agreement.value == agreement.name.lower()


@example(Volume(0, 0), Volume(0, 1), {})
@given(volumes, volumes, st.dictionaries(st.sampled_from(SAID), volumes))
def test_parts_and_terms_always_add_up_to_the_interface(
    nic: Volume, parts: Volume, said: dict[ObservationPoint, Volume]
) -> None:
    found = identify(nic, parts, said)

    assert parts.octets + sum(octets or 0 for octets in found.terms.values()) == nic.octets
    assert found.terms["unexplained"] == found.unexplained
    if found.agreement is Agreement.AGREE:
        assert found.unexplained == 0
    if found.agreement is not Agreement.AGREE:
        assert found.reasons
