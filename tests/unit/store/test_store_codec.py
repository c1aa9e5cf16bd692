"""The spool's own form of a batch, and what is refused."""

from __future__ import annotations

import json

import pytest

from ipsecmon.errors import DecodeError
from ipsecmon.model import Batch, Increment, SelfMeasurement
from ipsecmon.store.codec import decode_batch, encode_batch
from tests.unit.store.store_cases import VPN, WEB

BATCH = Batch(
    "hq-gw1",
    10,
    20,
    (Increment(WEB, 1000, 10), Increment(VPN, 1, 2, 3, 4, lost_packets=5)),
    (SelfMeasurement("nflog", "truncated", 1),),
)
TEXT = (
    '["hq-gw1",10,20,[["web","in","wire",1000,10],["VPN-to-parent","out","inner",1,2,3,4,5]],'
    '[["nflog","truncated",1]]]'
)


def test_a_batch_is_compact_json() -> None:
    assert encode_batch(BATCH) == TEXT


def test_a_batch_comes_back_as_it_was() -> None:
    assert decode_batch(TEXT) == BATCH


def test_every_truncated_text_is_refused() -> None:
    for length in range(len(TEXT)):
        with pytest.raises(DecodeError):
            decode_batch(TEXT[:length])


def test_trailing_text_is_refused() -> None:
    with pytest.raises(DecodeError, match=f"batch is not JSON at offset {len(TEXT)}"):
        decode_batch(TEXT + "]")


INCREMENT = ["web", "in", "wire", 1000, 10]


@pytest.mark.parametrize(
    "broken",
    [
        {},
        "abcde",
        None,
        ["gw", 10, 20, []],
        ["gw", 10, 20, [], [], []],
        [7, 10, 20, [], []],
        ["gw", "10", 20, [], []],
        ["gw", 10, 20.0, [], []],
        ["gw", True, 20, [], []],
        ["gw", 10, 20, {}, []],
        ["gw", 10, 20, [], "abc"],
        ["gw", 10, 20, [INCREMENT[:4]], []],
        ["gw", 10, 20, [INCREMENT[:2]], []],
        ["gw", 10, 20, [[*INCREMENT, *range(7)]], []],
        ["gw", 10, 20, [["web", "up", "wire", 1, 1]], []],
        ["gw", 10, 20, [["web", "in", "cable", 1, 1]], []],
        ["gw", 10, 20, [["web", ["in"], "wire", 1, 1]], []],
        ["gw", 10, 20, [["web", "in", "wire", None, 1]], []],
        ["gw", 10, 20, [["web", "in", "wire", 1, False]], []],
        ["gw", 10, 20, [], [["nflog", "truncated"]]],
        ["gw", 10, 20, [], [["nflog", "truncated", "1"]]],
        ["gw", 10, 20, [], ["abc"]],
    ],
)
def test_json_that_is_no_batch_is_refused(broken: object) -> None:
    with pytest.raises(DecodeError, match="batch breaks its form"):
        decode_batch(json.dumps(broken))


@pytest.mark.parametrize("hostile", ["[" * 100_000, "9" * 100_000, "NaN", "\x00", "\ufeff[]", "[1e999]"])
def test_hostile_text_is_refused(hostile: str) -> None:
    with pytest.raises(DecodeError):
        decode_batch(hostile)
