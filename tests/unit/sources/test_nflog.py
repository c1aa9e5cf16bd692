"""The NFLOG source over a socket pair: one end stands in for the kernel's side."""

from __future__ import annotations

import itertools
import socket
import struct
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from ipsecmon.errors import GroupInUse, SourceError
from ipsecmon.sources import nflog
from ipsecmon.sources.nflog import NflogSource
from tests.unit.wire.hexfiles import load
from tests.unit.wire.messages import DONE, columns, copy, header, ip4, message, packet_header

EPERM, EBUSY, EINVAL = 1, 16, 22
GROUPS = (10, 65535)


class Kinds:
    """Counts that can be looked at."""

    def __init__(self) -> None:
        self.of: Counter[str] = Counter()

    def add(self, component: str, kind: str, number: int = 1) -> None:
        assert component == "nflog"
        self.of[kind] += number


class Kernel:
    """Sends what a kernel would; source is its reader."""

    def __init__(self) -> None:
        self._here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._here.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8 << 20)
        self._here.setblocking(False)
        self.counts = Kinds()
        self.reader = there
        self.source = NflogSource(there, GROUPS, self.counts)

    def acknowledge(self, number: int, code: int = 0) -> None:
        self._here.send(message(2, struct.pack("=i", -code) + bytes(16), number=number))

    def send(self, *messages: bytes) -> None:
        self._here.send(b"".join(messages))

    def copies(self, group: int, numbers: Iterable[int]) -> None:
        """One datagram of copies with these sequence numbers."""
        self.send(*(copy(ip4(60), group, number % 2**32) for number in numbers), DONE)

    def started(self) -> Kernel:
        for number in range(1, len(GROUPS) + 1):
            self.acknowledge(number)
        self.source.start()
        return self

    def sequences(self) -> list[int]:
        """What one poll gives."""
        return [number for packets in self.source.poll() for number in columns(packets)[2]]

    def close(self) -> None:
        self.source.stop()
        self._here.close()


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    made = Kernel()
    yield made
    made.close()


def test_a_source_starts_when_every_group_is_acknowledged(kernel: Kernel) -> None:
    kernel.started()

    assert kernel.source.poll() == []
    assert kernel.counts.of == {}
    assert kernel.source.fileno() == kernel.reader.fileno()


def test_the_kernels_own_acknowledgements_are_taken(kernel: Kernel) -> None:
    for datagram in load("bound"):
        kernel.send(datagram)

    kernel.source.start()


def test_acknowledgements_may_come_in_any_order_and_a_strange_one_is_passed(kernel: Kernel) -> None:
    for number in (2, 0, 7, 1):
        kernel.acknowledge(number)

    kernel.source.start()


def test_copies_between_the_acknowledgements_come_first_and_are_not_lost(kernel: Kernel) -> None:
    kernel.acknowledge(1)
    kernel.copies(10, range(3))
    kernel.copies(10, range(3, 5))
    kernel.acknowledge(2)
    kernel.copies(10, [5])
    kernel.source.start()

    assert kernel.sequences() == [0, 1, 2, 3, 4, 5]
    assert kernel.counts.of == {"datagrams": 3}


def test_more_early_copies_than_one_buffer_holds_come_in_order_over_several_polls(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nflog, "_BUFFER", nflog._DATAGRAM + 200)
    kernel.acknowledge(1)
    for number in range(9):
        kernel.copies(10, [number])
    kernel.started()
    kernel.copies(10, [9])

    polls = list(iter(kernel.sequences, []))
    assert len(polls) > 2
    assert list(itertools.chain(*polls)) == list(range(10))


def test_nonsense_before_an_acknowledgement_is_counted_and_does_not_stop_the_start(kernel: Kernel) -> None:
    kernel.send(b"\xff" * 40)
    kernel.started()

    assert kernel.sequences() == []
    assert kernel.counts.of == {"datagrams": 1, "malformed": 1}


@pytest.mark.parametrize("code", [EPERM, EBUSY])
def test_a_group_that_another_process_owns_is_named_with_what_to_do(kernel: Kernel, code: int) -> None:
    kernel.acknowledge(1)
    kernel.acknowledge(2, code)

    with pytest.raises(GroupInUse, match=r"NFLOG group 65535 is in use by .+: stop that program, or"):
        kernel.source.start()


