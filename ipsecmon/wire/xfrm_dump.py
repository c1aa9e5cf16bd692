"""Dumps of SAs, one after the other: what did not change since the last one is not decoded again.

In: the datagrams of a dump. Out: what it has other than the last one (sa_changes.py), or the same as
decode_sa of each message. A message is kept in pieces (xfrm_pieces.py), none of which holds a key.
All of them are compared, so that no value is taken from a place that was not verified.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Callable, Optional, Union

from ipsecmon.ipsec import SecurityAssociation
from ipsecmon.wire.netlink import Message, pull_attributes, pull_messages
from ipsecmon.wire.sa_changes import NEW, Changes, Form, Moved, tell_all
from ipsecmon.wire.xfrm import XFRM_MSG_NEWSA, decode_sa
from ipsecmon.wire.xfrm_pieces import Layout, Pieces, cut_message, with_moved

__all__ = ["SaDumpDecoder"]

Octets = Union[bytes, bytearray, memoryview]
Cut = Callable[[Octets, int], Pieces]

SAS_KEPT = 20000  # twice of what is known to work; about 2 kB each. Those beyond are told whole each time
LAYOUTS_KEPT = 256  # of what ciphers and options make

_HEADER = struct.Struct("=IH")
_INFO_OCTETS = 224  # struct xfrm_usersa_info
_ID = slice(56, 80)  # struct xfrm_id: destination, SPI, protocol


class _Kept:
    """One SA. octets: of its message. still, moving: its pieces. has_moved: since row was made.

    The rest is its layout's, found at once: each poll asks it of each SA.
    """

    __slots__ = (
        "add_moved",
        "add_pieces",
        "cut_moving",
        "cut_still",
        "has_moved",
        "layout",
        "moving",
        "octets",
        "row",
        "still",
    )

    def __init__(
        self, layout: Layout, buffer: Octets, start: int, octets: int, row: SecurityAssociation
    ) -> None:
        self.layout, self.octets, self.row = layout, octets, row
        self.cut_still: Cut = layout.still.unpack_from
        self.cut_moving: Cut = layout.moving.unpack_from
        self.still, self.moving = self.cut_still(buffer, start), self.cut_moving(buffer, start)
        self.add_moved, self.add_pieces = layout.moved.rows.append, layout.moved.pieces.extend
        self.has_moved = False

    def is_in(self, buffer: Octets, start: int, octets: int) -> bool:
        """Whether a message there is of this SA, and at most what moves is other than it was."""
        return self.octets == octets and self.cut_still(buffer, start) == self.still

    def follow(self, buffer: Octets, start: int, row: int) -> None:
        """row: its place in this dump."""
        now = self.cut_moving(buffer, start)
        if now != self.moving:
            self.moving, self.has_moved = now, True
            self.add_moved(row)
            self.add_pieces(now)

    def current(self) -> SecurityAssociation:
        if self.has_moved:
            self.row = with_moved(self.row, self.layout, self.still, self.moving)
            self.has_moved = False
        return self.row


class SaDumpDecoder:
    """decoded, reread, reused: SAs of all whole dumps so far: wholly, their counters only, not at all.

    seen: SAs of the dump in work. others: messages of other types that its last datagram held.
    """

    def __init__(self) -> None:
        self.decoded = self.reread = self.reused = self.seen = 0
        self.others: list[Message] = []
        self._kept: list[Optional[_Kept]] = []
        self._before = self._kept
        self._places: Optional[dict[bytes, int]] = None
        self._layouts: dict[tuple[Any, ...], Layout] = {}

    def decode(self, datagrams: Iterable[Octets], is_known: bool = True) -> Changes:
        """One dump; messages of other types are passed over. is_known: what is told is what it has other than
        the last one; else all of it. Raises DecodeError: then it is as if this one had not been."""
        work = _Work()
        self._begin()
        try:
            self._compare(work, datagrams)
        except BaseException:
            self._untell(work.kept)
            raise
        moved = sum(len(layout.moved.rows) for layout in self._layouts.values())
        self.decoded += len(work.told)
        self.reread += moved
        self.reused += len(work.kept) - moved - len(work.told)
        self._before, self._kept = self._kept, work.kept[:SAS_KEPT]
        if not is_known:
            return tell_all(work.rows())
        return Changes(len(work.kept), work.runs(), list(work.told.values()), self._moved())

    def take_back(self) -> None:
        """As if the last dump had not been; once."""
        self._untell(self._kept)
        self._kept = self._before

    def _untell(self, kept: Sequence[Optional[_Kept]]) -> None:
        """Who moved is compared again next time, with nothing."""
        for layout in self._layouts.values():
            for row in layout.moved.rows:
                one = kept[row] if row < len(kept) else None
                if one is not None:
                    one.moving = ()

    def _begin(self) -> None:
        self._places = None
        for layout in self._layouts.values():
            layout.moved.rows.clear()
            layout.moved.pieces.clear()

    def _compare(self, work: _Work, datagrams: Iterable[Octets]) -> None:
        last, kept, at = self._kept, work.kept, 0
        for datagram in datagrams:
            self.others = []
            for start, octets in _messages(datagram, self.others):
                one = last[at] if at < len(last) else None
                # as is_in() and follow(), which are too slow for each SA of each poll
                if one is not None and one.octets == octets and one.cut_still(datagram, start) == one.still:
                    now = one.cut_moving(datagram, start)
                    if now != one.moving:
                        one.moving = now
                        one.has_moved = True
                        one.add_moved(len(kept))
                        one.add_pieces(now)
                    kept.append(one)
                    at += 1
                else:
                    at = self._elsewhere(work, datagram, start, octets, at)
            self.seen = len(kept)

    def _elsewhere(self, work: _Work, buffer: Octets, start: int, octets: int, at: int) -> int:
        """An SA that is not the one that was kept there. And where the next one is expected."""
        place = self._find(buffer, start)
        one = None if place is None else self._kept[place]
        if place is not None and one is not None and one.is_in(buffer, start, octets):
            one.follow(buffer, start, len(work.kept))
            work.jump(place)
            work.kept.append(one)
            return place + 1
        row, kept = self._anew(buffer, start, octets)
        work.jump(NEW)
        work.told[len(work.kept)] = row
        work.kept.append(kept)
        at += place == at or (at < len(self._kept) and self._kept[at] is None)
        work.jump(at)
        return at

    def _find(self, buffer: Octets, start: int) -> Optional[int]:
        """Where an SA was in the last dump."""
        if self._places is None:
            self._places = {
                one.still[0][_ID]: place for place, one in enumerate(self._kept) if one is not None
            }
        return self._places.get(bytes(buffer[start + _ID.start : start + _ID.stop]))

    def _anew(self, buffer: Octets, start: int, octets: int) -> tuple[SecurityAssociation, Optional[_Kept]]:
        row = decode_sa(buffer, Message(XFRM_MSG_NEWSA, 0, 0, start, start + octets))
        attributes = tuple(
            (kind, from_ - start, to - start)
            for kind, from_, to in pull_attributes(buffer, start + _INFO_OCTETS, start + octets)
        )
        layout = self._layout(octets, attributes)
        if layout is None:
            return row, None
        return row, _Kept(layout, buffer, start, octets, row)

    def _layout(self, octets: int, attributes: tuple[tuple[int, int, int], ...]) -> Optional[Layout]:
        layout = self._layouts.get((octets, *attributes))
        if layout is None and len(self._layouts) < LAYOUTS_KEPT:
            layout = cut_message(octets, attributes)
            if layout is not None:
                self._layouts[(octets, *attributes)] = layout
        return layout

    def _moved(self) -> dict[Form, Moved]:
        moved: dict[Form, Moved] = {}
        for layout in self._layouts.values():
            if layout.moved.rows:
                rows, pieces = moved.setdefault(layout.form, Moved([], []))
                rows += layout.moved.rows
                pieces += layout.moved.pieces
        return moved


class _Work:
    """A dump in work. kept: what is kept of each row; told: rows that are told whole, by their place."""

    def __init__(self) -> None:
        self.kept: list[Optional[_Kept]] = []
        self.told: dict[int, SecurityAssociation] = {}
        self._jumps = [(0, 0)]

    def jump(self, place: int) -> None:
        """The next row is there in the last dump, those behind it follow it."""
        self._jumps.append((len(self.kept), place))

    def rows(self) -> list[SecurityAssociation]:
        return [one.current() if one is not None else self.told[at] for at, one in enumerate(self.kept)]

    def runs(self) -> list[tuple[int, int]]:
        runs: list[tuple[int, int]] = []
        ends = [row for row, _ in self._jumps[1:]] + [len(self.kept)]
        for (row, place), end in zip(self._jumps, ends):
            first, number = runs[-1] if runs else (None, 0)
            if first is not None and (place == NEW == first or NEW != place == first + number):
                runs[-1] = (first, number + end - row)
            elif end > row:
                runs.append((place, end - row))
        return runs


def _messages(buffer: Octets, others: list[Message]) -> Iterator[tuple[int, int]]:
    """Where SAs lie: the first octet of the body, and how many. The rest goes to others."""
    start, total = 0, len(buffer)
    while start + 16 <= total:
        length, kind = _HEADER.unpack_from(buffer, start)
        if length < 16 or start + length > total:
            break
        if kind == XFRM_MSG_NEWSA:
            yield start + 16, length - 16
        else:
            others.append(next(pull_messages(buffer, start)))
        start += (length + 3) & ~3
    for _ in pull_messages(buffer, start):  # there is none: it says what is wrong
        break
