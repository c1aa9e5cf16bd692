"""Any run of dumps comes out of its records as it went in; damaged ones are DecodeError and nothing else."""

from __future__ import annotations

from random import Random
from typing import Optional

from hypothesis import given
from hypothesis import strategies as st

from ipsecmon.errors import DecodeError
from ipsecmon.ipsec import Policy, SaEvent, SecurityAssociation
from ipsecmon.wire.sa_changes import compare_rows
from ipsecmon.wire.sa_dumps import DumpDecoder
from ipsecmon.wire.sa_records import encode_dump
from ipsecmon.wire.sa_rows import decode_events, encode_events
from tests.unit.wire.both_ends import listed
from tests.unit.wire.made_up import damaged
from tests.unit.wire.sa_rows import EVENTS, POLICIES, SAS, a_policy, an_sa, moved

SEEDS = 2000


@given(st.lists(st.tuples(st.lists(SAS, max_size=6), st.none() | st.lists(POLICIES, max_size=2)), max_size=4))
def test_any_dump_after_any_other_comes_out_as_it_went_in(
    dumps: list[tuple[list[SecurityAssociation], Optional[list[Policy]]]],
) -> None:
    decoder = DumpDecoder()
    last: list[SecurityAssociation] = []
    for rows, policies in dumps:
        assert listed(decoder.decode(encode_dump(compare_rows(rows, last), policies))) == (rows, policies)
        last = rows


@given(st.data())
def test_any_mixture_of_sas_that_stay_move_and_come_comes_out_as_it_went_in(data: st.DataObject) -> None:
    decoder = DumpDecoder()
    last: list[SecurityAssociation] = []
    for spi in range(3):
        is_shuffled = data.draw(st.booleans())
        kept = list(data.draw(st.permutations(last))) if is_shuffled else last
        kept = [moved(row, data.draw(st.integers(0, 2))) for row in kept if data.draw(st.integers(0, 3))]
        rows = [*kept, *(an_sa(10 * spi + one) for one in range(data.draw(st.integers(0, 3))))]
        assert list(decoder.decode(encode_dump(compare_rows(rows, last), None)).sas) == rows
        last = rows


@given(st.lists(EVENTS, max_size=5))
def test_any_events_come_out_as_they_went_in(events: list[SaEvent]) -> None:
    assert decode_events(encode_events(events)) == events


def test_damaged_records_are_decoded_or_refused_and_nothing_else() -> None:
    rows = [an_sa(spi) for spi in range(4)]
    seeds = [
        encode_dump(compare_rows(rows, ()), [a_policy()]),
        encode_dump(compare_rows([moved(rows[3]), an_sa(9), *rows[:2]], rows), None),
        encode_dump(compare_rows([*map(moved, rows)], rows), None),
    ]
    taken = 0
    for seed in range(SEEDS):
        decoder = DumpDecoder()
        decoder.decode(seeds[0])
        try:
            decoder.decode(damaged(Random(seed), seeds))
            taken += 1
        except DecodeError as error:
            assert error.offset >= 0
    assert SEEDS * 0.02 < taken < SEEDS * 0.95
