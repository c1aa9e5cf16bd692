"""Batches as text."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import pytest

from ipsecmon.model import Batch, CounterKey, Direction, ObservationPoint
from ipsecmon.sinks.encoding import CSV_COLUMNS, FORMATS, encode_csv, encode_json, encode_line_protocol

from .samples import START_NS, batch, increment


def named(name: str) -> Batch:
    key = CounterKey(name, Direction.UNKNOWN, ObservationPoint.PAYLOAD)
    return Batch("hq-gw1", START_NS, START_NS + 10**10, (increment(key),))


def test_line_protocol_has_integers_and_nanoseconds() -> None:
    lines = encode_line_protocol(batch())
    assert lines[0] == (
        b"counter,counter=VPN-to-parent,direction=in,observed_at=wire,router=hq-gw1"
        b" octets=1500i,packets=3i 1795323600000000000\n"
    )
    assert lines[-1] == b"agent,component=nflog,kind=overrun,router=hq-gw1 value=0i 1795323600000000000\n"


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("a b", rb"a\ b"),
        ("a,b=c", rb"a\,b\=c"),
        ("Büro", "Büro".encode()),
        ('say "hi"', rb'say\ "hi"'),
        ("two\nlines", rb"two\nlines"),
    ],
)
def test_line_protocol_escapes_what_is_special_in_a_tag(name: str, written: bytes) -> None:
    assert b",counter=" + written + b",direction=unknown," in encode_line_protocol(named(name))[0]


def test_json_has_one_object_a_point() -> None:
    first = json.loads(encode_json(batch())[0])
    assert first == {
        "measurement": "counter",
        "tags": {"router": "hq-gw1", "counter": "VPN-to-parent", "direction": "in", "observed_at": "wire"},
        "fields": {"octets": 1500, "packets": 3},
        "time_ns": START_NS,
    }


def test_csv_has_one_row_an_increment_and_none_about_the_agent() -> None:
    rows = [row.decode().rstrip("\n") for row in encode_csv(batch())]
    times = "2026-11-22T05:00:00Z,2026-11-22T05:00:10Z,hq-gw1"
    assert rows == [
        f"{times},VPN-to-parent,in,wire,1500,3,1100,2,1,4,5,6",
        f"{times},web,out,inner,90,1,1100,2,1,4,5,6",
        f"{times},eth1,in,nic,1600,3,1100,2,1,4,5,6",
    ]


def test_the_csv_header_names_every_column() -> None:
    header = FORMATS["csv"].header.decode().rstrip("\n").split(",")
    assert tuple(header) == CSV_COLUMNS
    assert len(header) == len(encode_csv(batch())[0].split(b","))


def test_csv_keeps_a_fraction_of_a_second_so_that_starts_stay_apart() -> None:
    row = encode_csv(replace(batch(), start_ns=START_NS + 1))[0]
    assert row.startswith(b"2026-11-22T05:00:00.000000001Z,2026-11-22T05:00:10Z,")


def test_csv_quotes_what_would_break_a_row() -> None:
    (row,) = encode_csv(named('a,"b"'))
    assert next(csv.reader([row.decode()]))[3] == 'a,"b"'


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("text", ["two\nlines", "carriage\rreturn", "line\u2028separator", "Büro"])
def test_a_name_never_makes_a_second_line(name: str, text: str) -> None:
    for line in FORMATS[name].encode(named(text)):
        assert line.endswith(b"\n")
        assert line.count(b"\n") == 1
        assert b"\r" not in line
