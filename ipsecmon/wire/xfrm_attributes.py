"""The attributes of an SA (enum xfrm_attr_type_t, linux/xfrm.h): optional fields of a SecurityAssociation.

Those not in ATTRIBUTES are passed over. XFRMA_ALG_* hold the keys: nothing here ever looks into one.
"""

from __future__ import annotations

import struct
from typing import Any, Callable, NamedTuple, Union

from ipsecmon.errors import DecodeError
from ipsecmon.ipsec import AntiReplay, Encapsulation, Mark, Offload
from ipsecmon.model import Direction
from ipsecmon.wire.xfrm_layout import decode_address, decode_mark, decode_unsigned

__all__ = [
    "ALGORITHMS",
    "READ",
    "XFRMA_LASTUSED",
    "XFRMA_REPLAY_ESN_VAL",
    "XFRMA_REPLAY_VAL",
    "XFRMA_SA",
    "XFRM_STATE_ESN",
    "Fixed",
    "count_unseen",
    "decode_anti_replay",
    "decode_anti_replay_esn",
    "decode_attributes",
]

Octets = Union[bytes, bytearray, memoryview]
Places = dict[int, tuple[int, int]]  # attribute type: first octet of its value, one past its last


class Fixed(NamedTuple):
    """What the fixed part of an SA says that its attributes need."""

    family: int
    replay_window: int
    flags: int


Reader = Callable[[Octets, int, int, Fixed], Any]

XFRMA_SA, XFRMA_SET_MARK, XFRMA_SET_MARK_MASK = 6, 29, 30
XFRMA_REPLAY_VAL, XFRMA_LASTUSED, XFRMA_REPLAY_ESN_VAL = 10, 15, 23
ALGORITHMS = frozenset((1, 2, 3, 18, 20))  # XFRMA_ALG_AUTH, _CRYPT, _COMP, _AEAD, _AUTH_TRUNC
XFRM_STATE_ESN = 128
ESN_WORDS = 128  # XFRMA_REPLAY_ESN_MAX / 32

ENCAPSULATIONS = {1: "espinudp-nonike", 2: "espinudp", 7: "espintcp"}
DIRECTIONS = {1: Direction.IN, 2: Direction.OUT}

_ENCAPSULATION = struct.Struct("=H2s2s2x16s")
_REPLAY = struct.Struct("=III")  # oseq seq bitmap
_ESN = struct.Struct("=6I")  # bmp_len oseq seq oseq_hi seq_hi replay_window
_OFFLOAD = struct.Struct("=iB3x")
_OFFLOAD_INBOUND, _OFFLOAD_PACKET = 2, 4


def decode_attributes(buffer: Octets, places: Places, fixed: Fixed) -> dict[str, Any]:
    """The fields of a SecurityAssociation that its attributes tell. Raises DecodeError."""
    found: dict[str, Any] = {}
    for kind, (start, end) in places.items():
        reader = _READERS.get(kind)
        if reader is not None:
            found[reader[0]] = reader[1](buffer, start, end, fixed)
    if XFRMA_SET_MARK in places:
        found["set_mark"] = _set_mark(buffer, places)
    return found


def count_unseen(seen: int, window: int, highest: int) -> int:
    """seen: numbers of the window that came. The first number of an SA is 1."""
    return max(0, min(window, highest) - seen)


def _encapsulation(buffer: Octets, start: int, end: int, fixed: Fixed) -> Encapsulation:
    if end - start < _ENCAPSULATION.size:
        raise DecodeError("encapsulation cut short", start)
    kind, source, destination, original = _ENCAPSULATION.unpack_from(buffer, start)
    return Encapsulation(
        ENCAPSULATIONS.get(kind) or str(kind),
        int.from_bytes(source, "big"),
        int.from_bytes(destination, "big"),
        decode_address(original, fixed.family, start),
    )


def decode_anti_replay(sent: int, highest: int, bitmap: int, replay_window: int) -> AntiReplay:
    """What the fields of a struct xfrm_replay_state say."""
    window = min(replay_window, 32)
    seen = bin(bitmap & ((1 << window) - 1)).count("1")
    return AntiReplay(highest, sent, replay_window, count_unseen(seen, window, highest))


