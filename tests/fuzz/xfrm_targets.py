"""The decoders of SAs, events and policies: messages and text of a real kernel, damaged.

DecodeError is all that may come out, with an offset inside the input and no word of it. What changed since
the last dump is decoded as each message alone, or both are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Optional

from ipsecmon.errors import DecodeError
from ipsecmon.ipsec import SecurityAssociation
from ipsecmon.wire.ip_xfrm_policy_text import decode_policies
from ipsecmon.wire.ip_xfrm_text import decode_states, pull_events
from ipsecmon.wire.netlink import Message, pull_messages
from ipsecmon.wire.xfrm import XFRM_MSG_NEWSA, decode_event, decode_sa
from ipsecmon.wire.xfrm_policy import decode_policy
from tests.unit.wire.both_ends import BothEnds
from tests.unit.wire.made_up import damaged
from tests.unit.wire.xfrm_messages import RECORDED, recorded_text

__all__ = ["fuzz_ip_xfrm", "fuzz_xfrm"]

_MESSAGES = [one[found.start - 16 : found.end] for one in RECORDED for found in pull_messages(one)]
_STATES = [one for one in _MESSAGES if one[4] == XFRM_MSG_NEWSA]
_DECODERS: tuple[Callable[[bytes, Message], object], ...] = (decode_event, decode_sa, decode_policy)
_DUMP = 3  # SAs: enough for one to be cut out, and for one to stand twice

_LISTS = ("xfrm-states", "xfrm-states-keyed", "xfrm-monitor", "xfrm-policies")
_RECORDS = [
    record
    for name in _LISTS
    for record in recorded_text(name).replace("\nsrc ", "\n\0src ").replace("\nExp", "\n\0Exp").split("\0")
]
_TEXT_DECODERS: tuple[Callable[[str], object], ...] = (decode_states, pull_events, decode_policies)
_KEYS = ("a5a5", "b6b6", "c7c7", "d8d8")


def fuzz_xfrm(choose: Random) -> None:
    datagram = damaged(choose, _MESSAGES)
    for decode in _DECODERS:
        _refusable(lambda: _each(decode, datagram), len(datagram))  # noqa: B023 - called at once
    dump = [choose.choice(_STATES) for _ in range(_DUMP)]
    decoder = BothEnds()
    assert decoder.decode(dump) == _alone(dump)
    dump[choose.randrange(_DUMP)] = damaged(choose, _STATES)
    assert _refusable(lambda: decoder.decode(dump)) == _refusable(lambda: _alone(dump))


def fuzz_ip_xfrm(choose: Random) -> None:
    text = damaged(choose, [_with_other_lines(choose).encode()]).decode("utf-8", "replace")
    for decode in _TEXT_DECODERS:
        _refusable(lambda: decode(text), len(text))  # noqa: B023 - called at once


def _each(decode: Callable[[bytes, Message], object], datagram: bytes) -> None:
    for found in pull_messages(datagram):
        decode(datagram, found)


def _alone(dump: Sequence[bytes]) -> list[SecurityAssociation]:
    return [
        decode_sa(one, found) for one in dump for found in pull_messages(one) if found.kind == XFRM_MSG_NEWSA
    ]


def _with_other_lines(choose: Random) -> str:
    """One or two records, with lines taken out, put elsewhere, or from another one."""
    lines = "".join(choose.choices(_RECORDS, k=choose.randint(1, 2))).splitlines(keepends=True)
    for _ in range(choose.randint(0, 2)):
        at = choose.randrange(len(lines))
        way = choose.randrange(3)
        if way == 0 and len(lines) > 1:
            del lines[at]
        elif way == 1:
            lines.insert(at, choose.choice(lines))
        else:
            lines[at] = choose.choice(choose.choice(_RECORDS).splitlines(keepends=True))
    return "".join(lines)


def _refusable(decode: Callable[[], object], length: Optional[int] = None) -> object:
    """What it gives, or None where it refuses."""
    try:
        return decode()
    except DecodeError as error:
        assert length is None or 0 <= error.offset <= length
        assert not any(key in str(error) for key in _KEYS)
        return None
