"""NFLOG packet messages as columns (linux/netfilter/nfnetlink_log.h, NFULNL_MSG_PACKET).

In: one or several datagrams laid end to end, as read from the socket. Out: Packets, one row a
header copy, in order. DecodeError if a message breaks its format; no row is ever guessed.

How it is fast: message starts are found by comparing words of the whole buffer at once, and the
chain of lengths is then verified (walked where it does not verify: a payload may imitate a header).
Rows whose attributes all stand where the first row's stand are taken as vectors; the rows that
differ make the next template, and what is rarer still is decoded attribute by attribute.
"""

from __future__ import annotations

import struct
from typing import NamedTuple, Optional, Union

import numpy as np
from numpy.typing import NDArray

from ipsecmon.errors import DecodeError
from ipsecmon.model import Packets
from ipsecmon.wire.netlink import NLMSG_DONE, pull_attributes, pull_messages
from ipsecmon.wire.packet import ODD_KINDS, ip_columns

__all__ = ["decode_packets"]

Octets = Union[bytes, bytearray, memoryview]
Words = NDArray[np.uint32]
Offsets = NDArray[np.int64]

MSG_PACKET = 4 << 8  # NFNL_SUBSYS_ULOG, NFULNL_MSG_PACKET
NFULA_PACKET_HDR, NFULA_PAYLOAD, NFULA_SEQ, NFULA_VLAN = 1, 9, 12, 20
ETH_P_8021Q, ETH_P_8021AD = 0x8100, 0x88A8

_PACKET_WORD = int(np.frombuffer(struct.pack("=HH", MSG_PACKET, 0), np.uint32)[0])
_DONE_WORD = int(np.frombuffer(struct.pack("=HH", NLMSG_DONE, 0), np.uint32)[0])
_DONE_OCTETS = 20  # nlmsghdr and nfgenmsg, which the kernel appends after several packets
_BODY = 20  # attributes begin here: nlmsghdr (16) and nfgenmsg (4)
MAX_TEMPLATES = 16  # layouts taken as vectors (mark, timestamp, UID there or not; each hook its own)


class _Layout(NamedTuple):
    """Where one message's attributes stand, in octets from its start."""

    headers: list[int]  # of every attribute before the payload
    payload: int  # of the payload's attribute header; 0: there is none
    sequence: int  # of the value of NFULA_SEQ; 0: there is none
    protocol: int  # of the value of NFULA_PACKET_HDR; 0: there is none
    vlan: bool


def decode_packets(buffer: Octets) -> Packets:
    """Every packet message of the buffer, in order. Raises DecodeError."""
    if len(buffer) % 4:
        buffer = bytes(buffer) + b"\0" * (-len(buffer) % 4)
        _check_tail(buffer)
    words = np.frombuffer(buffer, np.uint32)
    starts = _starts_by_words(words)
    if starts is None:
        starts = _starts_by_walking(buffer)
    return _decode_rows(buffer, words, starts)


def _check_tail(padded: Octets) -> None:
    """A datagram that is not a multiple of 4 must still end with a whole message."""
    for _ in pull_messages(padded):
        pass