def _anti_replay(buffer: Octets, start: int, end: int, fixed: Fixed) -> AntiReplay:
    """The bitmap's lowest bit is the highest number (xfrm_replay_advance)."""
    if end - start < _REPLAY.size:
        raise DecodeError("replay state cut short", start)
    sent, highest, bitmap = _REPLAY.unpack_from(buffer, start)
    return decode_anti_replay(sent, highest, bitmap, fixed.replay_window)


def decode_anti_replay_esn(buffer: Octets, start: int, end: int, fixed: Fixed) -> AntiReplay:
    """The bitmap is a ring of `window` bits: which bit is which number does not matter for their sum.

    Without the flag esn it is a window of more than 32 packets, and the high halves are 0.
    """
    if end - start < _ESN.size:
        raise DecodeError("ESN replay state cut short", start)
    words, sent, highest, sent_high, highest_high, window = _ESN.unpack_from(buffer, start)
    if words > ESN_WORDS or end - start < _ESN.size + 4 * words:
        raise DecodeError("ESN bitmap outside its attribute", start)
    ring = struct.unpack_from(f"={words}I", buffer, start + _ESN.size)
    seen = sum(bin(word).count("1") for word in _within(ring, window))
    highest |= highest_high << 32
    unseen = count_unseen(seen, window, highest)
    return AntiReplay(highest, sent | sent_high << 32, window, unseen, bool(fixed.flags & XFRM_STATE_ESN))


def _within(ring: tuple[int, ...], bits: int) -> list[int]:
    """The first bits of a ring; the kernel's words may have room for more."""
    whole, rest = divmod(bits, 32)
    return [*ring[:whole], *(word & ((1 << rest) - 1) for word in ring[whole : whole + 1])]


def _offload(buffer: Octets, start: int, end: int, _: Fixed) -> Offload:
    if end - start < _OFFLOAD.size:
        raise DecodeError("offload cut short", start)
    ifindex, flags = _OFFLOAD.unpack_from(buffer, start)
    return Offload(bool(flags & _OFFLOAD_INBOUND), bool(flags & _OFFLOAD_PACKET), ifindex)


def _direction(buffer: Octets, start: int, end: int, _: Fixed) -> Direction:
    return DIRECTIONS.get(decode_unsigned(buffer, start, end, 1), Direction.UNKNOWN)


def _mark(buffer: Octets, start: int, end: int, _: Fixed) -> Mark:
    return decode_mark(buffer, start, end)


def _set_mark(buffer: Octets, places: Places) -> Mark:
    """A kernel before 4.19 has no mask and means all of it."""
    value = decode_unsigned(buffer, *places[XFRMA_SET_MARK], 4)
    if XFRMA_SET_MARK_MASK not in places:
        return Mark(value, 0xFFFFFFFF)
    return Mark(value, decode_unsigned(buffer, *places[XFRMA_SET_MARK_MASK], 4))


def _four(buffer: Octets, start: int, end: int, _: Fixed) -> int:
    return decode_unsigned(buffer, start, end, 4)


def _time(buffer: Octets, start: int, end: int, _: Fixed) -> int:
    return decode_unsigned(buffer, start, end, 8)


_READERS: dict[int, tuple[str, Reader]] = {
    4: ("encapsulation", _encapsulation),
    XFRMA_REPLAY_VAL: ("anti_replay", _anti_replay),  # an SA has it or the other
    XFRMA_LASTUSED: ("last_used_s", _time),
    21: ("mark", _mark),
    XFRMA_REPLAY_ESN_VAL: ("anti_replay", decode_anti_replay_esn),
    24: ("extra_flags", _four),
    28: ("offload", _offload),
    31: ("if_id", _four),
    33: ("direction", _direction),
    35: ("cpu", _four),
}
READ = frozenset((XFRMA_SA, XFRMA_SET_MARK, XFRMA_SET_MARK_MASK, *_READERS))
