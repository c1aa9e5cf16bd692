"""The terms of an interface that every machine has: loopback, read from the kernel that runs the tests."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from ipsecmon.model import LINE_TERMS, Direction, ObservationPoint, Reading
from ipsecmon.sources.interfaces import InterfaceSource

IN, OUT = Direction.IN, Direction.OUT


@pytest.fixture
def source() -> Iterator[InterfaceSource]:
    made = InterfaceSource(["lo"])
    made.start()
    yield made
    made.stop()


def by_place(readings: list[Reading]) -> dict[tuple[Direction, ObservationPoint], Reading]:
    return {(one.key.direction, one.key.observed_at): one for one in readings}


def send(octets: int) -> None:
    """A UDP packet to nobody."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.sendto(bytes(octets), ("127.0.0.1", 9))


def test_link_headers_are_those_of_all_frames(source: InterfaceSource) -> None:
    found = by_place(source.poll())

    for way in (IN, OUT):
        nic, headers = found[way, ObservationPoint.NIC], found[way, ObservationPoint.LINK_HEADERS]
        assert (headers.packets, headers.octets) == (nic.packets, nic.packets * 14)
        assert headers.birth == nic.birth


def test_every_term_says_of_which_interface_it_is_and_where(source: InterfaceSource) -> None:
    found = [one for one in source.poll() if one.key.observed_at is not ObservationPoint.NIC]

    assert {one.key.name for one in found} == {"lo"}
    assert {one.key.observed_at for one in found} <= LINE_TERMS


def test_numbers_of_the_whole_machine_are_nobody_s_past(source: InterfaceSource) -> None:
    """An interface that is new must not get what was counted before it was there."""
    found = by_place(source.poll())

    assert not found[IN, ObservationPoint.FRAGMENT_HEADERS].from_zero
    assert not found[OUT, ObservationPoint.FRAGMENT_HEADERS].from_zero
    assert not found[IN, ObservationPoint.DROPPED_BEFORE_RULES].from_zero


def test_the_skew_is_the_most_that_ever_passed_and_never_falls(source: InterfaceSource) -> None:
    source.poll()
    send(1000)
    first = by_place(source.skew())[OUT, ObservationPoint.READ_SKEW]
    source.poll()
    second = by_place(source.skew())[OUT, ObservationPoint.READ_SKEW]

    assert first.octets >= 1000 + 28 and first.packets >= 1
    assert second.octets >= first.octets
    assert (first.birth, first.from_zero) == (second.birth, True)


def test_another_run_s_skew_is_another_life() -> None:
    births = set()
    for _ in range(2):
        source = InterfaceSource(["lo"])
        source.start()
        source.poll()
        births |= {one.birth for one in source.skew()}
        source.stop()

    assert len(births) == 2
