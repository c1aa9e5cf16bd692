"""SAs and policies on their way from the helper to main: each dump says what is other than in the last one.

encode_dump() and DumpDecoder are the two ends. A dump is a header, runs of rows that stood in the last dump
(by their place there; _NEW are those that are told whole), the counters of rows that moved, in struct's
form, and the new rows and policies as JSON. Events are JSON. Nothing but the fields of the values in ipsec.py
is ever in a record, and none of them holds a key. Decoders raise DecodeError on anything malformed.
Standard library only: the helper encodes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from itertools import compress, count
from operator import is_not, itemgetter
from typing import Any, NamedTuple, Optional

from ipsecmon.errors import DecodeError
from ipsecmon.ipsec import AntiReplay, Policy, SecurityAssociation
from ipsecmon.wire.sa_rows import decode_policies, decode_rows, encode_rows

__all__ = ["MAX_POLICIES", "MAX_RECORDS", "MAX_SAS", "DumpDecoder", "DumpRecords", "encode_dump"]

MAX_SAS = 200_000  # ten times of what any gateway is known to have; 100 MB of rows, each told once
MAX_POLICIES = 200_000
MAX_RECORDS = 512 << 20  # octets of one answer; a whole one takes 230 an SA and 300 a policy

_HEADER = struct.Struct("=4Ib3x")  # runs, moved, octets of rows, octets of policies; whether there are any
_RUN = struct.Struct("=2I")  # first place in the last dump, rows
_NEW = 0xFFFFFFFF
# place in this dump; octets packets used; late replayed failed; last used; highest sent unseen
_MOVED = struct.Struct("=I3Q3I3QI")
_NEVER = (1 << 64) - 1

_KEY = itemgetter(1, 3, 4)  # destination SPI protocol: which SA, but for marks and those added again
_STILL_FIELDS = (*range(7), 9, *range(14, 23), *range(25, len(SecurityAssociation._fields)))
_STILL = itemgetter(*_STILL_FIELDS)

Rows = Sequence[SecurityAssociation]
Places = list[Optional[int]]


class DumpRecords(NamedTuple):
    """policies: None where they are as last told."""

    sas: list[SecurityAssociation]
    policies: Optional[list[Policy]]


def encode_dump(rows: Rows, last: Rows, policies: Optional[Sequence[Policy]]) -> bytes:
    """rows: in the kernel's order. last: of the dump that the other end has. Raises DecodeError where a
    number is larger than any kernel's."""
    changed = _changed(rows, last)
    if changed is not None:
        runs, told = [_RUN.pack(0, len(rows))] if rows else [], encode_rows(())
    else:
        places = _find_places(rows, last)
        changed = [at for at, place in enumerate(places) if place is not None and rows[at] != last[place]]
        runs, told = _runs(places), encode_rows([row for row, place in zip(rows, places) if place is None])
    ruled = b"" if policies is None else encode_rows(policies)
    try:
        numbers = [_moved(at, rows[at]) for at in changed]
    except struct.error as error:
        raise DecodeError("number out of range", 0) from error
    head = _HEADER.pack(len(runs), len(numbers), len(told), len(ruled), policies is not None)
    return b"".join((head, *runs, *numbers, told, ruled))


class DumpDecoder:
    """rows: of the last dump."""

    def __init__(self) -> None:
        self.rows: list[SecurityAssociation] = []

    def decode(self, records: bytes) -> DumpRecords:
        """Rows where nothing changed are the objects of the last dump. DecodeError leaves these."""
        if len(records) < _HEADER.size:
            raise DecodeError("dump cut short", len(records))
        runs, moved, told_octets, ruled_octets, has_policies = _HEADER.unpack_from(records)
        moved_at = _HEADER.size + runs * _RUN.size
        told_at = moved_at + moved * _MOVED.size
        ruled_at = told_at + told_octets
        if ruled_at + ruled_octets != len(records):
            raise DecodeError("dump of another length than it says", 0)
        told = decode_rows(records[told_at:ruled_at], told_at)
        rows = self._place(_RUN.iter_unpack(records[_HEADER.size : moved_at]), told)
        _move(rows, records[moved_at:told_at], moved_at)
        policies = decode_policies(records[ruled_at:], ruled_at) if has_policies else None
        self.rows = rows
        return DumpRecords(list(rows), policies)

    def _place(
        self, runs: Iterable[tuple[Any, ...]], told: list[SecurityAssociation]
    ) -> list[SecurityAssociation]:
        rows: list[SecurityAssociation] = []
        used = 0
        for first, number in runs:
            source, start = (told, used) if first == _NEW else (self.rows, first)
            used += number if first == _NEW else 0
            if start + number > len(source) or len(rows) + number > MAX_SAS:
                raise DecodeError("run outside the rows", _HEADER.size)
            rows.extend(source[start : start + number])
        if used != len(told):
            raise DecodeError("rows without a place", _HEADER.size)
        return rows


def _move(rows: list[SecurityAssociation], records: bytes, offset: int) -> None:
    """tuple's own constructor is the quickest."""
    total = len(rows)
    make = tuple.__new__
    for (
        at,
        octets,
        packets,
        used,
        late,
        replayed,
        failed,
        last_used,
        highest,
        sent,
        unseen,
    ) in _MOVED.iter_unpack(records):
        if at >= total:
            raise DecodeError("counters of no row", offset)
        row = rows[at]
        was = row[23]
        state = was and make(AntiReplay, (highest, sent, was[2], unseen, was[4]))
        rows[at] = make(
            SecurityAssociation,
            (
                *row[:7],
                octets,
                packets,
                row[9],
                used or None,
                late,
                replayed,
                failed,
                *row[14:23],
                state,
                None if last_used == _NEVER else last_used,
                *row[25:],
            ),
        )


def _moved(at: int, row: SecurityAssociation) -> bytes:
    state, last_used = row[23], row[24]
    highest, sent, unseen = (0, 0, 0) if state is None else (state[0], state[1], state[3])
    last = _NEVER if last_used is None else last_used
    return _MOVED.pack(at, row[7], row[8], row[10] or 0, *row[11:14], last, highest, sent, unseen)


def _changed(rows: Rows, last: Rows) -> Optional[list[int]]:
    """Which rows moved; None where anything else happened."""
    if len(rows) != len(last):
        return None
    others = compress(count(), map(is_not, rows, last))
    changed = [at for at in others if rows[at] != last[at]]
    return changed if all(_has_moved_only(rows[at], last[at]) for at in changed) else None


def _find_places(rows: Rows, last: Rows) -> Places:
    """Where in the last dump a row is, of which at most counters moved since."""
    known = dict(zip(map(_KEY, last), count()))
    found = map(known.get, map(_KEY, rows))
    return [
        place if place is not None and (row is last[place] or _has_moved_only(row, last[place])) else None
        for row, place in zip(rows, found)
    ]


def _has_moved_only(row: SecurityAssociation, was: SecurityAssociation) -> bool:
    """Whether all that _MOVED does not hold is as it was."""
    if _STILL(row) != _STILL(was):
        return False
    state, before = row[23], was[23]
    if state is None or before is None:
        return state is before
    return state[2] == before[2] and state[4] is before[4]


def _runs(places: Places) -> list[bytes]:
    runs: list[list[int]] = []
    following: Optional[int] = -1
    for place in places:
        if place == following:
            runs[-1][1] += 1
        else:
            runs.append([_NEW if place is None else place, 1])
        following = None if place is None else place + 1
    return [_RUN.pack(*run) for run in runs]
