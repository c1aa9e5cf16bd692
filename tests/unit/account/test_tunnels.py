"""What becomes of SAs, one case at a time; transport mode; the path."""

from __future__ import annotations

from typing import Optional

import pytest

from ipsecmon.account.path_loss import measure_path
from ipsecmon.account.sa_lives import SaLives
from ipsecmon.account.sa_origins import ENDED_KEPT
from ipsecmon.account.tunnel_match import Place, TunnelMatcher, TunnelRule
from ipsecmon.account.tunnels import RULES_KEPT, Tunnels, Volume
from ipsecmon.ipsec import (
    AntiReplay,
    SaEnd,
    SaFlush,
    SaNews,
    SaSoftExpiry,
)
from ipsecmon.model import UNNAMED, Direction, TunnelIncrement
from tests.unit.account.simulated_xfrm import OWN
from tests.unit.account.tunnel_cases import AWAY, HOME, IN, OUT, PEER, T0, poll, sa, tunnels


def test_what_an_sa_had_counted_before_the_first_dump_is_a_baseline() -> None:
    made = tunnels()
    assert poll(made, sa(9000))[OUT].octets == 0
    assert poll(made, sa(9700))[OUT].octets == 700


def test_an_sa_added_since_the_last_dump_counts_from_zero() -> None:
    made = tunnels()
    poll(made)
    told = poll(made, sa(700, added_s=T0 + 60))[OUT]
    assert (told.octets, told.packets, told.sas, told.rekeys) == (700, 7, 1, 0)


def test_an_older_sa_that_is_first_seen_later_is_a_baseline() -> None:
    made = tunnels()
    poll(made)
    assert poll(made, sa(700))[OUT].octets == 0


def test_a_deleted_sa_leaves_no_tail_behind() -> None:
    made = tunnels()
    poll(made, sa(100))
    made.event(SaEnd(sa(900), False))
    told = poll(made)[OUT]
    assert (told.octets, told.packets, told.sas, told.unseen_ends) == (800, 8, 0, 0)


def test_a_soft_expiry_is_no_end() -> None:
    made = tunnels()
    poll(made, sa(100))
    made.event(SaSoftExpiry(sa(500)))
    assert poll(made, sa(900))[OUT].octets == 800


def test_a_reused_spi_starts_again() -> None:
    made = tunnels()
    poll(made, sa(100))
    made.event(SaEnd(sa(300), False))
    made.event(SaNews(sa(added_s=T0 + 70), False))
    told = poll(made, sa(50, 1, added_s=T0 + 70))[OUT]
    assert (told.octets, told.rekeys, told.sas) == (250, 1, 1)


def test_an_sa_added_while_the_dump_was_read_is_no_rekey_of_itself() -> None:
    made = tunnels()
    poll(made)
    made.dump((), T0 + 60)
    made.event(SaNews(sa(added_s=T0 + 60), False))
    (born,) = made.settle({}, T0 + 60)
    told = poll(made, sa(700, added_s=T0 + 60))[OUT]
    assert (born.births, born.rekeys, born.octets) == (1, 0, 0)
    assert (told.births, told.rekeys, told.octets) == (0, 0, 700)


def test_a_successor_added_while_the_dump_was_read_is_a_rekey_though_its_predecessor_ends_then() -> None:
    made = tunnels()
    poll(made, sa(100))
    made.dump((sa(200),), T0 + 60)
    made.event(SaNews(sa(spi=0x200, added_s=T0 + 60), False))
    made.event(SaEnd(sa(300), False))
    (born,) = made.settle({}, T0 + 60)
    told = poll(made, sa(700, spi=0x200, added_s=T0 + 60))[OUT]
    assert (born.births, born.rekeys, born.octets) == (1, 1, 200)
    assert (told.births, told.rekeys, told.octets) == (0, 0, 700)


