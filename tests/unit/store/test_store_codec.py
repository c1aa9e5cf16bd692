"""The spool's own form of a batch, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from ipsecmon.errors import DecodeError
from ipsecmon.model import (
    Baseline,
    Batch,
    Direction,
    How,
    Increment,
    LineCapacity,
    Pair,
    PartIncrement,
    Reason,
    Reconciliation,
    SelfMeasurement,
    TunnelIncrement,
)
from ipsecmon.qos import Event, EventKind, QueueIncrement, QueueKey, QueuePlace
from ipsecmon.store.codec import decode_batch, encode_batch
from tests.unit.store.store_cases import PARENT_IN, PARENT_OUT, VPN, WEB

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


WITH_TUNNELS = replace(
    BATCH,
    tunnels=(
        TunnelIncrement(PARENT_IN, 1000, 10, sas=1, last_used_s=99),
        TunnelIncrement(PARENT_OUT, added_s=90),
        TunnelIncrement(PARENT_OUT._replace(peer="2001:db8::1")),
    ),
    xfrm_errors=(("XfrmInNoStates", 3),),
)
TUNNELS_TEXT = (
    TEXT[:-1]
    + ',[["VPN-to-parent","198.51.100.7","in",1000,10,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,1,0,99],'
    + '["VPN-to-parent","198.51.100.7","out",0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,null,90],'
    + '["VPN-to-parent","2001:db8::1","out"]],[["XfrmInNoStates",3]]]'
)


def test_tunnels_and_errors_come_back_as_they_were() -> None:
    assert encode_batch(WITH_TUNNELS) == TUNNELS_TEXT
    assert decode_batch(TUNNELS_TEXT) == WITH_TUNNELS


def test_what_meters_say_of_each_other_comes_back() -> None:
    gro = Reconciliation(VPN, Pair.SA_RULE, 1000, 480, 0, 520, Reason.GRO)
    batch = replace(BATCH, reconciliations=(gro, Reconciliation(WEB, Pair.RULE_NFLOG, 5, 5)))
    text = encode_batch(batch)
    assert text == (
        TEXT[:-1] + ',[],[],[["VPN-to-parent","out","inner","sa-rule",1000,480,0,520,"gro"],'
        '["web","in","wire","rule-nflog",5,5,0,0,null]]]'
    )
    assert decode_batch(text) == batch


def test_parts_of_the_line_come_back() -> None:
    parts = (
        PartIncrement("T1", "esp", Direction.IN, 1000, 10, How.COUNTED),
        PartIncrement("T1", "vpn", Direction.OUT, 0, 0, How.DERIVED),
    )
    batch = replace(BATCH, parts=parts)
    text = encode_batch(batch)
    told = '["T1","esp","in",1000,10,"counted"],["T1","vpn","out",0,0,"derived"]'
    assert text == f"{TEXT[:-1]},[],[],[],[],[{told}]]"
    assert decode_batch(text) == batch


def test_errors_without_tunnels_come_back() -> None:
    batch = replace(BATCH, xfrm_errors=(("XfrmInNoStates", 3),))
    assert decode_batch(encode_batch(batch)) == batch


def test_a_lines_capacity_comes_back() -> None:
    batch = replace(BATCH, capacities=(LineCapacity("T1", Direction.OUT, 1_544_000),))
    assert encode_batch(batch) == TEXT[:-1] + ',[],[],[],[],[],[["T1","out",1544000]]]'
    assert decode_batch(encode_batch(batch)) == batch


def test_tunnels_without_errors_come_back() -> None:
    batch = replace(WITH_TUNNELS, xfrm_errors=())
    assert decode_batch(encode_batch(batch)) == batch


@pytest.mark.parametrize("text", [TEXT, TUNNELS_TEXT])
def test_every_truncated_text_is_refused(text: str) -> None:
    for length in range(len(text)):
        with pytest.raises(DecodeError):
            decode_batch(text[:length])


def test_trailing_text_is_refused() -> None:
    with pytest.raises(DecodeError, match=f"batch is not JSON at offset {len(TEXT)}"):
        decode_batch(TEXT + "]")


INCREMENT = ["web", "in", "wire", 1000, 10]
TUNNEL = ["vpn", "192.0.2.1", "in"]
LAYER = ["vpn", "ip", "gre1", "in", 1, 1, 0, 0]
AGREEMENT = ["web", "in", "wire", "rule-nflog", 1, 1, 0, 0, None]

PART = ["T1", "esp", "in", 1000, 10, "counted"]


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
        ["gw", 10, 20, [], [], [], [], [], [], [], [], [], [], [], []],
        ["gw", 10, 20, [], [], [], [], [], {}],
        ["gw", 10, 20, [], [], [], [], [], [LAYER[:-1]]],
        ["gw", 10, 20, [], [], [], [], [], [[*LAYER, 1]]],
        ["gw", 10, 20, [], [], [], [], [], [["vpn", "cake", *LAYER[2:]]]],
        ["gw", 10, 20, [], [], [], [], [], [], [PART[:-1]]],
        ["gw", 10, 20, [], [], [], [], [], [], [[*PART, 1]]],
        ["gw", 10, 20, [], [], [], [], [], [], [[*PART[:-1], "guessed"]]],
        ["gw", 10, 20, [], [], [], [], [], [], [["T1", "esp", "up", 1, 1, "counted"]]],
        ["gw", 10, 20, [], [], [], [], [], {}],
        ["gw", 10, 20, [], [], [], [], [], [], [], [["T1", "in"]]],
        ["gw", 10, 20, [], [], [], [], [], [], [], [["T1", "up", 1]]],
        ["gw", 10, 20, [], [], [], [], [], [], [], [["T1", "in", 1.5]]],
        ["gw", 10, 20, [], [], [], [], {}],
        ["gw", 10, 20, [], [], [], [], [AGREEMENT[:-1]]],
        ["gw", 10, 20, [], [], [], [], [[*AGREEMENT, 1]]],
        ["gw", 10, 20, [], [], [], [], [[*AGREEMENT[:-1], "weather"]]],
        ["gw", 10, 20, [], [], [], [], [[*AGREEMENT[:3], "sa-sa", 1, 1, 0, 0, None]]],
        ["gw", 10, 20, [], [], {}, []],
        ["gw", 10, 20, [], [], [], {}],
        ["gw", 10, 20, [], [], [TUNNEL[:2]], []],
        ["gw", 10, 20, [], [], [[*TUNNEL, *range(23)]], []],
        ["gw", 10, 20, [], [], [["vpn", "192.0.2.1", "up"]], []],
        ["gw", 10, 20, [], [], [["vpn", 7, "in"]], []],
        ["gw", 10, 20, [], [], [[*TUNNEL, 1.5]], []],
        ["gw", 10, 20, [], [], [[*TUNNEL, None]], []],
        ["gw", 10, 20, [], [], [], [["XfrmInError"]]],
        ["gw", 10, 20, [], [], [], [["XfrmInError", "1"]]],
    ],
)
def test_json_that_is_no_batch_is_refused(broken: object) -> None:
    with pytest.raises(DecodeError, match="batch breaks its form"):
        decode_batch(json.dumps(broken))


@pytest.mark.parametrize("hostile", ["[" * 100_000, "9" * 100_000, "NaN", "\x00", "\ufeff[]", "[1e999]"])
def test_hostile_text_is_refused(hostile: str) -> None:
    with pytest.raises(DecodeError):
        decode_batch(hostile)


BASELINE = [86400, "1d", [PART]]
ESP_IN = PartIncrement("T1", "esp", Direction.IN, 1000, 10, How.COUNTED)


def test_baselines_come_back_as_they_were() -> None:
    text = json.dumps([*json.loads(TEXT), *([] for _ in range(8)), [BASELINE]], separators=(",", ":"))
    assert decode_batch(text).baselines == (Baseline(86400, "1d", (ESP_IN,)),)
    assert encode_batch(decode_batch(text)) == text


@pytest.mark.parametrize(
    "broken", [{}, BASELINE[:-1], [*BASELINE, 1], ["1", *BASELINE[1:]], [1, "1d", [PART[:-1]]]]
)
def test_a_broken_baseline_is_refused(broken: object) -> None:
    document = [*json.loads(TEXT), *([] for _ in range(8)), [broken]]
    with pytest.raises(DecodeError, match="batch breaks its form"):
        decode_batch(json.dumps(document))


QUEUE = QueueIncrement(QueueKey("wan0", "htb", "1:10", "1:1"), 1000, 10, drops=2, lends=4, backlog_packets=1)
EVENT = Event(EventKind.QDISC_CHANGED, 5, 7, "wan0: …", "wan0", 2)
PLACED = QueueIncrement(QUEUE.key, 7, place=QueuePlace("T1", Direction.OUT))
LINELESS = QueueIncrement(QUEUE.key, place=QueuePlace("", Direction.IN))
WITH_QUEUES = replace(BATCH, queues=(QUEUE, QueueIncrement(QUEUE.key, 1), PLACED, LINELESS), events=(EVENT,))


def test_queues_and_events_come_back_as_they_were() -> None:
    text = encode_batch(WITH_QUEUES)
    assert text.startswith(TEXT[:-1] + ',[],[],[],[],[],[],[["wan0","htb","1:10","1:1",1000,10,2,')
    assert '["wan0","htb","1:10","1:1","T1","out",7]' in text
    assert decode_batch(text) == WITH_QUEUES
    both = replace(WITH_QUEUES, tunnels=WITH_TUNNELS.tunnels, xfrm_errors=WITH_TUNNELS.xfrm_errors)
    assert decode_batch(encode_batch(both)) == both


@pytest.mark.parametrize(
    ("queue", "event"),
    [
        (["wan0", "htb", "1:10"], None),
        (["wan0", "htb", "1:10", "1:1", *range(99)], None),
        (["wan0", "htb", "1:10", 7], None),
        (["wan0", "htb", "1:10", "1:1", None], None),
        (["wan0", "htb", "1:10", "1:1", "T1"], None),
        (["wan0", "htb", "1:10", "1:1", "T1", "sideways", 1], None),
        (["wan0", "htb", "1:10", "1:1", "T1", 1], None),
        (["wan0", "htb", "1:10", "1:1", 1.5], None),
        (None, ["mark", 1, 2, "text", ""]),
        (None, ["marked", 1, 2, "text", "", 1]),
        (None, ["mark", True, 2, "text", "", 1]),
        (None, "mark"),
    ],
)
def test_a_broken_queue_or_event_is_refused(queue: object, event: object) -> None:
    document = [
        *json.loads(TEXT),
        *([] for _ in range(6)),
        [queue] if queue else [],
        [event] if event else [],
    ]
    with pytest.raises(DecodeError):
        decode_batch(json.dumps(document))
