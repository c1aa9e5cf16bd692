"""Header copies from one NFLOG socket, for all groups.

In: a socket that the helper opened, bound and configured. Out: Packets, a drained read at a time.
Counted under component nflog: datagrams, malformed (a datagram that was refused whole), the odd kinds
of wire.packet, and sequence-gap: copies the kernel built and we never saw. The kernel gives no
number for copies it could not even build: those show only against the rule's own counter.
"""

from __future__ import annotations

import os
import select
import socket
import struct
from collections import deque
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Optional

import numpy as np
from numpy.typing import NDArray

from ipsecmon.errors import DecodeError, GroupInUse, SourceError
from ipsecmon.model import Counts
from ipsecmon.packets import Packets
from ipsecmon.wire.netlink import NLMSG_ERROR, Message, decode_error, pull_messages
from ipsecmon.wire.nflog import decode_packets

__all__ = ["NflogSource"]

_DATAGRAM = 1 << 18  # octets kept free for one more; the kernel's largest is 128 KiB and some
_BUFFER = 4 << 20  # octets decoded at once: about 25,000 copies
_ACKNOWLEDGE_MS = 2000
_SO_MEMINFO = 55  # asm-generic/socket.h, since Linux 4.12
_MEMINFO = struct.Struct("=2I")  # the first two of linux/sock_diag.h, enum of SK_MEMINFO_VARS
_EPERM, _EBUSY = 1, 16
_SEQUENCES = 1 << 32