def test_an_sa_that_was_lost_before_its_last_words_came_is_born_once() -> None:
    made = tunnels()
    poll(made)
    made.event(SaNews(sa(added_s=T0 + 60), False))
    made.miss_events()
    lost = poll(made, at_s=T0 + 70)[OUT]
    made.event(SaEnd(sa(400, added_s=T0 + 60), False))
    told = poll(made, at_s=T0 + 80)[OUT]
    assert (lost.births + told.births, lost.rekeys + told.rekeys, told.octets) == (1, 0, 400)


def test_a_reused_spi_without_any_event_starts_again_and_its_end_is_bounded() -> None:
    made = tunnels()
    poll(made, sa(1000))
    made.miss_events()
    told = poll(made, sa(400, added_s=T0 + 70), rules={OUT: Volume(2000, 20)})[OUT]
    assert (told.octets, told.unseen_ends, told.error_bound_octets) == (400, 1, 2000)


def test_two_sas_of_one_direction_are_summed() -> None:
    made = tunnels()
    poll(made, sa(), sa(spi=0x200))
    told = poll(made, sa(300), sa(500, spi=0x200))[OUT]
    assert (told.octets, told.sas) == (800, 2)


def test_an_sa_that_was_moved_is_not_counted_again() -> None:
    made = tunnels()
    poll(made, sa(5000))
    told = poll(made, sa(5700, source=OWN[1], destination=PEER))[OUT]
    assert (told.octets, told.unseen_ends) == (700, 0)
    made.event(SaEnd(sa(5900), False))
    made.event(SaNews(sa(5900, destination="198.51.100.8"), False))
    assert poll(made, sa(6000, destination="198.51.100.8"))[Place(UNNAMED, Direction.OUT)].octets == 100


def test_an_sa_that_moved_back_and_ended_there_is_not_taken_from_an_older_row() -> None:
    made = tunnels()
    poll(made, sa(5000, inbound=True))
    made.dump([sa(5700, inbound=True, destination=OWN[1])], T0 + 60)
    made.event(SaEnd(sa(5900, inbound=True), False))
    told = [made.settle({}, T0 + 60), made.settle({}, T0 + 60)]
    assert [(one.octets, one.unseen_ends) for one in told[0]] == [(900, 0)] and not told[1]
    assert not poll(made) and not poll(made)


def test_an_sa_whose_news_come_after_the_row_of_where_it_was_moved_is_one() -> None:
    made = tunnels()
    poll(made)
    made.dump([sa(700, inbound=True, destination=OWN[1], added_s=T0 + 61)], T0 + 62)
    made.event(SaNews(sa(inbound=True, added_s=T0 + 61), False))
    told = made.settle({}, T0 + 62)
    assert [(one.key, one.octets, one.sas, one.unseen_ends) for one in told] == [(HOME, 700, 1, 0)]


def test_an_sa_moved_by_its_source_alone_is_followed_though_its_news_were_lost() -> None:
    made = tunnels()
    poll(made)
    made.event(SaNews(sa(added_s=T0 + 61), False))
    made.dump([sa(700, added_s=T0 + 61)._replace(source=OWN[1])], T0 + 62)
    made.event(SaEnd(sa(700, added_s=T0 + 61), False))
    made.miss_events()
    assert [(one.octets, one.sas) for one in made.settle({}, T0 + 62)] == [(700, 1)]


def test_a_row_of_before_an_sa_was_moved_by_its_source_and_ended_is_older_than_its_end() -> None:
    made = tunnels()
    poll(made, sa())
    made.dump([sa()], T0 + 62)
    made.event(SaEnd(sa(700, used_s=T0 + 62)._replace(source=OWN[1]), False))
    assert [(one.octets, one.sas) for one in made.settle({}, T0 + 62)] == [(700, 0)]
    assert not poll(made) and not poll(made)


