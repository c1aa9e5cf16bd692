"""The XFRM decoders take or refuse whatever comes: DecodeError is the only exception, and no key is in it.

Examples are the same in every run. IPSECMON_LONGER multiplies their number:
`IPSECMON_LONGER=500 pytest tests/property/test_xfrm_wire.py` takes a million of each.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from random import Random

import pytest

from ipsecmon.errors import DecodeError
from ipsecmon.wire.ip_xfrm_text import decode_states, pull_events
from ipsecmon.wire.netlink import Message, pull_messages
from ipsecmon.wire.xfrm import decode_event, decode_sa
from ipsecmon.wire.xfrm_policy import decode_policy
from ipsecmon.wire.xfrm_stat import decode_xfrm_stat
from tests.unit.wire.both_ends import BothEnds
from tests.unit.wire.made_up import damaged
from tests.unit.wire.xfrm_messages import RECORDED, recorded_text

SEEDS = 2000 * int(os.environ.get("IPSECMON_LONGER", "1"))
SINGLE = [one[found.start - 16 : found.end] for one in RECORDED for found in pull_messages(one)]
TEXTS = ("xfrm-states", "xfrm-states-keyed", "xfrm-monitor")
RECORDS = [
    record.encode()
    for name in TEXTS
    for record in recorded_text(name).replace("\nsrc ", "\n\0src ").replace("\nExp", "\n\0Exp").split("\0")
]
DECODERS: list[Callable[[bytes, Message], object]] = [decode_event, decode_sa, decode_policy]


def every(decode: Callable[[bytes, Message], object], datagram: bytes) -> None:
    for found in pull_messages(datagram):
        decode(datagram, found)


def refused(decode: Callable[[], object], length: int) -> bool:
    try:
        decode()
    except DecodeError as error:
        assert 0 <= error.offset <= length
        assert "a5a5" not in str(error)
        return True
    return False


def test_damaged_messages_are_decoded_or_refused_and_nothing_else() -> None:
    taken = 0
    for seed in range(SEEDS):
        datagram = damaged(Random(seed), SINGLE)
        outcomes = [refused(partial(every, one, datagram), len(datagram)) for one in DECODERS]
        taken += not all(outcomes)

    assert SEEDS * 0.1 < taken < SEEDS * 0.95  # both outcomes have their share


def test_any_run_of_dumps_is_decoded_as_each_alone() -> None:
    choose = Random(7)
    decoder = BothEnds()
    states = [one for one in SINGLE if decodes(one)]
    for _ in range(SEEDS):
        at = choose.randrange(len(states))
        was, changed = states[at], bytearray(states[at])
        changed[choose.randrange(len(changed))] ^= 1 << choose.randrange(8)
        states[at] = bytes(changed)
        if not decodes(states[at]):
            with pytest.raises(DecodeError):
                decoder.decode(states)
            states[at] = was
        if choose.random() < 0.02:
            choose.shuffle(states)
        assert decoder.decode(states) == [
            decode_sa(one, found) for one in states for found in pull_messages(one) if found.kind == 0x10
        ]

    helpers = decoder.helpers
    assert min(helpers.decoded, helpers.reread, helpers.reused) > SEEDS / 20


def decodes(datagram: bytes) -> bool:
    """Whether it is a dump's."""
    try:
        return all(found.kind != 0x10 or decode_sa(datagram, found) for found in pull_messages(datagram))
    except DecodeError:
        return False


@pytest.mark.parametrize("decode", [decode_states, pull_events, decode_xfrm_stat])
def test_damaged_text_is_decoded_or_refused_and_nothing_else(decode: Callable[[str], object]) -> None:
    taken = 0
    for seed in range(SEEDS):
        text = damaged(Random(seed), RECORDS).decode("utf-8", "surrogateescape")
        taken += not refused(partial(decode, text), len(text))

    assert taken < SEEDS * 0.95


@pytest.mark.parametrize("decode", [decode_states, pull_events, decode_xfrm_stat])
def test_any_text_is_decoded_or_refused_and_nothing_else(decode: Callable[[str], object]) -> None:
    words = b" ".join(RECORDS[:4]).decode().split(" ")
    for seed in range(SEEDS // 10):
        choose = Random(seed)
        text = "".join(
            choose.choice(words) + choose.choice((" ", "\n", "\t", "\r", "\x0b", "\u2028")) for _ in range(60)
        )
        refused(partial(decode, text + "\n"), len(text) + 1)