def test_the_kernels_own_refusal_is_a_group_in_use(kernel: Kernel) -> None:
    (refusal,) = load("in-use")
    kernel.send(refusal)

    with pytest.raises(GroupInUse, match="NFLOG group 10 is in use"):
        kernel.source.start()


def test_another_refusal_says_the_group_and_the_reason(kernel: Kernel) -> None:
    kernel.acknowledge(1, EINVAL)

    with pytest.raises(SourceError, match="refused NFLOG group 10: Invalid argument"):
        kernel.source.start()


def test_a_kernel_that_does_not_answer_is_said(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nflog, "_ACKNOWLEDGE_MS", 0)
    kernel.acknowledge(1)

    with pytest.raises(SourceError, match="did not answer"):
        kernel.source.start()


def test_copies_without_an_end_do_not_fill_the_memory_while_an_acknowledgement_is_missing(
    kernel: Kernel,
) -> None:
    kernel.reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    limit = kernel.reader.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    for number in range(limit // 1000 + 2):
        kernel.send(copy(bytes(1000), number=number))
    kernel.acknowledge(1)
    kernel.acknowledge(2)

    with pytest.raises(SourceError, match="did not answer"):
        kernel.source.start()


def test_the_same_answer_comes_as_columns_however_datagrams_are_read(kernel: Kernel) -> None:
    kernel.started()
    for datagram in load("groups"):
        kernel.send(datagram)
    (together,) = kernel.source.poll()
    apart = []
    for datagram in load("groups"):
        kernel.send(datagram)
        apart += kernel.source.poll()

    assert columns(together)[0] == columns(apart[0])[0] + columns(apart[1])[0]
    assert columns(together)[1] == columns(apart[0])[1] + columns(apart[1])[1]


def test_polling_again_leaves_the_columns_of_the_poll_before_as_they_are(kernel: Kernel) -> None:
    kernel.started()
    kernel.send(copy(ip4(60)))
    (first,) = kernel.source.poll()
    kernel.send(copy(ip4(999), group=7, number=1))
    kernel.source.poll()

    assert columns(first) == ([10], [60], [0], {})


def test_odd_kinds_are_counted_by_name(kernel: Kernel) -> None:
    kernel.started()
    kernel.send(copy(ip4(60)[:19]), copy(ip4(60, version=5), number=1), copy(ip4(0), number=2))
    kernel.source.poll()

    assert kernel.counts.of == {"datagrams": 1, "short": 1, "version": 1, "length-zero": 1}


def test_a_first_copy_that_is_not_number_0_tells_what_was_lost_before(kernel: Kernel) -> None:
    kernel.started().copies(10, [4])
    kernel.source.poll()

    assert kernel.counts.of["sequence-gap"] == 4


def test_gaps_inside_a_read_and_between_reads_are_counted(kernel: Kernel) -> None:
    kernel.started().copies(10, [0, 1, 4])
    kernel.copies(10, [5, 7])
    kernel.source.poll()
    assert kernel.counts.of["sequence-gap"] == 3

    kernel.copies(10, [107])
    kernel.source.poll()
    assert kernel.counts.of["sequence-gap"] == 3 + 99


def test_groups_that_come_interleaved_have_gaps_of_their_own(kernel: Kernel) -> None:
    kernel.started()
    for lowest in (0, 3, 6):
        kernel.copies(10, [lowest, lowest + 1, lowest + 2])
        kernel.copies(65535, [lowest, lowest + 2])
    kernel.source.poll()
    assert kernel.counts.of["sequence-gap"] == 3

    kernel.copies(65535, [9])
    kernel.source.poll()
    kernel.copies(10, [9])
    kernel.source.poll()
    assert kernel.counts.of["sequence-gap"] == 3


@pytest.mark.parametrize(
    ("numbers", "lost"), [([2**32 - 1, 2**32], 0), ([2**32], 1), ([2**32 - 1, 2**32 + 2], 2)]
)
def test_a_sequence_passes_its_wrap(kernel: Kernel, numbers: list[int], lost: int) -> None:
    kernel.started().copies(10, [2**32 - 2])
    kernel.source.poll()
    kernel.counts.of.clear()

    kernel.copies(10, numbers)
    kernel.source.poll()
    assert kernel.counts.of["sequence-gap"] == lost


def test_copies_without_numbers_are_no_gaps(kernel: Kernel) -> None:
    kernel.started().send(header(10, packet_header()), header(10, packet_header()))
    kernel.copies(10, [0])
    kernel.source.poll()

    assert kernel.counts.of["sequence-gap"] == 0


@pytest.mark.parametrize(
    "malformed",
    [
        b"\xff" * 64,
        b"\0",
        copy(ip4(60), number=2)[:-4],
        copy(ip4(60), number=2)[:-1],
        struct.pack("=I", 4 + 2 * len(copy(ip4(60)))) + copy(ip4(60), number=2)[4:],
        header(10, packet_header()[:-4]),
    ],
)
def test_a_malformed_datagram_between_good_ones_loses_only_itself(kernel: Kernel, malformed: bytes) -> None:
    kernel.started().copies(10, [0, 1])
    kernel.send(malformed)
    kernel.copies(10, [3, 4])
    kernel.copies(10, [5])

    assert kernel.sequences() == [0, 1, 3, 4, 5]
    assert kernel.counts.of == {"datagrams": 4, "malformed": 1, "sequence-gap": 1}


def test_a_cut_datagram_is_not_made_whole_by_the_next_one(kernel: Kernel) -> None:
    kernel.started().copies(10, [0])
    answer = message(2, bytes(20))
    kernel.send(copy(ip4(60).ljust(64, b"\0"), number=1)[: -len(answer)])
    kernel.send(answer)

    assert kernel.sequences() == [0]
    assert kernel.counts.of == {"datagrams": 3, "malformed": 1}


def test_a_poll_knows_whether_it_found_the_socket_empty(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nflog, "_BUFFER", nflog._DATAGRAM + 300)
    kernel.started().copies(10, range(3))
    kernel.copies(10, range(3, 6))

    known = []
    for _ in range(3):
        found = kernel.sequences()
        known.append((len(found), kernel.source.was_empty))
    assert known == [(6, False), (0, True), (0, True)]


def test_a_poll_of_nothing_good_is_not_an_empty_socket(kernel: Kernel) -> None:
    kernel.started().send(b"\xff" * 64)

    assert [columns(packets) for packets in kernel.source.poll()] == [([], [], [], {})]
    assert kernel.source.poll() == []


def test_fullness_is_the_share_of_the_receive_buffer_that_waits() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as reader:  # charges its receiver, as netlink does
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        reader.bind(("127.0.0.1", 0))
        source = NflogSource(reader, GROUPS, Kinds())
        assert source.fullness() == 0

        for number in range(1, 9):
            reader.sendto(bytes(4000), reader.getsockname())
            assert number * 4000 / (2 << 16) <= source.fullness() <= number * 12000 / (2 << 16)


def test_a_socket_that_is_not_the_kernels_has_dropped_nothing(kernel: Kernel) -> None:
    assert kernel.source.dropped_datagrams() == 0


def test_a_buffer_that_rmem_max_has_capped_is_told_as_it_is() -> None:
    """Without CAP_NET_ADMIN's SO_RCVBUFFORCE the kernel caps what is asked for, without a word."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW) as opened:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 30)
        opened.bind((0, 0))
        source = NflogSource(opened, (), Kinds())

        assert source.receive_buffer == int(Path("/proc/sys/net/core/rmem_max").read_text())
        assert source.port == opened.getsockname()[0] != 0


def test_only_groups_whose_esp_is_wanted_come_with_it(kernel: Kernel) -> None:
    kernel.started()
    told = []
    for groups in ((), (GROUPS[0],), ()):
        kernel.source.tell_esp(groups)
        for group in GROUPS[:2]:
            kernel.copies(group, [1, 2])
        (packets,) = kernel.source.poll()
        told.append(packets.esp.rows.tolist() if packets.esp is not None else None)

    assert told == [None, [0, 1], None]
