"""Main's end of sa_records.py: each dump as a table, made of the last one and of what is other.

Raises DecodeError on anything malformed; main trusts the helper's numbers no more than a network's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, Optional

import numpy as np
import numpy.typing as npt

from ipsecmon.errors import DecodeError
from ipsecmon.ipsec import Policy, SecurityAssociation
from ipsecmon.sa_table import (
    FAILED,
    HIGHEST,
    LAST_USED,
    LATE,
    NEVER,
    OCTETS,
    SENT,
    UNSEEN,
    USED,
    WINDOW,
    Indexes,
    Numbers,
    SaTable,
)
from ipsecmon.wire.sa_changes import COUNTED, ESN, NEW, NO_WINDOW, REPLAY, Form
from ipsecmon.wire.sa_records import BLOCK, HEADER, MAX_SAS, RUN
from ipsecmon.wire.sa_rows import decode_policies, decode_rows

__all__ = ["DumpDecoder", "DumpRecords"]

_COUNTERS = 36  # octets: three numbers of 8, three of 4
_REPLAY_BITS = 32
_ESN_NUMBERS = 16  # octets: sent, highest, the high halves of both
_MAX_WINDOW = 1 << 10  # octets: the kernel's limit is 4096 bits (XFRMA_REPLAY_ESN_MAX)

Octets = npt.NDArray[np.uint8]


class DumpRecords(NamedTuple):
    """policies: None where they are as last told."""

    sas: SaTable
    policies: Optional[list[Policy]]


class DumpDecoder:
    """table: of the last dump."""

    def __init__(self) -> None:
        self.table = SaTable.of(())

    def decode(self, records: bytes) -> DumpRecords:
        """DecodeError leaves the last table, from which the next dump goes on."""
        if len(records) < HEADER.size:
            raise DecodeError("dump cut short", len(records))
        runs, blocks, told_octets, ruled_octets, has_policies = HEADER.unpack_from(records)
        blocks_at = HEADER.size + runs * RUN.size
        ruled_at = len(records) - ruled_octets
        told_at = ruled_at - told_octets
        if told_at < blocks_at:
            raise DecodeError("dump of another length than it says", 0)
        told = decode_rows(records[told_at:ruled_at], told_at)
        table = self._place(list(RUN.iter_unpack(records[HEADER.size : blocks_at])), told)
        for rows, data, form in _blocks(records, blocks_at, told_at, blocks):
            if rows.size and int(rows.max()) >= len(table):
                raise DecodeError("counters of no row", blocks_at)
            table.move(rows, _numbers(data, form, table.numbers[rows]))
        policies = decode_policies(records[ruled_at:], ruled_at) if has_policies else None
        self.table = table
        return DumpRecords(table, policies)

    def _place(self, runs: list[tuple[int, int]], told: list[SecurityAssociation]) -> SaTable:
        rows = sum(number for _, number in runs)
        new = sum(number for first, number in runs if first == NEW)
        if rows > MAX_SAS or any(first != NEW and first + number > len(self.table) for first, number in runs):
            raise DecodeError("run outside the rows", HEADER.size)
        if new != len(told):
            raise DecodeError("rows without a place", HEADER.size)
        if runs == [(0, len(self.table))]:
            return self.table.next(None, ())
        places = [np.full(n, -1) if first == NEW else np.arange(first, first + n) for first, n in runs]
        try:
            return self.table.next(np.concatenate((np.zeros(0, np.int64), *places)), told)
        except OverflowError as error:
            raise DecodeError("number out of range", HEADER.size) from error


def _blocks(records: bytes, at: int, end: int, blocks: int) -> Iterator[tuple[Indexes, Octets, Form]]:
    """(rows, octets of each, how they are told) of each block."""
    for _ in range(blocks):
        if at + BLOCK.size > end:
            raise DecodeError("block cut short", at)
        kind, has_used, octets, count = BLOCK.unpack_from(records, at)
        form = Form(kind, bool(has_used), octets)
        if octets > _MAX_WINDOW or kind not in _WINDOWS or not _is_right_length(form):
            raise DecodeError("numbers of another form", at)
        size = _COUNTERS + 8 * form.has_used + octets
        data_at = at + BLOCK.size + 4 * count
        if data_at + count * size > end:
            raise DecodeError("block cut short", at)
        rows = np.frombuffer(records, "=u4", count, at + BLOCK.size).astype(np.int64)
        yield rows, np.frombuffer(records, np.uint8, count * size, data_at).reshape(count, size), form
        at = data_at + count * size
    if at != end:
        raise DecodeError("dump of another length than it says", at)


def _is_right_length(form: Form) -> bool:
    if form.kind == ESN:
        return form.octets >= _ESN_NUMBERS and not form.octets % 4
    return form.octets == {NO_WINDOW: 0, REPLAY: 12, COUNTED: 20}[form.kind]


def _numbers(data: Octets, form: Form, numbers: Numbers) -> Numbers:
    """numbers: of these rows before; changed in place."""
    numbers[:, OCTETS : USED + 1] = _view(data[:, :24], "=u8")
    numbers[:, LATE : FAILED + 1] = _view(data[:, 24:_COUNTERS], "=u4")
    window_at = _COUNTERS + 8 * form.has_used
    numbers[:, LAST_USED] = _view(data[:, _COUNTERS:window_at], "=u8")[:, 0] if form.has_used else NEVER
    _WINDOWS[form.kind](data[:, window_at:], numbers)
    return numbers


def _view(data: Octets, kind: str) -> npt.NDArray[Any]:
    return np.ascontiguousarray(data).view(kind)


def _no_window(data: Octets, numbers: Numbers) -> None:
    pass


def _replay(data: Octets, numbers: Numbers) -> None:
    """struct xfrm_replay_state: sent, highest, bitmap; its lowest bit is the highest number."""
    numbers[:, SENT : HIGHEST - 1 : -1] = _view(data[:, :8], "=u4")
    numbers[:, UNSEEN] = _unseen(data[:, 8:], numbers, _REPLAY_BITS)


def _esn(data: Octets, numbers: Numbers) -> None:
    """The bitmap is a ring of `window` bits: which bit is which number does not matter for their sum."""
    sent, highest, sent_high, highest_high = _view(data[:, :_ESN_NUMBERS], "=u4").astype(np.uint64).T
    numbers[:, SENT] = sent | sent_high << np.uint64(32)
    numbers[:, HIGHEST] = highest | highest_high << np.uint64(32)
    numbers[:, UNSEEN] = _unseen(data[:, _ESN_NUMBERS:], numbers)


def _counted(data: Octets, numbers: Numbers) -> None:
    numbers[:, HIGHEST : SENT + 1] = _view(data[:, :16], "=u8")
    numbers[:, UNSEEN] = _view(data[:, 16:], "=u4")[:, 0]


def _unseen(bitmap: Octets, numbers: Numbers, most: Optional[int] = None) -> Numbers:
    """As count_unseen() of xfrm_attributes.py. most: bits of the bitmap that are looked at."""
    window, highest = numbers[:, WINDOW], numbers[:, HIGHEST]
    window = np.where(window == np.uint64(NEVER), np.uint64(0), window)
    window = window if most is None else np.minimum(window, np.uint64(most))
    words = _view(bitmap, "=u4").astype("<u4").view(np.uint8).reshape(len(bitmap), -1)
    bits = np.unpackbits(words, axis=1, bitorder="little")
    inside = np.arange(bits.shape[1], dtype=np.uint64) < window[:, None]
    seen = np.where(inside, bits, 0).sum(axis=1, dtype=np.uint64)
    most_seen = np.minimum(window, highest)
    return np.where(seen < most_seen, most_seen - seen, np.uint64(0))


_WINDOWS: Mapping[int, Callable[[Octets, Numbers], None]] = {
    NO_WINDOW: _no_window,
    REPLAY: _replay,
    ESN: _esn,
    COUNTED: _counted,
}
