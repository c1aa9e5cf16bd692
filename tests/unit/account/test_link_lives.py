"""What passed through interfaces that come and go: each octet once, whatever the order of dumps and news."""

from __future__ import annotations

from typing import Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipsecmon.account import link_lives
from ipsecmon.account.link_lives import LinkLives, SavedLink, SavedLinks
from ipsecmon.links import Link, LinkCounts, LinkEnd, LinkNews, LinkPeer

NOBODY_LOOKED = SavedLinks((), None)


def ppp(ifindex: int, packets: int) -> Link:
    """A session that has carried so many packets of 100 octets in, and half of them out."""
    return Link(ifindex, "ppp0", "ppp", LinkCounts(100 * packets, packets, 50 * packets, packets // 2))


def poll(lives: LinkLives, *links: Link, is_whole: bool = True) -> dict[int, int]:
    """Packets in that passed, by ifindex."""
    lives.dump([LinkNews(one) for one in links], is_whole)
    return settle(lives)


def settle(lives: LinkLives) -> dict[int, int]:
    return {one.link.ifindex: one.counts.in_packets for one in lives.settle()}


def begun(*links: Link, saved: SavedLinks = NOBODY_LOOKED) -> LinkLives:
    lives = LinkLives(saved)
    poll(lives, *links)
    return lives


def test_an_interface_that_was_there_before_anybody_looked_is_a_baseline() -> None:
    lives = LinkLives(NOBODY_LOOKED)
    assert poll(lives, ppp(5, 1000)) == {5: 0}
    assert poll(lives, ppp(5, 1007)) == {5: 7}


def test_one_that_is_born_between_two_polls_counts_from_0() -> None:
    assert poll(begun(ppp(5, 10)), ppp(5, 10), ppp(9, 3)) == {5: 0, 9: 3}


def test_one_with_a_lower_number_than_any_before_came_from_elsewhere_and_is_a_baseline() -> None:
    assert poll(begun(ppp(5, 10)), ppp(5, 10), ppp(3, 1000)) == {5: 0, 3: 0}


def test_a_hangup_between_two_polls_loses_nothing() -> None:
    lives = begun(ppp(5, 10))
    lives.event(LinkEnd(ppp(5, 25)))
    assert poll(lives) == {5: 15}
    assert poll(lives) == {}
    assert lives.unseen_ends == 0


def test_a_session_that_came_and_went_between_two_polls_is_whole() -> None:
    lives = begun()
    for event in (LinkNews(ppp(6, 0)), LinkPeer(6, "10.9.0.2"), LinkEnd(ppp(6, 8))):
        lives.event(event)
    (passed,) = lives.settle()
    assert (passed.peer, passed.counts.in_packets, passed.is_alive) == ("10.9.0.2", 8, False)


def test_news_that_come_after_a_newer_dump_take_nothing_back() -> None:
    lives = begun(ppp(5, 10))
    lives.dump([LinkNews(ppp(5, 20))], is_whole=True)
    lives.event(LinkNews(ppp(5, 15)))
    assert settle(lives) == {5: 10}


def test_an_end_that_is_heard_after_the_dump_that_misses_it_is_no_unseen_one() -> None:
    lives = begun(ppp(5, 10))
    lives.dump([], is_whole=True)
    lives.event(LinkEnd(ppp(5, 30)))
    assert settle(lives) == {5: 20}
    assert lives.unseen_ends == 0


def test_one_that_is_missing_without_a_last_reading_is_an_unseen_end_and_counts_no_more() -> None:
    lives = begun(ppp(5, 10))
    assert poll(lives) == {5: 0}
    assert lives.unseen_ends == 1


def test_one_that_an_interrupted_dump_misses_may_be_there_all_the_same() -> None:
    lives = begun(ppp(5, 10))
    assert poll(lives, is_whole=False) == {5: 0}
    assert poll(lives, ppp(5, 14)) == {5: 4}
    assert lives.unseen_ends == 0


def test_a_name_that_is_used_again_is_another_interface() -> None:
    lives = begun(ppp(5, 10))
    lives.event(LinkEnd(ppp(5, 10)))
    settle(lives)
    lives.event(LinkNews(ppp(6, 3)))
    assert settle(lives) == {6: 3}


@pytest.mark.parametrize(
    ("highest", "ifindex", "passed"),
    [(9, 5, 40), (9, 12, 1040), (9, 7, 0), (None, 12, 0)],
    ids=["saved", "made since", "older and not saved", "nobody looked"],
)
def test_an_agent_goes_on_where_the_last_one_stopped(
    highest: Optional[int], ifindex: int, passed: int
) -> None:
    saved = [SavedLink(5, "ppp0", ppp(5, 1000).counts)] if highest else []
    lives = LinkLives(SavedLinks(saved, highest))
    lives.dump([LinkNews(ppp(ifindex, 1040))], is_whole=True)
    (one,) = lives.settle()
    assert (one.counts.in_packets, one.is_bridged) == (passed, True)
    assert lives.unseen_ends == (1 if highest and ifindex != 5 else 0)


def test_what_is_saved_is_what_was_booked() -> None:
    lives = begun(ppp(5, 10))
    lives.event(LinkNews(ppp(5, 99)))
    assert lives.saved() == SavedLinks([SavedLink(5, "ppp0", ppp(5, 10).counts)], 5)


def test_beyond_the_most_that_are_kept_interfaces_are_counted_as_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(link_lives, "LINKS_KEPT", 2)
    lives = begun(ppp(5, 1), ppp(6, 1), ppp(7, 1))
    assert set(poll(lives, ppp(5, 2), ppp(6, 2))) == {5, 6}
    assert lives.dropped == 1


@given(st.lists(st.tuples(st.integers(0, 50), st.sampled_from(["dump", "news", "settle"])), max_size=30))
def test_increments_sum_to_the_last_reading_whatever_the_order(steps: list[tuple[int, str]]) -> None:
    """The oracle is the counter itself: a session born under our eyes has carried what it ends with."""
    lives, packets, total = begun(), 0, 0
    for more, step in steps:
        packets += more
        if step == "dump":
            lives.dump([LinkNews(ppp(5, packets))], is_whole=True)
        elif step == "news":
            lives.event(LinkNews(ppp(5, packets)))
        else:
            total += settle(lives).get(5, 0)
    lives.event(LinkEnd(ppp(5, packets)))
    assert total + settle(lives)[5] == packets