def test_what_the_last_dump_did_not_have_is_unbounded_if_it_is_gone_after_a_restart() -> None:
    made = tunnels()
    poll(made)
    made.dump([], T0 + 62)
    made.event(SaNews(sa(added_s=T0 + 62), False))
    made.settle({}, T0 + 62)
    matcher = TunnelMatcher([TunnelRule("vpn", peers=frozenset((PEER,)))])
    matcher.learn((), OWN)
    told = poll(Tunnels(matcher, made.saved()), rules={OUT: Volume(5, 1)})[OUT]
    assert (told.unseen_ends, told.unbounded_ends) == (1, 1)


def test_levels_follow_what_is_learnt_and_what_is_alive() -> None:
    matcher = TunnelMatcher([TunnelRule("vpn", peers=frozenset((PEER,)))])
    made = Tunnels(matcher)
    unknown = Place("vpn", Direction.UNKNOWN)
    assert poll(made, sa(), sa(spi=0x200))[unknown].sas == 2
    matcher.learn((), OWN)
    assert {place: one.sas for place, one in poll(made, sa(100), sa(spi=0x200)).items()} == {OUT: 2}
    assert poll(made, sa(300), sa(spi=0x200))[OUT].octets == 200
    made.event(SaEnd(sa(spi=0x200), False))
    assert poll(made, sa(300))[OUT].sas == 1


@pytest.mark.parametrize(("told_s", "expected"), [(T0 + 7, T0 + 7), (None, T0 + 60)])
def test_the_last_use_is_the_kernels_or_of_the_poll_that_saw_it(told_s: Optional[int], expected: int) -> None:
    made = tunnels()
    poll(made, sa(100))
    for octets in (300, 500):
        assert poll(made, sa(octets, last_used_s=told_s))[OUT].last_used_s == expected


def test_an_end_that_is_still_on_its_way_is_waited_for() -> None:
    made = tunnels()
    poll(made, sa(100))
    assert OUT not in {place for place, one in poll(made).items() if one.unseen_ends}
    made.event(SaEnd(sa(150), False))
    told = poll(made)[OUT]
    assert (told.octets, told.unseen_ends) == (50, 0)


def test_an_end_that_never_comes_is_bounded_by_all_that_passed_since_the_last_reading() -> None:
    made = tunnels()
    poll(made, sa(100))
    poll(made, rules={OUT: Volume(500, 5)})
    told = poll(made, rules={OUT: Volume(60, 1)})[OUT]
    assert (told.unseen_ends, told.error_bound_octets, told.error_bound_packets) == (1, 560, 6)


def test_a_late_end_still_brings_its_octets() -> None:
    made = tunnels()
    poll(made, sa(100))
    made.event(SaFlush(50))
    poll(made)
    made.event(SaEnd(sa(400), True))
    assert poll(made)[OUT].octets == 300


def test_without_a_rule_counter_the_end_is_unbounded_and_says_so() -> None:
    made = tunnels()
    poll(made, sa(100))
    made.event(SaFlush(0))
    told = poll(made)[OUT]
    assert (told.unseen_ends, told.unbounded_ends, told.error_bound_octets) == (1, 1, 0)


@pytest.mark.parametrize(("protocol", "ends"), [(0, 1), (255, 1), (50, 1), (51, 0)])
def test_a_flush_ends_the_sas_of_its_protocol(protocol: int, ends: int) -> None:
    made = tunnels()
    poll(made, sa(100))
    made.event(SaFlush(protocol))
    assert poll(made).get(OUT, TunnelIncrement(AWAY)).unseen_ends == ends


def test_an_sa_that_was_only_negotiated_vanishes_without_a_word() -> None:
    made = tunnels()
    poll(made, sa(is_keyed=False))
    assert not poll(made) and not poll(made)


def test_ipcomp_and_ipip_sas_are_not_counted_beside_their_esp() -> None:
    made = tunnels()
    poll(made, sa(protocol=108), sa(protocol=4), sa())
    assert poll(made, sa(500, protocol=108), sa(500, protocol=4), sa(500))[OUT].octets == 500


