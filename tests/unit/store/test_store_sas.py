"""Saved SAs: as the last commit left them, and no row written that need not be."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from unittest import mock

import pytest

from ipsecmon.agent.observe import Counters
from ipsecmon.clock import Moment
from ipsecmon.errors import StoreError
from ipsecmon.ipsec import AntiReplay, Encapsulation, Mark, Offload, SavedSas, SecurityAssociation
from ipsecmon.model import Direction
from ipsecmon.store import Store
from tests.unit.store.store_cases import T0_S, commit, number_in, opened, sa, save, tunnels

LARGEST = 2**64 - 1
FULL = sa(
    0xFFFFFFFF,
    set_mark=Mark(1, 0xFF),
    mark=Mark(2**32 - 1, 2**32 - 1),
    direction=Direction.IN,
    encapsulation=Encapsulation("espinudp", 4500, 4501, "203.0.113.5"),
    octets=LARGEST,
    packets=LARGEST,
    anti_replay=AntiReplay(LARGEST, 7, 1024, 1023, True),
    used_s=T0_S - 5,
    last_used_s=T0_S,
    offload=Offload(True, False, 3, "eth1"),
    cpu=1,
    late_packets=1,
    replayed_packets=2,
    integrity_failures=3,
)
BARE = sa(2, selector=None, anti_replay=None, is_keyed=False)


def _changed_rows(store: Store, after_s: int, saved: SavedSas) -> int:
    """How many a commit deletes from the table of SAs, or writes to it or to that of their numbers."""
    statements: list[str] = []
    store._opened.set_trace_callback(statements.append)
    save(store, after_s, saved)
    store._opened.set_trace_callback(None)
    return sum(any(word in one for word in ("FROM sa ", "INTO sa ", "INTO sa_count ")) for one in statements)


def test_every_part_of_an_sa_comes_back(tmp_path: Path) -> None:
    saved = SavedSas((FULL, BARE), T0_S, frozenset({BARE.id}))
    with opened(tmp_path) as store:
        assert store.saved_sas() == SavedSas()
        save(store, 0, saved)
        assert store.saved_sas() == saved
    with opened(tmp_path) as store:
        assert store.saved_sas() == saved


def test_readings_without_a_batch_may_take_the_bound_from_the_sas(tmp_path: Path) -> None:
    saved = SavedSas((FULL, BARE), T0_S)
    with opened(tmp_path) as store:
        save(store, 0, saved)
        store.save_readings([], T0_S, saved.without_bound())
        assert store.saved_sas() == saved.without_bound()
        save(store, 10, saved)
        assert store.saved_sas() == saved


def test_a_commit_that_can_give_no_pages_back_is_safe_all_the_same(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        full = sqlite3.OperationalError("database or disk is full")
        with mock.patch("ipsecmon.store.room.shrink", side_effect=full):
            save(store, 0, SavedSas((FULL,), T0_S))
        save(store, 10, SavedSas((FULL, BARE), T0_S + 10))
        assert store.saved_sas().sas == (FULL, BARE)


def test_a_commit_without_sas_leaves_those_that_are_there(tmp_path: Path) -> None:
    saved = SavedSas((FULL,), T0_S)
    with opened(tmp_path) as store:
        save(store, 0, saved)
        commit(store, tunnels(10))
        assert store.saved_sas() == saved


def test_the_newest_numbers_stay_and_sas_that_are_gone_go(tmp_path: Path) -> None:
    first = [sa(spi, 10) for spi in range(5)]
    second = [first[0], sa(1, 11), sa(2, 10, reqid=8), sa(9, 1)]
    with opened(tmp_path) as store:
        save(store, 0, SavedSas(tuple(first), T0_S))
        save(store, 10, SavedSas(tuple(second), T0_S + 10))
        found = store.saved_sas()
        assert sorted(found.sas) == sorted(second)
        assert found.since_s == T0_S + 10
        save(store, 20, SavedSas((), T0_S + 20))
        assert store.saved_sas() == SavedSas((), T0_S + 20)


def test_only_what_changed_is_written(tmp_path: Path) -> None:
    sas = [sa(spi, 10) for spi in range(100)]
    with opened(tmp_path) as store:
        save(store, 0, SavedSas(tuple(sas), T0_S))
        assert _changed_rows(store, 10, SavedSas(tuple(sas), T0_S)) == 0
        sas[:3] = [sa(spi, 11) for spi in range(3)]
        assert _changed_rows(store, 20, SavedSas(tuple(reversed(sas)), T0_S)) == 3
        sas[0] = sa(1000)
        assert _changed_rows(store, 30, SavedSas(tuple(sas), T0_S)) == 3
        assert sorted(store.saved_sas().sas) == sorted(sas)


def test_an_sa_is_awaited_as_long_as_it_is_said_to_be(tmp_path: Path) -> None:
    one, other = sa(1), sa(2)
    with opened(tmp_path) as store:
        for number, awaited in enumerate([{one.id}, {one.id, other.id}, {other.id}, set()]):
            saved = SavedSas((one, other), T0_S, frozenset(awaited))
            save(store, 10 * number, saved)
            assert store.saved_sas() == saved


def test_after_a_commit_that_failed_the_next_writes_what_it_had_to(tmp_path: Path) -> None:
    first, second = (sa(1, 10), sa(2, 10)), (sa(1, 20), sa(3))
    with opened(tmp_path) as store:
        save(store, 0, SavedSas(first, T0_S))
        batch = tunnels(10)
        full = mock.patch(
            "ipsecmon.store.store.clock_steps.add", side_effect=sqlite3.OperationalError("full")
        )
        with full, pytest.raises(StoreError):
            store.commit(batch, [], [], Moment(batch.end_ns, 0), 1, SavedSas(second, T0_S + 10))
        assert store.saved_sas() == SavedSas(first, T0_S)
        save(store, 20, SavedSas(second, T0_S + 20))
        assert store.saved_sas() == SavedSas(second, T0_S + 20)


def test_the_next_agent_goes_on_from_what_the_last_one_left(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        save(store, 0, SavedSas((sa(1, 10), sa(2, 10)), T0_S))
    with opened(tmp_path) as store:
        save(store, 10, SavedSas((sa(2, 20), sa(3)), T0_S + 10))
        assert store.saved_sas() == SavedSas((sa(2, 20), sa(3)), T0_S + 10)
    assert number_in(tmp_path, "SELECT count(*) FROM sa") == 2


def test_two_sas_of_one_second_with_one_spi_leave_no_row_behind(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        save(store, 0, SavedSas((sa(1, 10), sa(1, 20)), T0_S))
        save(store, 10, SavedSas((sa(1, 30),), T0_S))
        assert store.saved_sas().sas == (sa(1, 30),)


DAMAGE = [
    "sa SET still = '['",
    "sa SET still = x'ff00'",
    "sa SET still = '[]'",
    "sa SET still = replace(still, '\"tunnel\"', '7')",
    "sa_count SET highest = NULL",
    "sa_count SET id = 77",
]


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_sa_is_skipped_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    good: tuple[SecurityAssociation, ...] = (sa(1, 10), sa(3, 10))
    with opened(tmp_path) as store:
        save(store, 0, SavedSas((good[0], sa(2, 10), good[1]), T0_S, frozenset({sa(2).id})))
    with contextlib.closing(sqlite3.connect(tmp_path / "ipsecmon.sqlite")) as connection, connection:
        assert connection.execute(f"UPDATE {damage} WHERE id = 2").rowcount == 1
    counts = Counters()
    with opened(tmp_path, counts=counts) as store:
        assert store.saved_sas() == SavedSas(good, T0_S)
        assert counts.totals() == {"store.damaged-sas": 1}
        assert "saved SAs cannot be read, these begin anew sas=1" in caplog.text
        save(store, 10, SavedSas(good, T0_S + 10))
    assert number_in(tmp_path, "SELECT count(*) FROM sa") == 2


def test_a_damaged_time_is_as_if_nothing_had_been_saved(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        save(store, 0, SavedSas((sa(1, 10),), T0_S))
        store.set_state("tunnels.since_s", "yesterday")
        assert store.saved_sas() == SavedSas()
