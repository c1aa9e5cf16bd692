"""Increments of qdiscs and classes: births, ends, resets, wraps, restarts and limits."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipsecmon.account import queues
from ipsecmon.account.queues import MAX_QUEUES, QueueBooks, place_of
from ipsecmon.model import Direction
from ipsecmon.qos import NOWHERE, QueueKey, QueuePlace, QueueReading

ROOT = QueueKey("wan0", "htb", "1:", "root")
CLASS = QueueKey("wan0", "htb", "1:10", "1:")
LEAF = QueueKey("wan0", "tbf", "8001:", "1:10")
OTHER = QueueKey("wan0", "ingress", "ffff:", "ffff:fff1")


def said(key: QueueKey, packets: int, life: str = "boot/3", drops: int = 0) -> QueueReading:
    return QueueReading(key, life, {"octets": 100 * packets, "packets": packets, "drops": drops})


def polled(books: QueueBooks, *readings: QueueReading, heard: Iterable[QueueReading] = ()) -> int:
    return books.poll(readings, ["wan0"], heard)


def packets(books: QueueBooks) -> dict[str, int]:
    return {one.key.handle: one.packets for one in books.increments()}


def test_what_was_there_before_us_is_a_baseline() -> None:
    books = QueueBooks()
    polled(books, said(ROOT, 70))
    assert packets(books) == {"1:": 0}
    polled(books, said(ROOT, 75))
    assert packets(books) == {"1:": 5}


def test_what_appears_while_we_look_counts_from_its_beginning() -> None:
    books = QueueBooks()
    polled(books)
    polled(books, said(ROOT, 7))
    assert packets(books) == {"1:": 7}


def test_a_saved_reading_goes_on_and_is_bridged() -> None:
    books = QueueBooks([said(ROOT, 70)])
    polled(books, said(ROOT, 75), said(CLASS, 3))
    by_handle = {one.key.handle: one for one in books.increments()}
    assert (by_handle["1:"].packets, by_handle["1:"].bridged_packets) == (5, 5)
    assert (by_handle["1:10"].packets, by_handle["1:10"].bridged_octets) == (3, 300)  # it was not there then
    books.close()
    polled(books, said(ROOT, 76), said(CLASS, 3))
    assert {one.key.handle: one.bridged_packets for one in books.increments()} == {"1:": 0, "1:10": 0}


def test_another_life_of_the_interface_counts_from_its_beginning() -> None:
    books = QueueBooks([said(ROOT, 70)])
    polled(books, said(ROOT, 75, life="boot/4"))
    assert packets(books) == {"1:": 75}


def test_an_interface_that_is_new_to_us_is_a_baseline_though_others_are_followed() -> None:
    books = QueueBooks()
    polled(books, said(ROOT, 70))
    ifb = said(ROOT._replace(interface="ifb0"), 500)
    books.poll([said(ROOT, 71), ifb], ["wan0", "ifb0"])
    assert {one.key.interface: one.packets for one in books.increments()} == {"wan0": 1, "ifb0": 0}


def test_last_words_are_booked_and_the_next_of_the_name_begins_at_0() -> None:
    books = QueueBooks()
    polled(books, said(ROOT, 10))
    assert books.end(said(ROOT, 25)) == 0
    polled(books, said(ROOT, 40))  # more than the old one had: no reset could be seen
    assert packets(books) == {"1:": 15 + 40}


def test_what_hung_below_has_no_last_words_and_is_counted() -> None:
    books = QueueBooks()
    polled(books, *(said(key, 10) for key in (ROOT, CLASS, LEAF, OTHER)))
    assert books.end(said(ROOT, 12)) == 2
    polled(books, said(ROOT, 30), said(CLASS, 30), said(OTHER, 11))
    assert packets(books) == {"1:": 32, "1:10": 30, "ffff:": 1}


def test_a_reading_of_a_queue_that_just_ended_waits_for_the_next_poll() -> None:
    for dumped in (24, 3):  # of the old one, or of the new one
        books = QueueBooks()
        polled(books, said(ROOT, 10))
        polled(books, said(ROOT, dumped), heard=[said(ROOT, 25)])
        polled(books, said(ROOT, 7))
        assert packets(books) == {"1:": 15 + 7}


def test_a_number_that_falls_is_a_reset_of_all_and_32_bit_wrap() -> None:
    books = QueueBooks()
    polled(books, said(ROOT, 100, drops=2**32 - 5))
    polled(books, said(ROOT, 110, drops=5))
    (one,) = books.increments()
    assert (one.packets, one.drops) == (10, 10)
    polled(books, said(ROOT, 4, drops=6))
    (one,) = books.increments()
    assert (one.packets, one.drops) == (14, 16)


def test_queues_beyond_the_limit_are_left_out_and_counted() -> None:
    books = QueueBooks()
    many = [said(ROOT._replace(handle=f"1:{number:x}"), 1) for number in range(1, MAX_QUEUES + 4)]
    polled(books, *many)
    assert (len(books.increments()), books.beyond) == (MAX_QUEUES, 3)


def test_what_is_made_anew_all_the_time_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queues, "MAX_OPEN", 10)
    books = QueueBooks()
    polled(books)
    for number in range(50):
        polled(books, said(ROOT._replace(handle=f"{0x8001 + number:x}:"), 1))
    assert len(books.increments()) <= 11
    assert books.beyond == 1


@pytest.mark.parametrize(
    ("interface", "kind", "place"),
    [
        ("wan0", "htb", QueuePlace("T1", Direction.OUT)),
        ("wan1", "ingress", QueuePlace("T2", Direction.IN)),
        ("wan1", "clsact", QueuePlace("T2", Direction.UNKNOWN)),  # it counts both directions in one number
        ("ifb0", "cake", QueuePlace("T1", Direction.IN)),
        ("ifb1", "cake", QueuePlace("", Direction.IN)),  # of two lines together
        ("ifb2", "cake", NOWHERE),  # of an interface that is no line's any more
        ("lan0", "htb", NOWHERE),
    ],
)
def test_a_queue_is_of_the_line_whose_packets_it_gets(interface: str, kind: str, place: QueuePlace) -> None:
    lines = {"wan0": "T1", "ppp0": "T1", "wan1": "T2"}
    origins = {"ifb0": {"wan0", "ppp0"}, "ifb1": {"wan0", "wan1"}, "ifb2": {"eth9"}}
    assert place_of(QueueKey(interface, kind, "1:", "root"), lines, origins) == place


@given(st.lists(st.tuples(st.integers(0, 50), st.booleans(), st.booleans()), max_size=30))
def test_increments_add_up_to_what_passed_whatever_is_replaced(
    steps: list[tuple[int, bool, bool]],
) -> None:
    """Each step: so many packets pass, then the qdisc may be replaced, then it may be polled."""
    books = QueueBooks()
    polled(books, said(ROOT, 0))
    now = passed = 0
    for number, is_replaced, is_polled in steps:
        now, passed = now + number, passed + number
        if is_replaced:
            books.end(said(ROOT, now))
            now = 0
        if is_polled:
            polled(books, said(ROOT, now))
    polled(books, said(ROOT, now))
    assert packets(books) == {"1:": passed}
