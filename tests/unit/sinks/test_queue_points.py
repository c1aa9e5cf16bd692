"""Queues and events as points, and as lines of InfluxDB's protocol."""

from __future__ import annotations

from dataclasses import replace

from ipsecmon.model import Direction
from ipsecmon.qos import Event, EventKind, QueueIncrement, QueueKey, QueuePlace
from ipsecmon.sinks.encoding import encode_csv, encode_line_protocol
from ipsecmon.sinks.points import points_of
from ipsecmon.sinks.queue_points import NUMBERS
from ipsecmon.sinks.selection import has_any, select
from tests.unit.sinks.samples import START_NS, batch

ON_T1 = QueuePlace("T1", Direction.OUT)
HTB = QueueKey("wan0", "htb", "1:10", "1:1")
CHANGED = Event(EventKind.QDISC_CHANGED, START_NS + 7, START_NS + 7, 'wan0: "x", y=z', "wan0", 2)
MARK = Event(EventKind.MARK, START_NS - 10**18, START_NS - 10**18 + 5 * 10**9, "VoIP first")
BATCH = replace(
    batch(),
    queues=(
        QueueIncrement(
            HTB,
            1000,
            10,
            drops=2,
            lends=0,
            borrows=3,
            backlog_packets=4,
            place=ON_T1,
        ),
    ),
    events=(CHANGED, MARK),
)


def test_a_queue_has_what_its_kind_counts_and_no_more() -> None:
    (point,) = (one for one in points_of(BATCH) if one.measurement == "qdisc")
    assert point.tags == {
        "router": "hq-gw1",
        "line": "T1",
        "interface": "wan0",
        "direction": "out",
        "kind": "htb",
        "handle": "1:10",
        "parent": "1:1",
    }
    assert set(point.fields) == {*NUMBERS, "lends", "borrows"}
    assert (point.fields["drops"], point.fields["lends"], point.fields["backlog_packets"]) == (2, 0, 4)
    assert point.time_ns == START_NS


def test_a_queue_of_no_line_has_no_line_tag() -> None:
    queue = QueueIncrement(HTB, 1000, place=QueuePlace("", Direction.IN))
    (point,) = (one for one in points_of(replace(BATCH, queues=(queue,))) if one.measurement == "qdisc")
    assert point.tags["direction"] == "in" and "line" not in point.tags


def test_a_queue_of_an_earlier_version_is_sent_again_in_its_own_series() -> None:
    (point,) = (
        one
        for one in points_of(replace(BATCH, queues=(QueueIncrement(HTB, 1000),)))
        if one.measurement == "qdisc"
    )
    assert set(point.tags) == {"router", "interface", "kind", "handle", "parent"}


def test_an_event_stands_at_its_own_time_with_its_end_in_milliseconds() -> None:
    lines = [one.decode() for one in encode_line_protocol(BATCH) if one.startswith(b"event,")]
    assert lines == [
        "event,interface=wan0,kind=qdisc-changed,router=hq-gw1 "
        f'count=2i,end_ms={START_NS // 10**6}i,text="wan0: \\"x\\", y=z" {START_NS + 7}\n',
        "event,kind=mark,router=hq-gw1 "
        f'count=1i,end_ms={MARK.end_ns // 10**6}i,text="VoIP first" {MARK.start_ns}\n',
    ]


def test_a_selection_takes_queues_and_events_by_their_interface() -> None:
    chosen = select(BATCH, ["wan0"])
    assert (chosen.queues, chosen.events) == (BATCH.queues, (CHANGED,))
    assert select(BATCH, ["T1"]).queues == BATCH.queues  # those of an ifb have no other name in a config
    assert has_any(chosen)
    assert not has_any(select(BATCH, ["web elsewhere"]))


def test_neither_has_a_row_in_csv() -> None:
    assert encode_csv(BATCH) == encode_csv(batch())
