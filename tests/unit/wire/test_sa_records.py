"""What main decodes is what the helper had, by the same objects where nothing changed; else it is refused."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest

from ipsecmon.errors import DecodeError
from ipsecmon.ipsec import Mark, SecurityAssociation
from ipsecmon.wire.sa_changes import COUNTED, ESN, REPLAY, compare_rows
from ipsecmon.wire.sa_dumps import DumpDecoder
from ipsecmon.wire.sa_records import encode_dump
from ipsecmon.wire.sa_rows import (
    MAX_TEXT,
    decode_events,
    decode_policies,
    decode_rows,
    encode_events,
    encode_rows,
)
from tests.unit.wire.both_ends import listed
from tests.unit.wire.sa_rows import a_policy, an_sa, moved
from tests.unit.wire.xfrm_messages import KEY, recorded_events, recorded_policies, recorded_states

ROWS = [an_sa(spi) for spi in range(10)]
HEADER_OCTETS, BLOCK_OCTETS, MOVED_OCTETS, RUN_OCTETS = 20, 12, 68, 8


def decoder_of(rows: list[SecurityAssociation]) -> DumpDecoder:
    decoder = DumpDecoder()
    decoder.decode(encode_dump(compare_rows(rows, ()), None))
    return decoder


def test_what_a_kernel_told_comes_out_as_it_went_in() -> None:
    states, policies, events = recorded_states(), recorded_policies(), recorded_events()

    assert listed(DumpDecoder().decode(encode_dump(compare_rows(states, ()), policies))) == (states, policies)
    assert decode_events(encode_events(events)) == events
    assert len(states) > 10 and len(policies) > 5 and len(events) > 5


def test_where_nothing_changed_nothing_is_told_and_objects_stay() -> None:
    decoder = decoder_of(ROWS)
    before = list(decoder.table)
    records = encode_dump(compare_rows(ROWS, ROWS), None)

    assert len(records) <= HEADER_OCTETS + RUN_OCTETS
    sas, policies = decoder.decode(records)
    assert policies is None and all(one is other for one, other in zip(sas, before)) and list(sas) == ROWS


def test_rows_that_are_equal_but_other_objects_are_unchanged() -> None:
    equal = [an_sa(spi) for spi in range(10)]
    assert compare_rows(equal, ROWS) == compare_rows(ROWS, ROWS)


def test_of_an_sa_that_moved_its_counters_alone_are_told() -> None:
    decoder = decoder_of(ROWS)
    before = list(decoder.table)
    now = [*ROWS[:4], moved(ROWS[4]), *ROWS[5:]]
    records = encode_dump(compare_rows(now, ROWS), None)

    assert len(records) == HEADER_OCTETS + RUN_OCTETS + BLOCK_OCTETS + MOVED_OCTETS
    assert list(decoder.decode(records).sas) == now
    assert [one is other for one, other in zip(decoder.table, before)].count(False) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"reqid": 9},
        {"added_s": 1002},
        {"if_id": 7},
        {"cpu": 1},
        {"anti_replay": None},
        {"replay_window": 64},
        {"is_keyed": False},
    ],
)
def test_an_sa_of_which_anything_else_changed_is_told_whole(change: dict[str, Any]) -> None:
    now = [*ROWS[:4], ROWS[4]._replace(**change), *ROWS[5:]]
    records = encode_dump(compare_rows(now, ROWS), None)

    assert b"192.0.2.1" in records and records.count(b"192.0.2.2") == 1
    assert list(decoder_of(ROWS).decode(records).sas) == now


def test_sas_may_come_go_and_change_places_while_others_move() -> None:
    decoder = decoder_of(ROWS)
    before = {row.spi: row for row in decoder.table}
    now = [an_sa(20), *ROWS[7:], moved(ROWS[1]), an_sa(21), an_sa(1, mark=Mark(3, 3)), *ROWS[2:5]]
    sas = decoder.decode(encode_dump(compare_rows(now, ROWS), None)).sas

    assert list(sas) == now
    assert all(row is before[row.spi] for row in sas if row.spi in (7, 8, 9, 2, 3, 4))


def test_an_empty_dump_forgets_all() -> None:
    decoder = decoder_of(ROWS)
    assert listed(decoder.decode(encode_dump(compare_rows((), ROWS), None))) == ([], None)
    assert list(decoder.table) == []


def test_no_policies_are_told_apart_from_policies_as_before() -> None:
    assert DumpDecoder().decode(encode_dump(compare_rows((), ()), [])).policies == []
    assert DumpDecoder().decode(encode_dump(compare_rows((), ()), None)).policies is None


def test_a_number_that_no_kernel_has_is_refused() -> None:
    with pytest.raises(DecodeError, match="number out of range"):
        encode_dump(compare_rows([ROWS[0]._replace(late_packets=1 << 40)], ROWS[:1]), None)


def test_records_hold_no_key() -> None:
    states, events = recorded_states(), recorded_events()
    records = encode_dump(compare_rows(states, ()), recorded_policies()) + encode_events(events)
    for octet in (0xA5, 0xB6, 0xC7, 0xD8):
        assert bytes([octet] * 3) not in records and bytes([octet] * 3).hex().encode() not in records
    assert KEY[:1] == b"\xa5"


def header(*fields: int) -> bytes:
    return struct.pack("=4Ib3x", *fields)


def block(kind: int, octets: int, rows: int) -> bytes:
    return struct.pack("=2B2xII", kind, 1, octets, rows)


@pytest.mark.parametrize(
    "records",
    [
        b"",
        header(0, 0, 0, 0, 0) + b"x",
        header(1, 0, 0, 0, 0),
        header(0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0),
        header(1, 0, 0, 0, 0) + struct.pack("=2I", 0, 11),
        header(1, 0, 0, 0, 0) + struct.pack("=2I", 11, 0),
        header(1, 0, 0, 0, 0) + struct.pack("=2I", 0xFFFFFFFF, 1),
        header(0, 1, 0, 0, 0) + block(COUNTED, 20, 1) + bytes(MOVED_OCTETS),
        header(0, 1, 0, 0, 0) + block(COUNTED, 20, 1) + bytes(MOVED_OCTETS - 1),
        header(0, 2, 0, 0, 0) + block(COUNTED, 20, 0),
        header(0, 1, 0, 0, 0) + block(COUNTED, 19, 0),
        header(0, 1, 0, 0, 0) + block(REPLAY, 16, 0),
        header(0, 1, 0, 0, 0) + block(ESN, 18, 0),
        header(0, 1, 0, 0, 0) + block(ESN, 0xFFFFFFFC, 0),
        header(0, 1, 0, 0, 0) + block(9, 0, 0),
        header(0, 0xFFFFFFFF, 0, 0, 0) + block(COUNTED, 20, 0xFFFFFFFF),
        header(0, 0, 2, 0, 0) + b"{}",
        header(0, 0, 2, 0, 0) + b"[1",
        header(0, 0, 0, 3, 1) + b"[1]",
        header(0, 0, 0, 2, 1) + b"\xff\xff",
    ],
)
def test_a_malformed_dump_is_refused_and_the_next_is_as_good(records: bytes) -> None:
    decoder = decoder_of(ROWS)
    with pytest.raises(DecodeError):
        decoder.decode(records)
    assert list(decoder.decode(encode_dump(compare_rows(ROWS, ROWS), None)).sas) == ROWS


def test_a_dump_that_is_cut_short_or_goes_on_is_refused() -> None:
    records = encode_dump(compare_rows([moved(ROWS[0]), an_sa(30)], ROWS), [a_policy()])
    for wrong in (*(records[:at] for at in range(len(records))), records + b" "):
        with pytest.raises(DecodeError):
            decoder_of(ROWS).decode(wrong)


@pytest.mark.parametrize("value", [None, True, -1, 1.5, 1 << 64, "x", [], {}, "1" * (MAX_TEXT + 1)])
@pytest.mark.parametrize("at", range(9))
def test_a_field_of_another_form_is_refused(at: int, value: object) -> None:
    fields = json.loads(encode_rows(ROWS[:1]))[0]
    if type(value) is type(fields[at]) and len(str(value)) <= MAX_TEXT:
        return
    fields[at] = value
    with pytest.raises(DecodeError, match="malformed record"):
        decode_rows(json.dumps([fields]).encode())


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"1",
        b"[[]]",
        b'[["news"]]',
        b'[["birth",1]]',
        b'[["flush"]]',
        b'[["flush",-1]]',
        b'[["soft",[]]]',
        b"[" * 100_000,
    ],
)
def test_malformed_events_are_refused(text: bytes) -> None:
    with pytest.raises(DecodeError, match="malformed record"):
        decode_events(text)


@pytest.mark.parametrize("text", [b"{}", b"[1]", b"[[]]", b'[["x"]]'])
def test_malformed_policies_are_refused(text: bytes) -> None:
    with pytest.raises(DecodeError, match="malformed record"):
        decode_policies(text)
