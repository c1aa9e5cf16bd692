"""IP lengths out of header copies, as columns (RFC 791 section 3.1, RFC 8200 section 3).

A copy that is odd is counted under a named kind and keeps its row; its octets are 0 only where
the length cannot be known.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["ODD_KINDS", "ip_columns"]

ODD_KINDS = ("short", "version", "fragment", "length-zero", "vlan")
"""short: the copy ends inside the IP header. version: neither 4 nor 6. fragment: of either family.
length-zero: a super-packet above 65535 octets (BIG TCP) or a jumbogram. vlan: with an 802.1Q tag."""

_FRAGMENT_HEADER = 44  # RFC 8200 section 4.5


def ip_columns(
    words: NDArray[np.uint32], copy: NDArray[np.int64], captured: NDArray[np.int64], vlan: NDArray[np.bool_]
) -> tuple[NDArray[np.uint32], list[int]]:
    """IP octets of each row, and the number of rows of each of ODD_KINDS.

    words: the buffer as big-endian 32-bit words. copy: word offset of each IP header.
    captured: octets from there on. vlan: rows that came with a VLAN tag.
    """
    last = len(words) - 1
    first = np.where(captured >= 4, words[np.minimum(copy, last)], 0)
    second = np.where(captured >= 8, words[np.minimum(copy + 1, last)], 0)
    version = first >> 28
    is4, is6 = version == 4, version == 6
    length4 = first & 0xFFFF
    length6 = second >> 16
    known6 = is6 & (captured >= 8)
    octets = np.where(is4, length4, np.where(known6 & (length6 > 0), length6 + 40, 0)).astype(np.uint32)
    short = (captured < 4) | (is4 & (captured < 20)) | (is6 & (captured < 40))
    fragment = (is4 & ((second & 0x3FFF) != 0)) | (is6 & (((second >> 8) & 0xFF) == _FRAGMENT_HEADER))
    zero = (is4 & (length4 == 0)) | (known6 & (length6 == 0))
    odd = [short, ~(is4 | is6) & (captured >= 4), fragment, zero, vlan]
    return octets, [int(np.count_nonzero(column)) for column in odd]
