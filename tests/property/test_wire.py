"""The codecs against plain decoders: both take the same rows or both refuse, with DecodeError only.

Examples are the same in every run. IPSECMON_LONGER multiplies their number:
`IPSECMON_LONGER=50 pytest tests/property/test_wire.py`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, chain
from random import Random
from typing import Union

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ipsecmon.errors import DecodeError
from ipsecmon.wire.netlink import Message, decode_error, pull_attributes, pull_messages
from ipsecmon.wire.nflog import decode_packets
from ipsecmon.wire.nftables import decode_counter, decode_generation, decode_table_handle
from tests.unit.wire import plain
from tests.unit.wire.hexfiles import load
from tests.unit.wire.made_up import IMITATIONS, damaged, datagrams
from tests.unit.wire.messages import Columns, columns
from tests.unit.wire.plain import decode_plainly

LONGER = int(os.environ.get("IPSECMON_LONGER", "1"))
SEEDS = 6000 * LONGER
COPIES = [*chain(*map(load, ("mixed", "single", "groups", "snaplen-30", "prefix", "tagged")))]
ANSWERS = [*chain(*map(load, ("counters", "table", "generation", "bound", "in-use", "no-table")))]
ALL_GROUPS = np.ones(1 << 16, np.bool_)  # of which ESP is asked for: whatever is in them
Outcome = Union[Columns, str]

choices = st.randoms(use_true_random=False)


def examples(number: int) -> settings:
    return settings(max_examples=number * LONGER, derandomize=True, database=None)


def outcome(decode: Callable[[], Columns]) -> Outcome:
    try:
        return decode()
    except DecodeError:
        return "refused"


def fast(several: Sequence[bytes]) -> Outcome:
    ends = list(accumulate(map(len, several)))
    return outcome(lambda: columns(decode_packets(b"".join(several), ends, ALL_GROUPS)))


def plainly(several: Sequence[bytes]) -> Outcome:
    """Laid end to end, each but the last must be whole words: the kernel's always are."""
    if any(len(one) % 4 for one in several[:-1]):
        return "refused"
    return outcome(lambda: decode_plainly(several))


def agreed(several: Sequence[bytes]) -> Outcome:
    """What both say: of the datagrams, and of the same octets as one datagram."""
    together = [b"".join(several)]
    expected = plainly(several)
    assert fast(together) == plainly(together)
    assert fast(several) == expected
    return expected


@examples(150)
@given(choices)
def test_made_up_datagrams_decode_as_plainly_as_can_be(choose: Random) -> None:
    agreed(datagrams(choose))


@examples(150)
@given(choices)
def test_damaged_real_datagrams_decode_as_plainly_as_can_be(choose: Random) -> None:
    agreed([damaged(choose, COPIES) for _ in range(choose.randint(1, 2))])


def test_made_up_datagrams_of_many_seeds_decode_as_plainly_as_can_be() -> None:
    taken = 0
    for seed in range(SEEDS):
        taken += agreed(datagrams(Random(seed))) != "refused"

    assert SEEDS * 0.4 < taken < SEEDS * 0.9  # both outcomes have their share


def test_damaged_real_datagrams_of_many_seeds_decode_as_plainly_as_can_be() -> None:
    taken = 0
    for seed in range(SEEDS):
        taken += agreed([damaged(Random(seed), COPIES)]) != "refused"

    assert SEEDS * 0.4 < taken < SEEDS * 0.9


@examples(300)
@given(st.binary(max_size=200) | st.lists(st.sampled_from(IMITATIONS), max_size=12).map(b"".join))
def test_any_octets_are_taken_or_refused_as_plainly_as_can_be(octets: bytes) -> None:
    agreed([octets])


def pulled(datagram: bytes) -> Iterator[tuple[int, bytes]]:
    for found in pull_messages(datagram):
        yield found.kind, datagram[found.start : found.end]


def attributes(datagram: bytes) -> Iterator[tuple[int, bytes]]:
    for kind, start, end in pull_attributes(datagram, 0, len(datagram)):
        yield kind, datagram[start:end]


def until_refused(items: Iterator[tuple[int, bytes]]) -> list[object]:
    """What came, and whether it ended by itself."""
    found: list[object] = []
    try:
        found.extend(items)
    except DecodeError:
        found.append("refused")
    return found


@examples(300)
@given(choices)
def test_messages_and_attributes_are_pulled_as_plainly_as_can_be(choose: Random) -> None:
    datagram = damaged(choose, ANSWERS + COPIES)
    body = datagram[20:]

    assert until_refused(pulled(datagram)) == until_refused(plain.messages(datagram))
    assert until_refused(attributes(body)) == until_refused(plain.attributes(body))


@examples(500)
@given(choices)
def test_an_answer_is_decoded_or_refused_and_nothing_else(choose: Random) -> None:
    datagram = damaged(choose, ANSWERS)
    decoders: list[Callable[[bytes, Message], object]] = [
        decode_error,
        decode_counter,
        decode_table_handle,
        decode_generation,
    ]
    for decode in decoders:
        try:
            for found in pull_messages(datagram):
                decode(datagram, found)
        except DecodeError as refused:
            assert 0 <= refused.offset <= len(datagram)
