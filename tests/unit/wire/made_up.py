"""Datagrams made up of every oddity the format allows and some it does not, and real ones, damaged.

All choices come from a random.Random: a plain one of a seed is quick, Hypothesis' own finds the smallest.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from random import Random

from tests.unit.wire.messages import DONE, PACKET, PAYLOAD, attribute, message

__all__ = ["IMITATIONS", "damaged", "datagrams"]

Layout = list[tuple[int, int]]

# What a payload or an attribute may hold to be taken for something else: headers, with and without zeros.
IMITATIONS = (
    struct.pack("=HHII", PACKET, 0, 0, 0),
    struct.pack("=IHHII", 20, PACKET, 0, 0, 0),
    struct.pack("=IHHII", 28, PACKET, 0, 0, 0) + bytes(12),
    struct.pack("=IHH", 20, 3, 0),
    DONE,
    struct.pack("=HH", 8, PAYLOAD),
    bytes(4),
    bytes(16),
    b"\xff" * 4,
)
STRANGE = (DONE, message(2, bytes(20), number=1), message(PACKET, b"", flags=1), bytes(4))
USUAL = ((1, 4), (12, 4), (2, 4), (3, 16), (10, 1), (11, 4), (16, 14), (20 | 0x8000, 16))
ETHERNET_TYPES = (0x0800, 0x86DD, 0x8100, 0x88A8, 0, 0x0806)
PAYLOAD_OCTETS = 60


def datagrams(choose: Random) -> list[bytes]:
    """One to three of them; few layouts among many messages, as in a real one."""
    layouts = [_layout(choose) for _ in range(choose.randint(1, 3))]
    return [_datagram(choose, layouts) for _ in range(choose.randint(1, 3))]


def damaged(choose: Random, real: Sequence[bytes]) -> bytes:
    """One of the real ones with bits flipped, words replaced, parts cut out or spliced in."""
    octets = bytearray(choose.choice(real))
    for _ in range(choose.randint(0, 3)):
        at = choose.randrange(len(octets) + 1)
        word, way = at & ~3, choose.randint(0, 4)
        if way == 0 and at < len(octets):
            octets[at] ^= 1 << choose.randint(0, 7)
        elif way == 1:
            octets[word : word + 4] = choose.choice(IMITATIONS)[:4]
        elif way == 2:
            del octets[at : at + choose.choice((1, 4, 20, 100))]
        elif way == 3:
            other = choose.choice(real)
            begin = choose.randrange(len(other) // 4 + 1) * 4
            octets[word:word] = other[begin : begin + choose.choice((4, 20, 156))]
        elif choose.randint(0, 2) == 0:
            del octets[at:]
    return bytes(octets)


def _datagram(choose: Random, layouts: Sequence[Layout]) -> bytes:
    parts = [_message(choose, choose.choice(layouts)) for _ in range(choose.randint(0, 6))]
    if _rarely(choose):
        parts.insert(choose.randint(0, len(parts)), choose.choice(STRANGE))
    if choose.randint(0, 2):
        parts.append(DONE)
    whole = b"".join(parts)
    return whole[: -choose.randint(1, 8)] if _rarely(choose) else whole


def _message(choose: Random, layout: Layout) -> bytes:
    """Rarely with another header, a cut, or octets behind the payload."""
    group = choose.choice((0, 1, 10, 65535))
    padding = choose.choice((bytes(3), b"\xff" * 3))
    body = struct.pack(">BBH", choose.choice((2, 7, 10)), 0, group)
    body += b"".join(attribute(kind, _value(choose, kind, octets), padding) for kind, octets in layout)
    if not _rarely(choose):
        return message(PACKET, body)
    odd = choose.randint(0, 2)
    if odd == 0:
        return message(PACKET, body[: choose.randint(0, len(body))])
    if odd == 1:
        return message(PACKET, body + choose.choice(IMITATIONS))
    return message(PACKET, body, choose.randint(0, 2), choose.randint(0, 2), choose.randint(0, 2))


def _layout(choose: Random) -> Layout:
    """(type, octets) of the attributes before the payload, and of the payload, of any octets: -1."""
    chosen = [choose.choice(USUAL) for _ in range(choose.randint(0, 6))]
    if _rarely(choose):
        odd = (choose.choice((choose.randint(0, 25), 12 | 0x4000)), choose.choice((4, choose.randint(0, 20))))
        chosen.insert(choose.randint(0, len(chosen)), odd)
    last = choose.choice((PAYLOAD, PAYLOAD, PAYLOAD, PAYLOAD | 0x8000, 0))
    return [*chosen, (last, -1)] if last else chosen


def _value(choose: Random, kind: int, octets: int) -> bytes:
    if octets < 0:
        return _payload(choose)
    if kind == 1 and octets == 4:
        return struct.pack(">HH", choose.choice((*ETHERNET_TYPES, choose.randint(0, 65535))), 0)
    filled = choose.choice(IMITATIONS) if _rarely(choose) else _octets(choose, octets)
    return (filled + bytes(octets))[:octets]


def _payload(choose: Random) -> bytes:
    """0 to 60 octets of an IP packet of any version behind any number of tags, of imitations, of anything."""
    way = choose.randint(0, 7)
    if way == 0:
        whole = b"".join(choose.choice(IMITATIONS) for _ in range(5))
    elif way == 1:
        whole = _octets(choose, PAYLOAD_OCTETS)
    else:
        whole = _tags(choose) + _ip(choose)
    return whole[: choose.choice((28, 48, PAYLOAD_OCTETS, choose.randint(0, PAYLOAD_OCTETS)))]


def _tags(choose: Random) -> bytes:
    number = choose.choice((0, 0, 0, 1, 2, 3))
    return b"".join(
        struct.pack(">HH", _length(choose), choose.choice(ETHERNET_TYPES[:4])) for _ in range(number)
    )


def _ip(choose: Random) -> bytes:
    version = choose.choice((4, 4, 6, 6, choose.randint(0, 15)))
    following = choose.choice((0, 17, 44, 50))
    first = struct.pack(">BBH", version << 4 | 5, 0, _length(choose))
    fragment = choose.choice((0, 0, 0x4000, 0x2000, 0x0001, 0x8000))
    second = struct.pack(">HBB", _length(choose), following, 64)
    if version == 4:
        second = struct.pack(">HH", _length(choose), fragment)
    return first + second + bytes([following]) * 52


def _length(choose: Random) -> int:
    return choose.choice((0, 1, 20, 1500, 65535, choose.randint(0, 65535)))


def _octets(choose: Random, number: int) -> bytes:
    return bytes(choose.randint(0, 255) for _ in range(number))


def _rarely(choose: Random) -> bool:
    return choose.randint(0, 19) == 7
