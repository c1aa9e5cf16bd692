"""Copies from several sockets, which come and go as groups are needed."""

from __future__ import annotations

import select
import socket
from collections.abc import Collection, Iterator

import numpy as np
import pytest

from ipsecmon.errors import SourceError
from ipsecmon.packets import Packets
from ipsecmon.sources.copies import MAX_SOCKETS, Copies


class Socket:
    """Each datagram is one copy of the group it names."""

    def __init__(self, dropped: int = 0) -> None:
        self.far, self._near = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._near.setblocking(False)
        self._dropped = dropped
        self.was_empty = False
        self.esp_groups: Collection[int] = ()

    def tell_esp(self, groups: Collection[int]) -> None:
        self.esp_groups = groups

    def fileno(self) -> int:
        return self._near.fileno()

    def poll(self) -> list[Packets]:
        try:
            group = int(self._near.recv(10))
        except BlockingIOError:
            self.was_empty = True
            return []
        return [Packets(np.array([group], np.uint16), np.array([1], np.uint32), np.array([0], np.int64))]

    def dropped_datagrams(self) -> int:
        return self._dropped

    def fullness(self) -> float:
        return self._dropped / 10

    @property
    def receive_buffer(self) -> int:
        return 1000 - self._dropped

    @property
    def port(self) -> int:
        return self.fileno()

    def stop(self) -> None:
        self.far.close()
        self._near.close()


@pytest.fixture
def copies() -> Iterator[Copies]:
    made = Copies()
    yield made
    made.stop()


def groups(copies: Copies) -> list[int]:
    found = []
    copies.was_empty = False
    while not copies.was_empty:
        batches = copies.poll()
        found += [int(packets.group[0]) for packets in batches]
    return found


def test_it_is_readable_when_one_of_them_is_and_drained_when_all_were(copies: Copies) -> None:
    first, second = Socket(), Socket()
    copies.add(first, [1, 2])
    copies.add(second, [3])
    assert select.select([copies], [], [], 0)[0] == []
    for made, text in ((second, b"3"), (first, b"1"), (second, b"3")):
        made.far.send(text)
    assert select.select([copies], [], [], 0)[0] == [copies]
    assert sorted(groups(copies)) == [1, 3, 3]
    assert select.select([copies], [], [], 0)[0] == []


def test_only_groups_that_no_socket_has_are_unbound(copies: Copies) -> None:
    assert copies.unbound([2, 1]) == [2, 1]
    copies.add(Socket(), [1, 2])
    assert copies.unbound([3, 2, 1, 4]) == [3, 4]


def test_a_socket_goes_with_the_last_group_that_is_needed(copies: Copies) -> None:
    first, second = Socket(dropped=5), Socket(dropped=2)
    copies.add(first, [1, 2])
    copies.add(second, [3])
    copies.keep({2, 3})
    assert copies.unbound([1, 2, 3]) == []
    copies.keep({3})
    assert copies.unbound([1, 2, 3]) == [1, 2]
    assert first.far.fileno() == -1
    assert copies.dropped_datagrams() == 7


def test_there_is_a_limit_of_sockets(copies: Copies) -> None:
    for group in range(MAX_SOCKETS):
        copies.add(Socket(), [group])
    assert copies.unbound([0, 1]) == []
    with pytest.raises(SourceError, match="restart needed"):
        copies.unbound([0, MAX_SOCKETS])


def test_they_are_as_full_as_the_fullest(copies: Copies) -> None:
    assert copies.fullness() == 0
    copies.add(Socket(dropped=5), [1])
    copies.add(Socket(dropped=2), [3])
    assert copies.fullness() == 0.5


def test_the_smallest_receive_buffer_is_told_and_the_port_of_each(copies: Copies) -> None:
    assert copies.receive_buffer() is None and copies.ports() == []
    sockets = [Socket(), Socket(dropped=300)]
    for number, one in enumerate(sockets):
        copies.add(one, [number])

    assert copies.receive_buffer() == 700
    assert copies.ports() == [one.port for one in sockets]


def test_every_socket_knows_whose_esp_is_wanted_whenever_it_came(copies: Copies) -> None:
    before, after = Socket(), Socket()
    copies.add(before, [1, 2])
    copies.tell_esp({2, 3})
    copies.add(after, [3])

    assert before.esp_groups == after.esp_groups == {2, 3}
