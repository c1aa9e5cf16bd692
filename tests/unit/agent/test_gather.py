"""How long copies gather: as long as they may, never so long that the socket overflows."""

from __future__ import annotations

import pytest

from ipsecmon.agent.gather import Gather

MS = 1_000_000
DEFAULT = 32 << 20  # octets


def test_copies_gather_for_a_fifth_of_a_second_while_they_are_few() -> None:
    gather = Gather(DEFAULT)
    for _ in range(3):
        assert gather.wait_ns == 200 * MS
        gather.learn(0.0)


def test_a_full_socket_is_read_more_often_until_a_quarter_is_in_use() -> None:
    gather = Gather(DEFAULT)

    gather.learn(1.0)
    assert gather.wait_ns == 50 * MS
    gather.learn(0.25)
    assert gather.wait_ns == 50 * MS
    gather.learn(0.125)
    assert gather.wait_ns == 100 * MS


def test_when_the_burst_is_over_copies_gather_longer_again() -> None:
    gather = Gather(DEFAULT)
    gather.learn(1.0)

    gather.learn(0.001)
    assert gather.wait_ns == 200 * MS


@pytest.mark.parametrize("receive_buffer", [64 << 10, 1 << 20, 16 << 20, DEFAULT, 1 << 30])
def test_a_million_copies_a_second_never_fill_the_receive_buffer_in_one_wait(receive_buffer: int) -> None:
    copies = Gather(receive_buffer).wait_ns / 1e9 * 1_000_000

    assert copies * 160 <= receive_buffer  # octets of a copy with all its attributes


def test_a_socket_that_is_always_full_is_still_not_read_without_a_pause() -> None:
    gather = Gather(DEFAULT)
    for _ in range(20):
        gather.learn(1.0)

    assert gather.wait_ns == 12.5 * MS
