"""Dumps of SAs, one after the other: what did not change since the last one is not decoded again.

In: the datagrams of a dump. Out: the same as decode_sa of each message, and for an SA where nothing changed
the very object of the last dump. Of each SA its message is kept in pieces, as its layout cuts it: counters,
what tells of the replay window, and runs of octets between. XFRMA_ALG_*, and whatever else is not read, lies
between the pieces: struct(3)'s pad octets, of which no copy is made. All else of a message is compared, the
headers of all attributes among it, so that no value is taken from a place that was not verified.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from operator import itemgetter
from typing import Any, Callable, NamedTuple, Optional, Union

from ipsecmon.ipsec import AntiReplay, SecurityAssociation
from ipsecmon.wire.netlink import Message, pull_attributes, pull_messages
from ipsecmon.wire.xfrm import XFRM_MSG_NEWSA, decode_sa
from ipsecmon.wire.xfrm_attributes import (
    READ,
    XFRMA_LASTUSED,
    XFRMA_REPLAY_ESN_VAL,
    XFRMA_REPLAY_VAL,
    Fixed,
    decode_anti_replay,
    decode_anti_replay_esn,
)

__all__ = ["SaDumpDecoder"]

Octets = Union[bytes, bytearray, memoryview]

SAS_KEPT = 20000  # twice of what is known to work; about 2 kB each
LAYOUTS_KEPT = 256  # of what ciphers and options make

_HEADER = struct.Struct("=IH")
_INFO_OCTETS = 224  # struct xfrm_usersa_info
_COUNTERS_AT, _COUNTERS_END = 160, 204  # curlft and stats
_COUNTERS = "4Q3I"  # octets packets added used late replayed failed
_ID = slice(56, 80)  # struct xfrm_id: destination, SPI, protocol
_MOVING = {XFRMA_LASTUSED: ("Q", 1), XFRMA_REPLAY_VAL: ("3I", 3), XFRMA_REPLAY_ESN_VAL: ("", 1)}

Pieces = tuple[Any, ...]

_FIRST_COUNTER, _USED, _END_COUNTER, _ANTI_REPLAY, _LAST_USED = (
    SecurityAssociation._fields.index(name)
    for name in ("octets", "used_s", "replay_window", "anti_replay", "last_used_s")
)


class _Layout(NamedTuple):
    """How messages of one length and one row of attributes are cut. used, replay: which pieces."""

    octets: int
    cut: struct.Struct
    still: Callable[[Pieces], Any]
    used: Optional[int]
    replay: Optional[int]
    esn: Optional[int]


_Kept = tuple[_Layout, Pieces, Any, SecurityAssociation]  # what is still, too


class SaDumpDecoder:
    """decoded, reread, reused: SAs of all dumps so far: wholly, their counters only, not at all.

    others: messages of other types that the last datagram held.
    """

    def __init__(self) -> None:
        self.decoded = self.reread = self.reused = 0
        self.others: list[Message] = []
        self._kept: list[Optional[_Kept]] = []
        self._places: Optional[dict[bytes, int]] = None
        self._layouts: dict[tuple[Any, ...], _Layout] = {}

    def decode(self, datagrams: Iterable[Octets]) -> list[SecurityAssociation]:
        """One dump; messages of other types are passed over. Raises DecodeError."""
        rows: list[SecurityAssociation] = []
        kept: list[Optional[_Kept]] = []
        self._places = None
        at: int = 0
        place: Optional[int]
        for datagram in datagrams:
            self.others = []
            for start, octets in _messages(datagram, self.others):
                place = at
                one = self._again(datagram, start, octets, place)
                if one is None:
                    place = self._find(datagram, start)
                    one = self._again(datagram, start, octets, place)
                at = at if place is None else place + 1
                if one is None:
                    row, one = self._anew(datagram, start, octets)
                else:
                    row = one[3]
                rows.append(row)
                kept.append(one)
        self._kept = kept[:SAS_KEPT]
        return rows

    def _again(self, buffer: Octets, start: int, octets: int, at: Optional[int]) -> Optional[_Kept]:
        """None where it is not the SA that was kept there, or not as it was."""
        was = self._kept[at] if at is not None and at < len(self._kept) else None
        if was is None or was[0][0] != octets:
            return None
        layout, pieces, still, row = was
        now = layout[1].unpack_from(buffer, start)
        if now == pieces:
            self.reused += 1
            return was
        if layout[2](now) != still:
            return None
        self.reread += 1
        return layout, now, still, _with_moved(row, layout, pieces, now)

    def _find(self, buffer: Octets, start: int) -> Optional[int]:
        """Where an SA was in the last dump."""
        if self._places is None:
            self._places = {one[1][0][_ID]: place for place, one in enumerate(self._kept) if one is not None}
        return self._places.get(bytes(buffer[start + _ID.start : start + _ID.stop]))

    def _anew(self, buffer: Octets, start: int, octets: int) -> tuple[SecurityAssociation, Optional[_Kept]]:
        row = decode_sa(buffer, Message(XFRM_MSG_NEWSA, 0, 0, start, start + octets))
        self.decoded += 1
        attributes = tuple(
            (kind, from_ - start, to - start)
            for kind, from_, to in pull_attributes(buffer, start + _INFO_OCTETS, start + octets)
        )
        layout = self._layout(octets, attributes)
        if layout is None:
            return row, None
        pieces = layout.cut.unpack_from(buffer, start)
        return row, (layout, pieces, layout.still(pieces), row)

    def _layout(self, octets: int, attributes: tuple[tuple[int, int, int], ...]) -> Optional[_Layout]:
        layout = self._layouts.get((octets, *attributes))
        if layout is None and len(self._layouts) < LAYOUTS_KEPT:
            layout = _cut(octets, attributes)
            if layout is not None:
                self._layouts[(octets, *attributes)] = layout
        return layout


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
            others.extend(pull_messages(buffer[start : start + length], 0))
        start += (length + 3) & ~3
    for _ in pull_messages(buffer, start):  # there is none: it says what is wrong
        break


def _cut(octets: int, attributes: tuple[tuple[int, int, int], ...]) -> Optional[_Layout]:
    """None where an attribute stands twice, or one that is read has not the length it should have."""
    form, still, moving = f"={_COUNTERS_AT}s{_COUNTERS}", [0], {}
    count, at = 8, _COUNTERS_END
    for kind, start, end in attributes:
        if kind in READ and kind not in _MOVING:
            continue
        form += f"{start - at}s"
        still.append(count)
        count += 1
        if kind in _MOVING:
            piece, pieces = _MOVING[kind]
            piece = piece or f"{end - start}s"
            if kind in moving or struct.calcsize("=" + piece) != end - start:
                return None
            moving[kind] = count
            form, count = form + piece, count + pieces
        else:
            form += f"{end - start}x"
        at = end
    if at < octets:
        form += f"{octets - at}s"
        still.append(count)
    if XFRMA_REPLAY_VAL in moving and XFRMA_REPLAY_ESN_VAL in moving:
        return None
    places = (moving.get(kind) for kind in _MOVING)
    return _Layout(octets, struct.Struct(form), itemgetter(*still), *places)


def _with_moved(row: SecurityAssociation, layout: _Layout, was: Pieces, now: Pieces) -> SecurityAssociation:
    """The SA with what its counters and its window say now. tuple's own constructor is the quickest."""
    fields: list[Any] = list(row)
    fields[_FIRST_COUNTER:_END_COUNTER] = now[1:8]
    fields[_USED] = now[4] or None
    _, _, _, used, replay, esn = layout
    if used is not None:
        fields[_LAST_USED] = now[used]
    if replay is not None:
        fields[_ANTI_REPLAY] = _replay(now[replay : replay + 3], was[replay : replay + 3], row)
    elif esn is not None and now[esn] != was[esn]:
        fields[_ANTI_REPLAY] = _esn(now[esn], row)
    return tuple.__new__(SecurityAssociation, fields)


def _replay(now: Pieces, was: Pieces, row: SecurityAssociation) -> Optional[AntiReplay]:
    """Numbers that come in order, to a window full of them, leave the count of unseen ones as it is."""
    if now == was:
        return row.anti_replay
    sent, highest, bitmap = now
    window, state = row.replay_window, row.anti_replay
    if state is not None and bitmap == was[2] and was[1] >= window and highest >= window:
        return tuple.__new__(AntiReplay, (highest, sent, window, state[3], False))
    return decode_anti_replay(sent, highest, bitmap, window)


def _esn(state: bytes, row: SecurityAssociation) -> AntiReplay:
    return decode_anti_replay_esn(state, 0, len(state), Fixed(row.family, row.replay_window, row.flags))
