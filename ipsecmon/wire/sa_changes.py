"""What one dump of SAs has other than the dump before it: the form in which the helper tells main.

Of an SA that only carried packets its numbers are told, as they stand in the kernel's message. compare_rows()
finds the same from two lists of rows. Nothing here holds a key. Standard library only: the helper finds it.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import compress, count
from operator import is_not, itemgetter
from typing import NamedTuple, Optional

from ipsecmon.errors import DecodeError
from ipsecmon.ipsec import SecurityAssociation

__all__ = [
    "COUNTED",
    "ESN",
    "NEW",
    "NO_WINDOW",
    "REPLAY",
    "Changes",
    "Form",
    "Moved",
    "compare_rows",
    "tell_all",
]

NEW = 0xFFFFFFFF  # the place of rows that are told whole
# what is told of the window: nothing, struct xfrm_replay_state, of struct xfrm_replay_state_esn its four
# numbers and its bitmap, or the highest, sent and unseen numbers (2 of 8 octets, 1 of 4)
NO_WINDOW, REPLAY, ESN, COUNTED = range(4)

_COUNTERS = struct.Struct("=3Q3IQ2QI")  # as Moved, and when last used, and COUNTED
_NEVER = (1 << 64) - 1
_KEY = itemgetter(1, 3, 4)  # destination SPI protocol: which SA, but for marks and those added again

Rows = Sequence[SecurityAssociation]


class Form(NamedTuple):
    """What is told of an SA that moved. has_used: when it was last used. octets: of what kind means."""

    kind: int
    has_used: bool
    octets: int


class Moved(NamedTuple):
    """Rows of this dump that moved, and what is told of them, in pieces: octets, packets and first use, of
    8 octets each; late, replayed and failed, of 4 each; the last use, of 8; the window's."""

    rows: list[int]
    pieces: list[bytes]


class Changes(NamedTuple):
    """runs: first place in the dump before, rows; in this dump's order. told: the rows of NEW ones."""

    total: int
    runs: list[tuple[int, int]]
    told: Rows
    moved: dict[Form, Moved]


def tell_all(rows: Rows) -> Changes:
    """To whom does not have the dump before."""
    return Changes(len(rows), [(NEW, len(rows))] if rows else [], rows, {})


def compare_rows(rows: Rows, last: Rows) -> Changes:
    """Both in the kernel's order. Raises DecodeError where a number is larger than any kernel's."""
    changed = _changed(rows, last)
    if changed is not None:
        runs, told = [(0, len(rows))] if rows else [], []
    else:
        places = _find_places(rows, last)
        changed = [at for at, place in enumerate(places) if place is not None and rows[at] != last[place]]
        runs, told = _runs(places), [row for row, place in zip(rows, places) if place is None]
    try:
        moved = Moved(changed, [_numbers(rows[at]) for at in changed])
    except struct.error as error:
        raise DecodeError("number out of range", 0) from error
    return Changes(len(rows), runs, told, {Form(COUNTED, True, 20): moved} if changed else {})


def _numbers(row: SecurityAssociation) -> bytes:
    state, last_used = row.anti_replay, row.last_used_s
    window = (0, 0, 0) if state is None else (state.highest, state.sent, state.unseen)
    last = _NEVER if last_used is None else last_used
    return _COUNTERS.pack(row.octets, row.packets, row.used_s or 0, *row[11:14], last, *window)


def _changed(rows: Rows, last: Rows) -> Optional[list[int]]:
    """Which rows moved; None where anything else happened."""
    if len(rows) != len(last):
        return None
    others = compress(count(), map(is_not, rows, last))
    changed = [at for at in others if rows[at] != last[at]]
    return changed if all(_has_moved_only(rows[at], last[at]) for at in changed) else None


def _find_places(rows: Rows, last: Rows) -> list[Optional[int]]:
    """Where in the last dump a row is, of which at most counters moved since."""
    known = dict(zip(map(_KEY, last), count()))
    found = map(known.get, map(_KEY, rows))
    return [
        place if place is not None and (row is last[place] or _has_moved_only(row, last[place])) else None
        for row, place in zip(rows, found)
    ]


def _has_moved_only(row: SecurityAssociation, was: SecurityAssociation) -> bool:
    """Whether all that is not told of an SA that moved is as it was."""
    if (
        row[:7] != was[:7]
        or row[14:23] != was[14:23]
        or row[25:] != was[25:]
        or row[9] != was[9]  # added: another life of it
    ):
        return False
    state, before = row[23], was[23]
    if state is None or before is None:
        return state is before
    return state[2] == before[2] and state[4] is before[4]


def _runs(places: Sequence[Optional[int]]) -> list[tuple[int, int]]:
    runs: list[list[int]] = []
    following: Optional[int] = -1
    for place in places:
        if place == following:
            runs[-1][1] += 1
        else:
            runs.append([NEW if place is None else place, 1])
        following = None if place is None else place + 1
    return [(first, number) for first, number in runs]
