"""NFLOG packet messages as columns (linux/netfilter/nfnetlink_log.h, NFULNL_MSG_PACKET).

In: one or several datagrams laid end to end, as read from the socket. Out: Packets, one row a
header copy, in order. DecodeError if a message breaks its format; no row is ever guessed.

How it is fast: message starts are found by comparing words of the whole buffer at once, and the
chain of lengths is then verified (walked where it does not verify: a payload may imitate a header).
The first message's attributes are walked; every message whose attributes all stand where its stand is
of the same layout. The next message that is not gives the next layout, and so on. Then values are
taken as vectors, each row's at the offset of its layout.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple, Optional, Union

import numpy as np
from numpy.typing import NDArray

from ipsecmon.errors import DecodeError
from ipsecmon.packets import Packets
from ipsecmon.wire.esp import esp_columns
from ipsecmon.wire.netlink import NLMSG_DONE, pull_attributes, pull_messages
from ipsecmon.wire.packet import ODD_KINDS, ip_columns

__all__ = ["decode_packets"]

Octets = Union[bytes, bytearray, memoryview]
Words = NDArray[np.uint32]
Offsets = NDArray[np.int64]

MSG_PACKET = 4 << 8  # NFNL_SUBSYS_ULOG, NFULNL_MSG_PACKET
NFULA_PACKET_HDR, NFULA_PAYLOAD, NFULA_SEQ, NFULA_VLAN = 1, 9, 12, 20

_PACKET_WORD = int(np.frombuffer(struct.pack("=HH", MSG_PACKET, 0), np.uint32)[0])
_DONE_WORD = int(np.frombuffer(struct.pack("=HH", NLMSG_DONE, 0), np.uint32)[0])
_DONE_OCTETS = 20  # nlmsghdr and nfgenmsg, which the kernel appends after several packets
_BODY = 20  # attributes begin here: nlmsghdr (16) and nfgenmsg (4)
MAX_TEMPLATES = 16  # layouts looked for as vectors (mark, timestamp, UID there or not; each hook its own)
_NO_ROWS: Offsets = np.zeros(0, np.int64)
_BLOCK = 4096  # messages whose headers are looked at together: they fit a CPU's L2 cache


class _Layout(NamedTuple):
    """Where one message's attributes stand, in words from its start. 0: there is none."""

    headers: tuple[int, ...]  # of every attribute before the payload
    payload: int  # of the payload's attribute header
    sequence: int  # of the value of NFULA_SEQ
    protocol: int  # of the value of NFULA_PACKET_HDR
    vlan: bool


class _Messages(NamedTuple):
    """A buffer and the packet messages in it: word offset and octets of each."""

    buffer: Octets
    words: Words
    starts: Offsets
    lengths: Offsets


def decode_packets(
    buffer: Octets, ends: Sequence[int] = (), esp_groups: Optional[NDArray[np.bool_]] = None
) -> Packets:
    """Every packet message of the buffer, in order. Raises DecodeError.

    ends: where each of several datagrams ends, so that none reaches into the next; without it the
    buffer is one datagram. esp_groups: by group, of which Packets.esp is wanted.
    """
    ends = ends or [len(buffer)]
    if any(end % 4 for end in ends[:-1]):
        raise DecodeError("datagram of broken words", 0)
    padding = bytes(-len(buffer) % 4)
    words = np.frombuffer(bytes(buffer) + padding if padding else buffer, np.uint32)
    starts = _starts_by_words(words, ends)  # None where there is padding: it ends behind the last datagram
    if starts is None:
        starts = _starts_by_walking(buffer, ends)
    messages = _Messages(buffer, words, starts, words.take(starts).astype(np.int64))
    return _decode_rows(messages, esp_groups)


def _starts_by_words(words: Words, ends: Sequence[int]) -> Optional[Offsets]:
    """Word offsets of all packet messages, or None if their chain does not verify."""
    found: Offsets = np.flatnonzero(words[1:-3] == _PACKET_WORD)
    if not _are_a_chain(words, found, ends):
        found = found[(words.take(found + 2) | words.take(found + 3)) == 0]  # nlmsg_seq, nlmsg_pid
        if not _are_a_chain(words, found, ends):
            return None
    return found