class NflogSource:
    """Reads the socket without blocking. groups: in the order the helper requested them."""

    def __init__(self, opened: socket.socket, groups: Sequence[int], counts: Counts) -> None:
        self._socket = opened
        self._groups = groups
        self._counts = counts
        self._buffer = memoryview(bytearray(_BUFFER))
        self._early: deque[bytes] = deque()  # copies that came between the acknowledgements
        self._last_sequence = np.full(1 << 16, -1, np.int64)
        self._esp_groups: Optional[NDArray[np.bool_]] = None
        self.was_empty = False  # the socket, at some moment of the last poll

    def tell_esp(self, groups: Collection[int]) -> None:
        """Of these groups packets come with what tells their SA."""
        self._esp_groups = None
        if groups:
            self._esp_groups = np.zeros(1 << 16, np.bool_)
            self._esp_groups[list(groups)] = True

    def start(self) -> None:
        """Take the kernel's acknowledgements. Raises GroupInUse or SourceError."""
        self._socket.setblocking(False)
        waiting = set(range(1, len(self._groups) + 1))
        ready = select.poll()
        ready.register(self._socket, select.POLLIN)
        # the acknowledgements are on the socket already: no more can stand before the last one than fits
        room = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        while waiting:
            if room < 0 or not ready.poll(_ACKNOWLEDGE_MS):
                raise SourceError("the kernel did not answer the request for NFLOG groups: try again")
            datagram = self._socket.recv(_DATAGRAM)
            answer = _answer(datagram)
            if answer is None:
                self._early.append(datagram)
                room -= len(datagram)
            elif answer.sequence in waiting:
                self._acknowledge(decode_error(datagram, answer), self._groups[answer.sequence - 1])
                waiting.discard(answer.sequence)

    def _acknowledge(self, code: int, group: int) -> None:
        if code in (_EPERM, _EBUSY):
            raise GroupInUse(
                f"NFLOG group {group} is in use by {_owner(group)}: stop that program, "
                "or let ipsecmon use other groups (nflog: groups: in its config)"
            )
        if code:
            raise SourceError(f"the kernel refused NFLOG group {group}: {os.strerror(code)}")

    def stop(self) -> None:
        self._socket.close()

    def fileno(self) -> int:
        return self._socket.fileno()

    def poll(self) -> list[Packets]:
        """What is there now, at most one buffer full; empty when the socket was drained before."""
        ends = self._fill()
        if not ends:
            return []
        self._counts.add("nflog", "datagrams", len(ends))
        try:
            batches = [decode_packets(self._buffer[: ends[-1]], ends, self._esp_groups)]
        except DecodeError:
            batches = self._decode_singly(ends)
        for packets in batches:
            self._count(packets)
        return batches

    def _fill(self) -> list[int]:
        """Read datagrams end to end into the buffer; where each ends."""
        ends: list[int] = []
        used = 0
        self.was_empty = False
        while used + _DATAGRAM <= _BUFFER:
            if self._early:
                datagram = self._early.popleft()
                self._buffer[used : used + len(datagram)] = datagram
                used += len(datagram)
                ends.append(used)
                continue
            try:
                received = self._socket.recv_into(self._buffer[used:])
            except BlockingIOError:
                self.was_empty = True
                break
            used += received
            ends.append(used)
        return ends

    def _decode_singly(self, ends: list[int]) -> list[Packets]:
        batches = []
        for start, end in zip([0, *ends], ends):
            try:
                batches.append(decode_packets(self._buffer[start:end], esp_groups=self._esp_groups))
            except DecodeError:
                self._counts.add("nflog", "malformed")
        return batches or [decode_packets(b"")]  # nothing good, but the socket was not empty

    def _count(self, packets: Packets) -> None:
        for kind, number in packets.odd.items():
            self._counts.add("nflog", kind, number)
        group, sequence = packets.group, packets.sequence
        numbered = sequence >= 0
        if not numbered.all():
            group, sequence = group[numbered], sequence[numbered]
        if not len(group):
            return
        last = np.append(np.flatnonzero(group[1:] != group[:-1]), len(group) - 1)  # of each run of a group
        seen = np.bincount(group[last], np.diff(last, prepend=-1)).astype(np.int64)
        present = np.flatnonzero(seen)
        before = self._last_sequence[present]
        self._last_sequence[group[last]] = sequence[last]  # where a group stands twice the last one stays
        gaps = (self._last_sequence[present] - before - seen[present]) % _SEQUENCES
        if gaps.any():
            self._counts.add("nflog", "sequence-gap", int(gaps.sum()))

    def fullness(self) -> float:
        """Share of the receive buffer that is in use (SK_MEMINFO_RMEM_ALLOC of SK_MEMINFO_RCVBUF)."""
        used, room = _MEMINFO.unpack(self._socket.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size))
        return float(used / room)

    @property
    def receive_buffer(self) -> int:
        """Octets, as they are asked for: the kernel tells twice that (socket(7), SO_RCVBUF)."""
        return self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2

    @property
    def port(self) -> int:
        """The socket's netlink port, netlink(7)."""
        return int(self._socket.getsockname()[0])

    def dropped_datagrams(self) -> int:
        """Datagrams the kernel dropped at this socket, since it was opened (proc(5), net/netlink)."""
        inode = str(os.fstat(self._socket.fileno()).st_ino)
        for line in Path("/proc/net/netlink").read_text().splitlines():
            fields = line.split()
            if fields[-1] == inode:
                return int(fields[8])
        return 0


def _answer(datagram: bytes) -> Optional[Message]:
    """The NLMSG_ERROR that a datagram is, or None: it holds copies, or nothing of any sense."""
    try:
        first = next(pull_messages(datagram), None)
    except DecodeError:
        return None
    return first if first is not None and first.kind == NLMSG_ERROR else None


def _owner(group: int) -> str:
    """Who holds a group, as far as the kernel tells: a port number is the first socket's process id."""
    try:
        lines = Path("/proc/net/netfilter/nfnetlink_log").read_text().splitlines()
        port = next(line.split()[1] for line in lines if line.split()[0] == str(group))
        name = Path(f"/proc/{port}/comm").read_text().strip()
        return f"process {port} ({name})"
    except (OSError, StopIteration):
        return "another process"
