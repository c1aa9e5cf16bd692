"""How the message of an SA is cut: into pieces that stay, and pieces that move with each packet.

XFRMA_ALG_*, and whatever else is not read, lies between the pieces: struct(3)'s pad octets, of which no copy
is made. All else is in a piece, the headers of all attributes among it.
"""

from __future__ import annotations

import struct
from typing import NamedTuple, Optional

from ipsecmon.ipsec import SecurityAssociation
from ipsecmon.wire.sa_changes import ESN, NO_WINDOW, REPLAY, Form, Moved
from ipsecmon.wire.xfrm_attributes import (
    READ,
    XFRMA_LASTUSED,
    XFRMA_REPLAY_ESN_VAL,
    XFRMA_REPLAY_VAL,
    Fixed,
    decode_anti_replay,
    decode_anti_replay_esn,
)

__all__ = ["Layout", "Pieces", "cut_message", "with_moved"]

_COUNTERS_END = 204
# up to curlft; octets and packets; added; used, and stats: late, replayed, failed
_STILL_BEGINNING, _MOVING_BEGINNING = "=160s16x8s20x", "=160x16s8x20s"
_CURRENT, _USED = struct.Struct("=2Q"), struct.Struct("=Q3I")
_LAST_USED, _REPLAY = struct.Struct("=Q"), struct.Struct("=3I")
_ESN_OCTETS = 24  # struct xfrm_replay_state_esn: bmp_len, oseq, seq, oseq_hi, seq_hi, replay_window, bmp
_MOVING = (XFRMA_LASTUSED, XFRMA_REPLAY_VAL, XFRMA_REPLAY_ESN_VAL)

Pieces = tuple[bytes, ...]


class Layout(NamedTuple):
    """How messages of one length and one row of attributes are cut: what stays, and what moves.

    last_used, replay, esn: which of the pieces that move, if there are. length: which of those that stay is
    the length of the ESN bitmap; its window is the next one. moved: for the dump in work.
    """

    still: struct.Struct
    moving: struct.Struct
    form: Form
    last_used: Optional[int]
    replay: Optional[int]
    esn: Optional[int]
    length: int
    moved: Moved


def cut_message(octets: int, attributes: tuple[tuple[int, int, int], ...]) -> Optional[Layout]:
    """None where an attribute stands twice, or one that is read has not the length it should have."""
    cut, at = _Cut(), _COUNTERS_END
    for kind, start, end in attributes:
        if kind in READ and kind not in _MOVING:
            continue
        cut.keep(start - at)
        if kind not in _MOVING:
            cut.skip(end - start)
        elif kind in cut.places or not cut.move_attribute(kind, end - start):
            return None
        at = end
    cut.keep(octets - at)
    return cut.layout()


class _Cut:
    """A layout in the making. places: of the pieces that move, where those of attributes begin."""

    def __init__(self) -> None:
        self._still, self._stills = _STILL_BEGINNING, 2
        self._moving, self._movings = _MOVING_BEGINNING, 2
        self.places: dict[int, int] = {}
        self._window = self._length = 0

    def keep(self, octets: int) -> None:
        self._still += f"{octets}s"
        self._moving += f"{octets}x"
        self._stills += 1

    def skip(self, octets: int) -> None:
        self._still += f"{octets}x"
        self._moving += f"{octets}x"

    def move_attribute(self, kind: int, octets: int) -> bool:
        """Whether it has the length it should have."""
        self.places[kind] = self._movings
        if kind == XFRMA_REPLAY_ESN_VAL:  # its length and its window stay
            if octets < _ESN_OCTETS or octets % 4:
                return False
            self._length, self._window = self._stills, octets - 8
            self.keep(4)
            self._move(16)
            self.keep(4)
            self._move(octets - _ESN_OCTETS)
            return True
        if kind == XFRMA_REPLAY_VAL:
            self._window = octets
        self._move(octets)
        return octets == (_REPLAY.size if kind == XFRMA_REPLAY_VAL else _LAST_USED.size)

    def _move(self, octets: int) -> None:
        self._still += f"{octets}x"
        self._moving += f"{octets}s"
        self._movings += 1

    def layout(self) -> Optional[Layout]:
        """What is told of a row that moved stands in the order of Moved: the last use before the window."""
        last_used, replay, esn = map(self.places.get, _MOVING)
        if replay is not None and esn is not None:
            return None
        window = esn if replay is None else replay
        if last_used is not None and window is not None and last_used > window:
            return None  # no kernel's order
        kind = REPLAY if replay is not None else NO_WINDOW if esn is None else ESN
        form = Form(kind, last_used is not None, self._window)
        cuts = struct.Struct(self._still), struct.Struct(self._moving)
        return Layout(*cuts, form, last_used, replay, esn, self._length, Moved([], []))


def with_moved(row: SecurityAssociation, layout: Layout, still: Pieces, now: Pieces) -> SecurityAssociation:
    """now: the pieces that moved since row was made."""
    octets, packets = _CURRENT.unpack(now[0])
    used, late, replayed, failed = _USED.unpack(now[1])
    state, last_used_s = row.anti_replay, row.last_used_s
    if layout.last_used is not None:
        (last_used_s,) = _LAST_USED.unpack(now[layout.last_used])
    if layout.replay is not None:
        sent, highest, bitmap = _REPLAY.unpack(now[layout.replay])
        state = decode_anti_replay(sent, highest, bitmap, row.replay_window)
    elif layout.esn is not None:
        (words, window), (numbers, ring) = still[layout.length :][:2], now[layout.esn :][:2]
        esn = words + numbers + window + ring
        state = decode_anti_replay_esn(esn, 0, len(esn), Fixed(row.family, row.replay_window, row.flags))
    return row._replace(
        octets=octets,
        packets=packets,
        used_s=used or None,
        late_packets=late,
        replayed_packets=replayed,
        integrity_failures=failed,
        anti_replay=state,
        last_used_s=last_used_s,
    )