@pytest.mark.parametrize(("family", "header"), [(2, 20), (10, 40)])
def test_transport_mode_counts_payload_and_the_headers_are_derived(family: int, header: int) -> None:
    made = tunnels()
    poll(made, sa(mode="transport", family=family))
    told = poll(made, sa(1000, 5, mode="transport", family=family))[OUT]
    assert (told.payload_octets, told.derived_octets) == (1000, 5 * header)
    assert told.octets == told.payload_octets + told.derived_octets


def test_a_rekey_between_two_polls_is_one_rekey() -> None:
    made = tunnels()
    poll(made, sa())
    for spi in (0x200, 0x300):
        made.event(SaNews(sa(spi=spi, added_s=T0 + 70), False))
    assert poll(made, sa(), sa(spi=0x200, added_s=T0 + 70), sa(spi=0x300, added_s=T0 + 70))[OUT].rekeys == 2


@pytest.mark.parametrize(
    ("state", "packets", "lost", "still_open"),
    [
        (AntiReplay(2000, 0, 64, 0), 1790, 210, 0),
        (AntiReplay(10, 0, 64, 3), 7, 0, 3),
        (AntiReplay(2**33, 0, 64, 1, True), 2**33 - 5, 4, 1),
    ],
)
def test_path_loss_is_what_left_the_window_unseen(
    state: AntiReplay, packets: int, lost: int, still_open: int
) -> None:
    measured = measure_path(sa(0, packets, anti_replay=state))
    assert measured is not None and (measured.lost, measured.open) == (lost, still_open)


@pytest.mark.parametrize("state", [None, AntiReplay(9, 0, 0, 0)])
def test_without_anti_replay_there_is_no_path_loss_to_tell(state: Optional[AntiReplay]) -> None:
    assert measure_path(sa(anti_replay=state)) is None
    assert poll(tunnels(), sa(anti_replay=state))[OUT].sas_without_anti_replay == 1


def test_packets_dropped_as_too_late_did_arrive() -> None:
    measured = measure_path(sa(0, 90, late_packets=4, anti_replay=AntiReplay(100, 0, 32, 0)))
    assert measured is not None and measured.lost == 6


def test_what_is_missing_when_an_sa_is_deleted_is_lost() -> None:
    made = tunnels()
    poll(made, sa(0, 0, inbound=True))
    open_state = AntiReplay(10, 0, 64, 3)
    told = poll(made, sa(700, 7, inbound=True, anti_replay=open_state))[IN]
    assert (told.lost_packets, told.open_packets) == (0, 3)
    made.event(SaEnd(sa(800, 8, inbound=True, anti_replay=AntiReplay(10, 0, 64, 2)), False))
    assert poll(made)[IN].lost_packets == 2


def test_an_expiry_without_replay_state_counts_what_cannot_have_come() -> None:
    made = tunnels()
    poll(made, sa(700, 7, inbound=True, anti_replay=AntiReplay(10, 0, 64, 3)))
    made.event(SaEnd(sa(800, 8, inbound=True, anti_replay=None), True))
    assert poll(made)[IN].lost_packets == 2


def test_ended_sas_are_remembered_up_to_a_limit() -> None:
    lives = SaLives()
    for spi in range(ENDED_KEPT + 10):
        lives.event(SaNews(sa(spi=spi), False))
        lives.event(SaEnd(sa(spi=spi), False))
    assert len(lives._ended) == ENDED_KEPT


def test_rule_counters_are_remembered_up_to_a_limit_beyond_which_an_end_is_unbounded() -> None:
    made = tunnels()
    poll(made, sa(100))
    for _ in range(RULES_KEPT + 1):
        made.settle({OUT: Volume(1, 1)}, T0)
    made.miss_events()
    told = poll(made, rules={OUT: Volume(1, 1)})[OUT]
    assert told.unbounded_ends == 1
