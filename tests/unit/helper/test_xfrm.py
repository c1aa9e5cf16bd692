"""What the netlink reader makes of datagrams: a kernel's recorded ones, and such as no kernel sends."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

import pytest

from ipsecmon.errors import DecodeError, SourceError
from ipsecmon.helper import xfrm
from ipsecmon.helper.xfrm import NetlinkSaReader
from tests.unit.wire.hexfiles import load
from tests.unit.wire.messages import message
from tests.unit.wire.xfrm_messages import KEY, recorded_events, recorded_policies, recorded_states, state

EVENTS = load("xfrm-events")
NEWPOLICY, EXPIRE = 0x13, 0x18


class Kernel:
    """The far ends of a reader's sockets. dump: what it answers to whatever it is asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(3)]
        (listening, self.events), (policies, self.policies), (asking, self._answers) = self._pairs
        for ours in (listening, policies, asking):
            ours.setblocking(False)
        opened = iter((listening, policies))
        monkeypatch.setattr(xfrm, "_open", lambda groups, buffer: next(opened))
        self.reader = NetlinkSaReader()
        monkeypatch.setattr(self.reader._asking, "send", lambda encode: asking)

    def dump(self, *datagrams: bytes) -> None:
        for datagram in datagrams:
            self._answers.send(datagram)

    def close(self) -> None:
        self.reader.close()
        for pair in self._pairs:
            for end in pair:
                end.close()


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kernel]:
    made = Kernel(monkeypatch)
    yield made
    made.close()


def test_recorded_events_are_heard_as_they_came(kernel: Kernel) -> None:
    for datagram in EVENTS:
        kernel.events.send(datagram)
    assert kernel.reader.events(1000) == (recorded_events(), False, False)
    assert kernel.reader.events(1000) == ([], False, False)


def test_an_event_that_cannot_be_read_is_one_that_was_missed(kernel: Kernel) -> None:
    for datagram in (EVENTS[0], EVENTS[1][:-4], EVENTS[2]):
        kernel.events.send(datagram)
    events, has_missed, has_more = kernel.reader.events(1000)
    assert len(events) == 2 and has_missed and not has_more
    assert not kernel.reader.events(1000).has_missed


def test_no_more_than_the_limit_are_read_at_once(kernel: Kernel) -> None:
    for datagram in EVENTS[:3]:
        kernel.events.send(datagram)
    assert kernel.reader.events(2).has_more
    assert kernel.reader.events(2) == (recorded_events()[2:3], False, False)


def test_a_recorded_dump_says_what_it_says_and_its_keys_do_not_stay(kernel: Kernel) -> None:
    kernel.dump(*load("xfrm-states"))
    assert kernel.reader.changes(True).told == recorded_states()
    assert KEY[:4] not in kernel.reader._buffer


def test_a_dump_during_which_sas_changed_is_begun_again(kernel: Kernel) -> None:
    changed = bytearray(state())
    changed[6] |= 0x10
    done = message(3, bytes(4))
    kernel.dump(bytes(changed), done, state() + state() + done)
    assert kernel.reader.changes(True).total == 2


@pytest.mark.parametrize("number", [1, 12])
def test_an_error_of_the_kernel_is_told_by_its_number(kernel: Kernel, number: int) -> None:
    kernel.dump(message(2, struct.pack("=i", -number)))
    with pytest.raises(OSError) as raised:
        kernel.reader.changes(True)
    assert raised.value.errno == number


def test_a_dump_that_is_cut_short_is_refused(kernel: Kernel) -> None:
    kernel.dump(state()[:-4])
    with pytest.raises(DecodeError):
        kernel.reader.changes(True)
    assert not any(kernel.reader._buffer)


def test_more_sas_than_can_be_kept_are_refused(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xfrm, "MAX_SAS", 2)
    kernel.dump(state() * 3, message(3, bytes(4)))
    with pytest.raises(SourceError, match="the kernel has more than 2 SAs: they are not accounted"):
        kernel.reader.changes(True)


def test_policies_are_asked_for_at_first_and_where_something_happened_to_one(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    told = [recorded_policies(), recorded_policies(), recorded_policies()[1:]]

    def dump() -> object:
        asked.append(len(asked))
        return told[len(asked) - 1]

    monkeypatch.setattr(kernel.reader, "_dump_policies", dump)
    assert kernel.reader.policies() == told[0]
    assert kernel.reader.policies() is None
    kernel.policies.send(message(EXPIRE, bytes(232)))
    assert kernel.reader.policies() is None and len(asked) == 1
    kernel.policies.send(message(NEWPOLICY, b""))
    assert kernel.reader.policies() is None and len(asked) == 2
    kernel.policies.send(b"x")
    assert kernel.reader.policies() == told[2]