def _starts_by_words(words: Words) -> Optional[Offsets]:
    """Word offsets of all messages, or None if the chain does not verify."""
    found: Offsets = np.flatnonzero(words[1:-3] == _PACKET_WORD)
    found = found[(words[found + 2] == 0) & (words[found + 3] == 0)]
    if not len(found) or found[0] != 0:
        return None
    lengths = words[found].astype(np.int64)
    ends = found + (lengths + 3) // 4
    gaps = np.append(found[1:], len(words)) - ends
    if lengths.min() < _BODY or gaps.min() < 0:
        return None
    done = np.flatnonzero(gaps)
    at = ends[done]
    if not (
        (gaps[done] == _DONE_OCTETS // 4).all()
        and (words[at] == _DONE_OCTETS).all()
        and (words[at + 1] == _DONE_WORD).all()
    ):
        return None
    return found


def _starts_by_walking(buffer: Octets) -> Offsets:
    starts = []
    for message in pull_messages(buffer):
        if message.kind == MSG_PACKET:
            if message.end - message.start < 4:
                raise DecodeError("packet message without nfgenmsg", message.start)
            starts.append((message.start - 16) // 4)
    return np.array(starts, np.int64)


def _decode_rows(buffer: Octets, words: Words, starts: Offsets) -> Packets:
    network = np.frombuffer(buffer, ">u4")
    rows = _Rows(words, network, starts)
    left = np.arange(len(starts))
    for _ in range(MAX_TEMPLATES):
        if not len(left):
            break
        layout = rows.layout(buffer, int(left[0]))
        same = _rows_alike(words, starts[left], layout)
        rows.take(left[same], layout)
        left = left[~same]
    for row in left:
        rows.take(np.array([row]), rows.layout(buffer, int(row)))
    octets, odd = ip_columns(network, rows.copy, rows.captured, rows.vlan)
    return Packets(
        group=(network[starts + 4] & 0xFFFF).astype(np.uint16),
        octets=octets,
        sequence=rows.sequence,
        odd={kind: number for kind, number in zip(ODD_KINDS, odd) if number},
    )


class _Rows:
    """The columns under way. copy: word offset of the IP header; captured: octets from there."""

    def __init__(self, words: Words, network: NDArray[np.uint32], starts: Offsets) -> None:
        self._words, self._network, self._starts = words, network, starts
        self._halves = _halves(words)
        self.sequence = np.full(len(starts), -1, np.int64)
        self.copy = np.zeros(len(starts), np.int64)
        self.captured = np.zeros(len(starts), np.int64)
        self.vlan = np.zeros(len(starts), bool)

    def layout(self, buffer: Octets, row: int) -> _Layout:
        start = int(self._starts[row])
        return _layout(buffer, start * 4, start * 4 + int(self._words[start]))

    def take(self, rows: Offsets, layout: _Layout) -> None:
        """Fill these rows, all of one layout."""
        at = self._starts[rows]
        if layout.sequence:
            self.sequence[rows] = self._network[at + layout.sequence // 4]
        if layout.payload:
            self.copy[rows] = at + layout.payload // 4 + 1
            self.captured[rows] = self._halves[at + layout.payload // 4, 0].astype(np.int64) - 4
        self.vlan[rows] = layout.vlan
        if layout.protocol:
            protocol = self._network[at + layout.protocol // 4] >> 16
            tagged = (protocol == ETH_P_8021Q) | (protocol == ETH_P_8021AD)
            if tagged.any():  # the tag is part of the copy: 4 octets before the IP header
                self.vlan[rows] |= tagged
                self.copy[rows] += tagged
                self.captured[rows] -= np.where(tagged, 4, 0)


def _rows_alike(words: Words, starts: Offsets, layout: _Layout) -> NDArray[np.bool_]:
    """Which rows have every attribute header of the first row, at the same place."""
    lengths = words[starts].astype(np.int64)
    alike = _headers_equal(words, starts, layout.headers)
    if not layout.payload:
        alike &= lengths == lengths[0]
        return alike
    at = np.minimum(starts + layout.payload // 4, len(words) - 1)
    header = _halves(words)[at]
    room = (lengths + 3) // 4 * 4 - layout.payload
    alike &= (
        (header[:, 1] == NFULA_PAYLOAD)
        & (header[:, 0] >= 4)
        & (header[:, 0] <= lengths - layout.payload)
        & (room - header[:, 0] < 4)  # nothing but padding after it
    )
    return alike


def _halves(words: Words) -> NDArray[np.uint16]:
    """Each word as (length, type), as an attribute's header has them, in host byte order."""
    return np.frombuffer(words, np.uint16).reshape(-1, 2)


def _headers_equal(words: Words, starts: Offsets, headers: list[int]) -> NDArray[np.bool_]:
    alike: NDArray[np.bool_] = np.ones(len(starts), bool)
    last = len(words) - 1
    for offset in headers:
        at = np.minimum(starts + offset // 4, last)
        alike &= words[at] == words[at[0]]
    return alike


def _layout(buffer: Octets, start: int, end: int) -> _Layout:
    """Walk one message's attributes. The payload must be the last one. Raises DecodeError."""
    headers: list[int] = []
    payload = sequence = protocol = 0
    vlan = False
    for kind, value, value_end in pull_attributes(buffer, start + _BODY, end):
        if payload:
            raise DecodeError("attribute after the payload", value - 4)
        if kind == NFULA_PAYLOAD:
            payload = value - 4 - start
            continue
        headers.append(value - 4 - start)
        if kind == NFULA_SEQ:
            sequence = _fixed(value, value_end, 4) - start
        elif kind == NFULA_PACKET_HDR:
            protocol = _fixed(value, value_end, 4) - start
        vlan = vlan or kind == NFULA_VLAN
    return _Layout(headers, payload, sequence, protocol, vlan)


def _fixed(value: int, end: int, octets: int) -> int:
    if end - value != octets:
        raise DecodeError("attribute of a wrong length", value - 4)
    return value
