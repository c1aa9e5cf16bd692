"""SAs and what happens to them (linux/xfrm.h; net/xfrm/xfrm_user.c), as 64-bit kernels lay them out.

In: one message of an XFRM socket. Out: SecurityAssociation or SaEvent. Standard library only: the helper
decodes. Dumps, NEWSA and DELSA carry keys, in attributes XFRMA_ALG_*: of these the type is read and the
value never touched, so that no copy of a key is made here. Addresses, SPI and ports are in network
order, all else in the host's.
"""

from __future__ import annotations

import struct
from typing import Callable, Optional, Union

from ipsecmon.errors import DecodeError
from ipsecmon.ipsec import SaEnd, SaEvent, SaFlush, SaNews, SaSoftExpiry, SecurityAssociation
from ipsecmon.wire.netlink import Message, pull_attributes
from ipsecmon.wire.xfrm_attributes import ALGORITHMS, READ, XFRMA_SA, Fixed, decode_attributes
from ipsecmon.wire.xfrm_layout import MODES, SELECTOR_OCTETS, decode_address, decode_lifetime, decode_selector

__all__ = ["XFRM_MSG_NEWSA", "decode_event", "decode_sa"]

Octets = Union[bytes, bytearray, memoryview]
Places = dict[int, tuple[int, int]]

XFRM_MSG_NEWSA, XFRM_MSG_DELSA, XFRM_MSG_EXPIRE = 0x10, 0x11, 0x18
XFRM_MSG_UPDSA, XFRM_MSG_FLUSHSA = 0x1A, 0x1C

# struct xfrm_usersa_info: sel id.daddr id.spi id.proto saddr lft, curlft, stats, seq reqid family mode
# replay_window flags
_INFO = struct.Struct("=56s16s4sB3x16s64s4Q3I4xIHBBB7x")
_EXPIRE_OCTETS = _INFO.size + 8
_USERSA_ID_OCTETS = 24
_NO_SELECTOR = bytes(SELECTOR_OCTETS)


def decode_sa(buffer: Octets, message: Message) -> SecurityAssociation:
    """An XFRM_MSG_NEWSA of a dump. Raises DecodeError."""
    if message.kind != XFRM_MSG_NEWSA:
        raise DecodeError("unexpected message type", message.start - 12)
    return _whole(buffer, message)


def decode_event(buffer: Octets, message: Message) -> Optional[SaEvent]:
    """What a message of the groups SA and EXPIRE says; None for any other. Raises DecodeError."""
    decode = _EVENTS.get(message.kind)
    return None if decode is None else decode(buffer, message)


def _added(buffer: Octets, message: Message) -> SaEvent:
    return SaNews(_whole(buffer, message), message.kind == XFRM_MSG_UPDSA)


def _deleted(buffer: Octets, message: Message) -> SaEvent:
    """The SA itself is an attribute here."""
    places, is_keyed = _places(buffer, message, _USERSA_ID_OCTETS)
    if XFRMA_SA not in places:
        raise DecodeError("deletion without its SA", message.start)
    return SaEnd(_sa(buffer, *places[XFRMA_SA], places, is_keyed), has_expired=False)


def _expired(buffer: Octets, message: Message) -> SaEvent:
    places, is_keyed = _places(buffer, message, _EXPIRE_OCTETS)
    sa = _sa(buffer, message.start, message.end, places, is_keyed)
    is_hard = buffer[message.start + _INFO.size]
    return SaEnd(sa, has_expired=True) if is_hard else SaSoftExpiry(sa)


def _flushed(buffer: Octets, message: Message) -> SaEvent:
    if message.end <= message.start:
        raise DecodeError("flush without a protocol", message.start)
    return SaFlush(buffer[message.start])


_EVENTS: dict[int, Callable[[Octets, Message], SaEvent]] = {
    XFRM_MSG_NEWSA: _added,
    XFRM_MSG_UPDSA: _added,
    XFRM_MSG_DELSA: _deleted,
    XFRM_MSG_EXPIRE: _expired,
    XFRM_MSG_FLUSHSA: _flushed,
}


def _whole(buffer: Octets, message: Message) -> SecurityAssociation:
    places, is_keyed = _places(buffer, message, _INFO.size)
    return _sa(buffer, message.start, message.end, places, is_keyed)


def _places(buffer: Octets, message: Message, fixed: int) -> tuple[Places, bool]:
    """Where the attributes that are read lie, after a fixed part; and whether there are algorithms."""
    if message.end - message.start < fixed:
        raise DecodeError("message cut short", message.start)
    places: Places = {}
    is_keyed = False
    for kind, start, end in pull_attributes(buffer, message.start + fixed, message.end):
        if kind in READ:
            places[kind] = (start, end)
        elif kind in ALGORITHMS:
            is_keyed = True
    return places, is_keyed


def _sa(buffer: Octets, start: int, end: int, places: Places, is_keyed: bool) -> SecurityAssociation:
    if end - start < _INFO.size:
        raise DecodeError("SA cut short", start)
    fields = _INFO.unpack_from(buffer, start)
    selector, destination, spi, protocol, source, limits, octets, packets, added_s, used_s = fields[:10]
    late, replayed, failed, reqid, family, mode, window, flags = fields[10:]
    return SecurityAssociation(
        decode_address(source, family, start),
        decode_address(destination, family, start),
        family,
        int.from_bytes(spi, "big"),
        protocol,
        MODES.get(mode) or str(mode),
        reqid,
        octets,
        packets,
        added_s,
        used_s or None,
        late,
        replayed,
        failed,
        window,
        flags,
        decode_lifetime(limits),
        None if selector == _NO_SELECTOR else decode_selector(selector, family, start),
        is_keyed=is_keyed,
        **decode_attributes(buffer, places, Fixed(family, window, flags)),
    )
