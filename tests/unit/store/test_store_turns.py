"""Who of one process writes next, and who it is that a locked file is blamed on."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from ipsecmon.errors import StoreError
from ipsecmon.model import Reading
from ipsecmon.store import Spool, Store
from ipsecmon.store.turns import Turns
from tests.unit.store.store_cases import batch, commit, moment, opened, reading

WITHIN_S = 20.0


def until_waiting(turns: Turns, number: int) -> None:
    pause = threading.Event()
    for _ in range(int(WITHIN_S * 1000)):
        if turns.waiting >= number:
            return
        pause.wait(0.001)
    raise AssertionError(f"{turns.waiting} of {number} threads wait")


def acknowledge(folder: Path, turns: Turns) -> None:
    """From opening the file on."""
    spool = Spool(folder, "a", turns)
    spool.start()
    try:
        waiting = spool.next_batch()
        assert waiting is not None
        spool.ack(waiting[0])
    finally:
        spool.stop()


def test_an_acknowledgement_waits_for_a_commit_of_its_own_process_and_calls_it_no_other_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite itself would wait for no time at all."""
    monkeypatch.setattr("ipsecmon.store.schema.BUSY_TIMEOUT_S", 0.0)
    with opened(tmp_path) as store, ThreadPoolExecutor(1) as pool:
        commit(store, batch(0), sinks=("a",))

        def readings() -> Iterator[Reading]:
            """In the middle of the commit."""
            answers.append(pool.submit(acknowledge, tmp_path, store.turns))
            until_waiting(store.turns, 1)
            yield reading(2000)

        answers: list[Future[None]] = []
        store.commit(batch(10), readings(), ["a"], moment(20))
        pool.shutdown(wait=True)
        assert [one.exception() for one in answers] == [None]
        assert store.backlog("a").batches == 1


def test_turns_come_in_the_order_in_which_they_were_asked_for(tmp_path: Path) -> None:
    turns, order = Turns(), []

    def take(number: int) -> None:
        with turns.turn(tmp_path):
            order.append(number)

    with ThreadPoolExecutor(5) as pool, turns.turn(tmp_path):
        for number in range(5):
            pool.submit(take, number)
            until_waiting(turns, number + 1)
        assert order == []
    assert order == [0, 1, 2, 3, 4]
    assert turns.waiting == 0


def test_a_turn_that_does_not_come_is_an_error_and_the_next_one_has_its_turn(tmp_path: Path) -> None:
    turns = Turns(within_s=0.05)
    with turns.turn(tmp_path / "store"), ThreadPoolExecutor(1) as pool:
        refused = pool.submit(lambda: turns.turn(tmp_path / "store").__enter__())
        with pytest.raises(StoreError, match=r"written to by ipsecmon itself for 0\.05 s: check the disk"):
            refused.result(WITHIN_S)
        assert turns.waiting == 0
    with turns.turn(tmp_path / "store"):
        pass


def test_a_write_that_fails_gives_its_turn_on(tmp_path: Path) -> None:
    turns = Turns(within_s=0.05)
    with pytest.raises(ValueError, match="broken"), turns.turn(tmp_path):
        raise ValueError("broken")
    with turns.turn(tmp_path):
        pass


def test_every_way_of_the_store_to_write_ends_its_turn(tmp_path: Path) -> None:
    store = Store(tmp_path, 10, 86400)
    store.start(moment(0))
    commit(store, batch(0), sinks=("a",))
    store.set_state("x", "y")
    store.save_readings([reading(1)], moment(20).wall_ns)
    store.forget_sinks_except(["b"])
    store.stop()
    with store.turns.turn(tmp_path):
        assert store.turns.waiting == 0