def _are_a_chain(words: Words, starts: Offsets, ends: Sequence[int]) -> bool:
    """Each message ends where the next begins, or with a closing message between; none crosses an end."""
    if not len(starts) or starts[0] != 0:
        return False
    lengths = words.take(starts).astype(np.int64)
    past = ((lengths + 3) >> 2) + starts
    following = np.append(starts[1:], len(words))
    done = np.flatnonzero(past != following)
    at = past.take(done)
    return bool(
        lengths.min() >= _BODY
        and (following.take(done) - at == _DONE_OCTETS // 4).all()
        and (words.take(at) == _DONE_OCTETS).all()
        and (words.take(at + 1) == _DONE_WORD).all()
        and _all_stand_in(following, ends)
    )


def _all_stand_in(ascending: Offsets, ends: Sequence[int]) -> bool:
    wanted = np.array(ends, np.int64) >> 2
    return bool((ascending.take(np.searchsorted(ascending, wanted), mode="clip") == wanted).all())


def _starts_by_walking(buffer: Octets, ends: Sequence[int]) -> Offsets:
    starts = []
    view = memoryview(buffer)
    for begin, end in zip([0, *ends], ends):
        for message in pull_messages(view[:end], begin):
            if message.kind == MSG_PACKET:
                if message.end - message.start < 4:
                    raise DecodeError("packet message without nfgenmsg", message.start)
                starts.append((message.start - 16) // 4)
    return np.array(starts, np.int64)


def _decode_rows(messages: _Messages, esp_groups: Optional[NDArray[np.bool_]]) -> Packets:
    words, starts = messages.words, messages.starts
    layouts, which = _layouts(messages)
    offsets = np.array([layout[1:] for layout in layouts], np.int64).reshape(-1, 4)
    payload, numbered, typed, vlan = offsets.T
    at = starts + payload.take(which)
    captured = _halves(words.take(at))[0].astype(np.int32) - 4
    ethernet_type = _halves(words.take(starts + typed.take(which)))[0].view(">u2").astype(np.uint16)
    sequence = words.take(starts + numbered.take(which)).view(">u4").astype(np.int64)
    for column, offset, nothing in (
        (captured, payload, 0),
        (ethernet_type, typed, 0),
        (sequence, numbered, -1),
    ):
        if not offset.all():
            column[offset.take(which) == 0] = nothing
    octets, odd = ip_columns(words, at + 1, captured, ethernet_type, (vlan != 0).take(which))
    group = _halves(words[4:].take(starts))[1].view(">u2").astype(np.uint16)
    rows = _NO_ROWS if esp_groups is None else np.flatnonzero(esp_groups.take(group))
    return Packets(
        group=group,
        octets=octets,
        sequence=sequence,
        odd={kind: number for kind, number in zip(ODD_KINDS, odd) if number},
        esp=esp_columns(words, at + 1, captured, ethernet_type, rows) if len(rows) else None,
    )


def _layouts(messages: _Messages) -> tuple[list[_Layout], Offsets]:
    """Every layout, and which of them each message has."""
    layouts: dict[_Layout, int] = {}
    which = np.zeros(len(messages.starts), np.int64)
    left = np.arange(len(which))
    for _ in range(MAX_TEMPLATES):
        if not len(left):
            break
        layout = _layout(messages, int(left[0]))
        alike = _rows_alike(messages, left, layout)
        which[left[alike]] = layouts.setdefault(layout, len(layouts))
        left = left[~alike]
    for row in left:
        which[row] = layouts.setdefault(_layout(messages, int(row)), len(layouts))
    return list(layouts), which


def _layout(messages: _Messages, row: int) -> _Layout:
    """Walk one message's attributes. The payload must be the last one. Raises DecodeError."""
    start = int(messages.starts[row]) * 4
    end = start + int(messages.lengths[row])
    headers: list[int] = []
    payload = sequence = protocol = 0
    vlan = False
    for kind, value, value_end in pull_attributes(messages.buffer, start + _BODY, end):
        if payload:
            raise DecodeError("attribute after the payload", value - 4)
        at = (value - start) // 4
        if kind == NFULA_PAYLOAD:
            payload = at - 1
            continue
        headers.append(at - 1)
        if kind in (NFULA_SEQ, NFULA_PACKET_HDR) and value_end - value != 4:
            raise DecodeError("attribute of a wrong length", value - 4)
        sequence = at if kind == NFULA_SEQ else sequence
        protocol = at if kind == NFULA_PACKET_HDR else protocol
        vlan = vlan or kind == NFULA_VLAN
    return _Layout(tuple(headers), payload, sequence, protocol, vlan)


def _rows_alike(messages: _Messages, rows: Offsets, layout: _Layout) -> NDArray[np.bool_]:
    """Which rows have all attributes of the first row, at the same places.

    Rows of another layout mostly differ in where the payload stands: that is looked at first. A row of
    octets behind its last attribute is left to be walked by itself.
    """
    words = messages.words
    starts, lengths = messages.starts.take(rows), messages.lengths.take(rows)
    alike: NDArray[np.bool_]
    if layout.payload:
        octets, kind = _halves(words[layout.payload :].take(starts, mode="clip"))
        padding = lengths - layout.payload * 4 - octets
        alike = (kind == kind[0]) & (octets >= 4) & (padding.view(np.uint64) < 4) & (lengths & 3 == 0)
    else:
        alike = lengths == lengths[0]
    alike[0] = True
    if alike.all():
        return _have_headers(words, starts, layout)
    alike[alike] = _have_headers(words, starts[alike], layout)
    return alike


def _have_headers(words: Words, starts: Offsets, layout: _Layout) -> NDArray[np.bool_]:
    """Which messages have the attribute headers that the first of them has."""
    places = np.array(layout.headers, np.int64)[:, np.newaxis]
    wanted = words.take(places + starts[:1])
    blocks = [starts[row : row + _BLOCK] for row in range(0, len(starts), _BLOCK)]
    return np.concatenate([(words.take(places + block) == wanted).all(axis=0) for block in blocks])


def _halves(words: Words) -> NDArray[np.uint16]:
    """(lengths, types) out of attribute headers, in host byte order."""
    return words.view(np.uint16).reshape(-1, 2).T
