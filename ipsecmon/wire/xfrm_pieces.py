"""How the message of an SA is cut: into pieces that stay, and pieces that move with each packet.

XFRMA_ALG_*, and whatever else is not read, lies between the pieces: struct(3)'s pad octets, of which no copy
is made. All else is in a piece, the headers of all attributes among it.
"""

from __future__ import annotations

import struct
from operator import itemgetter
from typing import Callable, NamedTuple, Optional

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
_BEGINNING, _BEGINNING_STILL, _BEGINNING_MOVING = "=160s16s8s20s", (0, 2), (1, 3)
_CURRENT, _USED = struct.Struct("=2Q"), struct.Struct("=Q3I")
_LAST_USED, _REPLAY = struct.Struct("=Q"), struct.Struct("=3I")
_ESN_OCTETS = 24  # struct xfrm_replay_state_esn: bmp_len, oseq, seq, oseq_hi, seq_hi, replay_window, bmp
_MOVING = (XFRMA_LASTUSED, XFRMA_REPLAY_VAL, XFRMA_REPLAY_ESN_VAL)

Pieces = tuple[bytes, ...]


class Layout(NamedTuple):
    """How messages of one length and one row of attributes are cut: into pieces that stay, and that move.

    last_used, replay, esn: which pieces, if there are. moved: for the dump in work.
    """

    cut: struct.Struct
    still: Callable[[Pieces], Pieces]
    moving: Callable[[Pieces], Pieces]
    form: Form
    last_used: Optional[int]
    replay: Optional[int]
    esn: Optional[int]
    moved: Moved


def cut_message(octets: int, attributes: tuple[tuple[int, int, int], ...]) -> Optional[Layout]:
    """None where an attribute stands twice, or one that is read has not the length it should have."""
    cut, at = _Cut(), _COUNTERS_END
    for kind, start, end in attributes:
        if kind in READ and kind not in _MOVING:
            continue
        cut.still(start - at)
        if kind not in _MOVING:
            cut.skip(end - start)
        elif kind in cut.places or not cut.moving_attribute(kind, end - start):
            return None
        at = end
    cut.still(octets - at)
    return cut.layout()


class _Cut:
    """A layout in the making. places: pieces where attributes that move begin."""

    def __init__(self) -> None:
        self._form = _BEGINNING
        self._still, self._moving = [*_BEGINNING_STILL], [*_BEGINNING_MOVING]
        self.places: dict[int, int] = {}
        self._window = 0

    def still(self, octets: int) -> None:
        self._piece(octets, self._still)

    def skip(self, octets: int) -> None:
        self._form += f"{octets}x"

    def moving_attribute(self, kind: int, octets: int) -> bool:
        """Whether it has the length it should have."""
        self.places[kind] = len(self._still) + len(self._moving)
        if kind == XFRMA_REPLAY_ESN_VAL:  # its length and its window stay
            if octets < _ESN_OCTETS or octets % 4:
                return False
            for length, pieces in ((4, self._still), (16, self._moving), (4, self._still)):
                self._piece(length, pieces)
            self._window = octets - 8
            self._piece(octets - _ESN_OCTETS, self._moving)
            return True
        if kind == XFRMA_REPLAY_VAL:
            self._window = octets
        self._piece(octets, self._moving)
        return octets == (_REPLAY.size if kind == XFRMA_REPLAY_VAL else _LAST_USED.size)

    def _piece(self, octets: int, pieces: list[int]) -> None:
        pieces.append(len(self._still) + len(self._moving))
        self._form += f"{octets}s"

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
        still, moving = itemgetter(*self._still), itemgetter(*self._moving)
        cut = struct.Struct(self._form)
        return Layout(cut, still, moving, form, last_used, replay, esn, Moved([], []))


def with_moved(row: SecurityAssociation, layout: Layout, now: Pieces) -> SecurityAssociation:
    octets, packets = _CURRENT.unpack(now[1])
    used, late, replayed, failed = _USED.unpack(now[3])
    state, last_used_s = row.anti_replay, row.last_used_s
    if layout.last_used is not None:
        (last_used_s,) = _LAST_USED.unpack(now[layout.last_used])
    if layout.replay is not None:
        sent, highest, bitmap = _REPLAY.unpack(now[layout.replay])
        state = decode_anti_replay(sent, highest, bitmap, row.replay_window)
    elif layout.esn is not None:
        esn = b"".join(now[layout.esn : layout.esn + 4])
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
