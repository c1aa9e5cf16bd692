"""Whatever the names and numbers are: nothing is lost, made up or put on a second line."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from influxdb_client.client.write.point import Point

from ipsecmon.errors import Rejected, SinkError
from ipsecmon.model import (
    LINE_TERMS,
    Batch,
    CounterKey,
    Direction,
    Increment,
    ObservationPoint,
    SelfMeasurement,
    TunnelIncrement,
    TunnelKey,
)
from ipsecmon.sinks.encoding import CSV_TUNNEL, FORMATS, encode_csv, encode_json, encode_line_protocol
from ipsecmon.sinks.influxdb_answers import Answer, check_answer
from ipsecmon.sinks.point import SeriesPoint
from ipsecmon.sinks.points import points_of
from ipsecmon.sinks.selection import select

# without NUL, which the config refuses, and csv of Python 3.9 and 3.10 cannot read
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20)
NUMBERS = st.integers(0, 2**63 - 1)
KEYS = st.builds(CounterKey, NAMES, st.sampled_from(Direction), st.sampled_from(ObservationPoint))
INCREMENTS = st.builds(Increment, KEYS, *[NUMBERS] * 8)
TUNNEL_KEYS = st.builds(TunnelKey, NAMES, NAMES, st.sampled_from(Direction))
TUNNELS = st.builds(
    TunnelIncrement,
    TUNNEL_KEYS,
    *[NUMBERS] * 20,
    last_used_s=st.none() | NUMBERS,
    added_s=st.none() | NUMBERS,
)
BATCHES = st.builds(
    Batch,
    router=NAMES,
    start_ns=NUMBERS,
    end_ns=NUMBERS,
    increments=st.lists(INCREMENTS, max_size=5).map(tuple),
    self_measurements=st.lists(st.builds(SelfMeasurement, NAMES, NAMES, NUMBERS), max_size=3).map(tuple),
    tunnels=st.lists(TUNNELS, max_size=3, unique_by=lambda one: one.key).map(tuple),
    xfrm_errors=st.lists(st.tuples(NAMES, NUMBERS), max_size=2).map(tuple),
)


def counters_of(batch: Batch) -> list[Increment]:
    """What CSV has: all but the line's terms."""
    return [one for one in batch.increments if one.key.observed_at not in LINE_TERMS]


def by_the_client(point: SeriesPoint) -> bytes:
    """What InfluxData's own library writes."""
    make: Any = Point  # its types are partial
    row = make(point.measurement)
    for name, text in point.tags.items():
        row.tag(name, text)
    for name, value in point.fields.items():
        row.field(name, value)
    return f"{row.time(point.time_ns).to_line_protocol()}\n".encode()


@given(BATCHES)
def test_a_line_is_what_the_servers_own_client_writes(batch: Batch) -> None:
    assert encode_line_protocol(batch) == [by_the_client(point) for point in points_of(batch)]


def octets_of(batch: Batch, *measurements: str) -> int:
    points = [point for point in points_of(batch) if point.measurement in measurements]
    return sum(int(point.fields.get("octets", 0)) for point in points)


@given(BATCHES)
def test_the_octets_of_counters_are_those_of_all_increments(batch: Batch) -> None:
    counters = ("counter", "interface", "line_term")
    told = (one.octets for one in batch.increments if one.key.observed_at is not ObservationPoint.IP)
    assert octets_of(batch, *counters) == sum(told)  # what is inside a tunnel's GRE or L2TP is a layer


@given(BATCHES)
def test_the_octets_of_tunnels_are_those_of_their_increments_and_in_no_other_measurement(
    batch: Batch,
) -> None:
    assert octets_of(batch, "tunnel") == sum(one.octets + one.payload_octets for one in batch.tunnels)
    alone = replace(batch, increments=(), self_measurements=())
    assert {point.measurement for point in points_of(alone)} <= {"tunnel", "xfrm_error", "event"}


@given(BATCHES, st.sampled_from(sorted(FORMATS)))
def test_every_line_is_one_line(batch: Batch, name: str) -> None:
    for line in FORMATS[name].encode(batch):
        assert line.endswith(b"\n")
        assert len(line.splitlines()) == 1


@given(BATCHES, st.sampled_from(sorted(FORMATS)))
def test_the_same_batch_gives_the_same_lines(batch: Batch, name: str) -> None:
    assert FORMATS[name].encode(batch) == FORMATS[name].encode(batch)


@given(BATCHES)
def test_json_gives_every_point_back(batch: Batch) -> None:
    for line, point in zip(encode_json(batch), points_of(batch)):
        read = json.loads(line)
        assert (read["tags"], read["fields"], read["time_ns"]) == (point.tags, point.fields, point.time_ns)


@given(BATCHES)
def test_csv_gives_every_number_back(batch: Batch) -> None:
    for line, increment in zip(encode_csv(batch), counters_of(batch)):
        (cells,) = csv.reader([line.decode()])
        assert cells[6:8] == [str(increment.octets), str(increment.packets)]
        assert len(cells) == 14


@given(BATCHES)
def test_csv_has_the_octets_of_tunnels_apart(batch: Batch) -> None:
    rows = [next(csv.reader([line.decode()])) for line in encode_csv(batch)]
    apart = [int(row[6]) for row in rows if row[5] == CSV_TUNNEL]
    assert sum(apart) == sum(one.octets for one in batch.tunnels)
    assert len(rows) - len(apart) == len(counters_of(batch))


@given(BATCHES)
def test_line_protocol_has_one_line_a_point_ending_in_its_time(batch: Batch) -> None:
    lines = encode_line_protocol(batch)
    assert len(lines) == len(points_of(batch))
    assert all(line.endswith(f" {batch.start_ns}\n".encode()) for line in lines)


@given(BATCHES, st.sets(NAMES))
def test_a_selection_and_its_complement_are_the_whole(batch: Batch, names: set[str]) -> None:
    every = {one.key.name for one in batch.increments} | {one.key.tunnel for one in batch.tunnels}
    others = every - names
    chosen, rest = select(batch, names), select(batch, others)
    assert sorted(chosen.increments + rest.increments, key=repr) == sorted(batch.increments, key=repr)
    assert sorted(chosen.tunnels + rest.tunnels, key=repr) == sorted(batch.tunnels, key=repr)


@given(
    st.integers(100, 599),
    st.text(max_size=200) | st.text(max_size=50).map(lambda text: json.dumps({"error": text})),
    st.dictionaries(st.sampled_from(["retry-after", "date"]), st.text(max_size=40)),
)
def test_any_answer_is_taken_or_kept_or_refused(status: int, body: str, headers: dict[str, str]) -> None:
    try:
        check_answer(Answer(status, headers, body), "http://host")
    except SinkError as failure:
        assert "\n" not in str(failure)
        assert not isinstance(failure, Rejected) or status in (400, 422)
    else:
        assert status == 204
