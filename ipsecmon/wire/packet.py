"""IP lengths out of header copies, as columns (RFC 791 section 3.1, RFC 8200 section 3).

A copy that is odd is counted under a named kind and keeps its row; its octets are 0 only where
the length cannot be known.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["ODD_KINDS", "host_order", "ip_columns", "is_tag"]

Words = NDArray[np.uint32]

ODD_KINDS = ("short", "version", "fragment", "length-zero", "vlan")
"""short: the copy ends inside the IP header. version: neither 4 nor 6, or something else behind a VLAN
tag. fragment: of either family. length-zero: a super-packet above 65535 octets (BIG TCP) or a
jumbogram. vlan: with an 802.1Q tag, in the copy or beside it."""

_IPV6_HEADER = 40
_HOP_BY_HOP, _FRAGMENT_HEADER = 0, 44  # RFC 8200 section 4
_ETH_P_8021Q, _ETH_P_8021AD = 0x8100, 0x88A8
_ETH_P_IP, _ETH_P_IPV6 = 0x0800, 0x86DD
_MAX_TAGS = 2  # IEEE 802.1Q: a service tag and a customer tag


def host_order(words: Words) -> Words:
    """Words as they lay in memory, in network byte order, as numbers."""
    return words.view(">u4").astype(np.uint32)


def ip_columns(
    words: Words,
    copy: NDArray[np.int64],
    captured: NDArray[np.int32],
    ethernet_type: NDArray[np.uint16],
    vlan: NDArray[np.bool_],
) -> tuple[Words, list[int]]:
    """IP octets of each row, and the number of rows of each of ODD_KINDS.

    words: the buffer. copy: word offset of each copy; captured: its octets; ethernet_type: 0 where
    it is not known. vlan: rows that came with a VLAN tag beside the copy.
    """
    first = host_order(words.take(copy, mode="clip"))
    second = host_order(words.take(copy + 1, mode="clip"))
    is6 = first >> 28 == 6
    octets = np.where(is6, (second >> 16) + 40, first & 0xFFFF)
    plain = _is_plain(first, second, is6, captured) & ~is_tag(ethernet_type) & ~vlan
    rows = np.flatnonzero(~plain)
    if not len(rows):
        return octets, [0] * len(ODD_KINDS)
    octets[rows], odd = _odd_columns(words, copy[rows], captured[rows], ethernet_type[rows], vlan[rows])
    return octets, odd


def _is_plain(
    first: Words, second: Words, is6: NDArray[np.bool_], captured: NDArray[np.int32]
) -> NDArray[np.bool_]:
    """Rows with nothing odd in the IP header. first, second: its words."""
    plain4 = ((first & 0xF0000000 ^ 0x40000000 | second & 0x3FFF) == 0) & (first & 0xFFFF != 0)
    plain6 = is6 & (second >> 16 != 0) & (second & 0xFF00 != _FRAGMENT_HEADER << 8) & (captured >= 40)
    plain: NDArray[np.bool_] = plain4 & (captured >= 20) | plain6
    return plain


def _odd_columns(
    words: Words,
    copy: NDArray[np.int64],
    captured: NDArray[np.int32],
    ethernet_type: NDArray[np.uint16],
    vlan: NDArray[np.bool_],
) -> tuple[Words, list[int]]:
    """The same, of rows that may be anything."""
    tagged = np.flatnonzero(is_tag(ethernet_type))
    no_ip = _pass_tags(words, copy, captured, ethernet_type, tagged)
    first = host_order(words.take(copy, mode="clip"))
    second = host_order(words.take(copy + 1, mode="clip"))
    first[captured < 4] = 0
    second[captured < 8] = 0
    first[no_ip] = 0
    version = first >> 28
    is4, is6 = version == 4, version == 6
    length4 = first & 0xFFFF
    length6 = second >> 16
    known6 = is6 & (captured >= 8)
    # a copy that ends with the header, which no jumbo payload option follows (RFC 2675 3): there is no more
    bare6 = known6 & (length6 == 0) & (captured == _IPV6_HEADER) & (second & 0xFF00 != _HOP_BY_HOP << 8)
    known_octets6 = (known6 & (length6 > 0)) | bare6
    octets = np.where(is4, length4, np.where(known_octets6, length6 + _IPV6_HEADER, 0)).astype(np.uint32)
    short = (captured < 4) | (is4 & (captured < 20)) | (is6 & (captured < 40))
    fragment = (is4 & ((second & 0x3FFF) != 0)) | (is6 & (((second >> 8) & 0xFF) == _FRAGMENT_HEADER))
    zero = (is4 & (length4 == 0)) | (known6 & (length6 == 0) & ~bare6)
    vlan[tagged] = True
    odd = [short, ~(is4 | is6) & (captured >= 4), fragment, zero, vlan]
    return octets, [int(np.count_nonzero(column)) for column in odd]


def is_tag(ethernet_type: NDArray[np.uint16]) -> NDArray[np.bool_]:
    """Whether a copy begins with a VLAN tag."""
    tag: NDArray[np.bool_] = (ethernet_type == _ETH_P_8021Q) | (ethernet_type == _ETH_P_8021AD)
    return tag


def _pass_tags(
    words: Words,
    copy: NDArray[np.int64],
    captured: NDArray[np.int32],
    ethernet_type: NDArray[np.uint16],
    tagged: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Move copies past the tags in them, which are words of TCI and Ethernet type; which rows are not IP."""
    if not len(tagged):
        return tagged
    behind = ethernet_type[tagged]
    for _ in range(_MAX_TAGS):
        rows = tagged[is_tag(behind)]
        behind[is_tag(behind)] = host_order(words.take(copy[rows], mode="clip")) & 0xFFFF
        copy[rows] += 1
        captured[rows] -= 4
    no_ip: NDArray[np.int64] = tagged[(behind != _ETH_P_IP) & (behind != _ETH_P_IPV6)]
    return no_ip
