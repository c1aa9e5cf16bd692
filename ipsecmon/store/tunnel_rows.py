"""Tunnels as rows: which numbers a row has, in which order, and the names behind it."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from operator import add, attrgetter
from typing import Any, Optional

from ipsecmon.model import TUNNEL_LEVELS as LEVELS
from ipsecmon.model import TUNNEL_SUMS as SUMS
from ipsecmon.model import Direction, TunnelIncrement, TunnelKey
from ipsecmon.store.sums import MAX_NUMBER

__all__ = [
    "ALL_PEERS",
    "LEVELS",
    "SUMS",
    "Numbers",
    "increment",
    "joined",
    "key_of",
    "limited",
    "numbers_of",
    "tunnel_id",
]

ALL_PEERS = ""  # the peer of what is the sum over a tunnel's peers

Numbers = tuple[Optional[int], ...]
_TIMES = 2  # of LEVELS, at the end
_pick = attrgetter(*SUMS, *LEVELS)


def numbers_of(one: TunnelIncrement) -> Numbers:
    """SUMS and LEVELS."""
    numbers: Numbers = _pick(one)
    return numbers


def limited(numbers: Numbers) -> Numbers:
    """None of them too large for a row."""
    if max(filter(None, numbers), default=0) <= MAX_NUMBER:
        return numbers
    return tuple(None if number is None else min(number, MAX_NUMBER) for number in numbers)


def joined(one: Numbers, other: Numbers) -> Numbers:
    """Of two peers: all adds up, but of times it is the later one."""
    counts = map(add, one[:-_TIMES], other[:-_TIMES])
    return (*counts, *map(_later, one[-_TIMES:], other[-_TIMES:]))


def increment(key: TunnelKey, numbers: Sequence[Optional[int]]) -> TunnelIncrement:
    """From SUMS and LEVELS."""
    values: dict[str, Any] = dict(zip((*SUMS, *LEVELS), numbers))
    return TunnelIncrement(key, **values)


def tunnel_id(connection: sqlite3.Connection, key: TunnelKey) -> int:
    """The number of a tunnel, peer and direction in the file; a new one for a new name."""
    names = (key.tunnel, key.peer, key.direction.value)
    found = connection.execute(
        "SELECT id FROM tunnel WHERE tunnel = ? AND peer = ? AND direction = ?", names
    ).fetchone()
    if found:
        return int(found[0])
    inserted = connection.execute("INSERT INTO tunnel (tunnel, peer, direction) VALUES (?, ?, ?)", names)
    return int(inserted.lastrowid or 0)


def key_of(connection: sqlite3.Connection, number: int) -> TunnelKey:
    tunnel, peer, direction = connection.execute(
        "SELECT tunnel, peer, direction FROM tunnel WHERE id = ?", (number,)
    ).fetchone()
    return TunnelKey(tunnel, peer, Direction(direction))


def _later(one: Optional[int], other: Optional[int]) -> Optional[int]:
    if one is None or other is None:
        return other if one is None else one
    return max(one, other)
