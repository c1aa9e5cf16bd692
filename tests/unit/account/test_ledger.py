"""The books: folding copies, lines, restarts, and a store that fails."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from ipsecmon.account.ledger import Ledger
from ipsecmon.account.loss import SETTLE_NS
from ipsecmon.model import Batch, CounterKey, Direction, Increment, ObservationPoint, Reading, SelfMeasurement
from ipsecmon.packets import Packets

WEB = CounterKey("web", Direction.IN, ObservationPoint.WIRE)
OTHER = CounterKey("other", Direction.IN, ObservationPoint.WIRE)
LINE = CounterKey("T1", Direction.IN, ObservationPoint.WIRE)
NIC = CounterKey("eth1", Direction.IN, ObservationPoint.NIC)
START = 9_000_000_000


def ledger(saved: Sequence[Reading] = ()) -> Ledger:
    return Ledger("gw", {7: WEB, 65535: OTHER}, {LINE: [WEB, OTHER]}, saved)


def reading(key: CounterKey, octets: int, packets: int, birth: str = "first") -> Reading:
    return Reading(key, octets, packets, birth)


def copies(*rows: tuple[int, int]) -> Packets:
    """(group, octets) each."""
    groups, octets = [group for group, _ in rows], [length for _, length in rows]
    return Packets(np.array(groups, np.uint16), np.array(octets, np.uint32), np.full(len(rows), -1, np.int64))


def by_key(batch: Batch) -> dict[CounterKey, Increment]:
    return {one.key: one for one in batch.increments}


def at(settles: int) -> int:
    return START + settles * SETTLE_NS


def test_copies_are_folded_by_their_group() -> None:
    books = ledger()
    books.fold(copies((7, 100), (65535, 40), (7, 20)))
    books.fold(copies((7, 1)))
    books.advance([], START, True)
    found = by_key(books.batch(0, 1))
    assert (found[WEB].nflog_packets, found[WEB].nflog_octets) == (3, 121)
    assert (found[OTHER].nflog_packets, found[OTHER].nflog_octets) == (1, 40)


def test_copies_are_booked_once() -> None:
    books = ledger()
    books.fold(copies((7, 100)))
    books.advance([], START, True)
    books.fold(copies((7, 20)))
    books.advance([], START + 1, True)
    found = by_key(books.batch(0, 1))[WEB]
    assert (found.nflog_packets, found.nflog_octets) == (2, 120)


def test_copies_of_a_group_that_is_not_ours_are_counted_apart_and_booked_nowhere() -> None:
    books = ledger()
    assert books.fold(copies((0, 10), (7, 1), (8, 10), (65534, 10))) == 3
    assert books.fold(copies((7, 1))) == 0
    books.advance([], START, True)
    assert sum(one.nflog_packets for key, one in by_key(books.batch(0, 1)).items() if key != LINE) == 2


def test_an_empty_read_changes_nothing() -> None:
    books = ledger()
    assert books.fold(copies()) == 0


def test_octets_of_copies_are_summed_without_rounding() -> None:
    books = ledger()
    for _ in range(3):
        books.fold(copies(*[(7, 0xFFFFFFFF)] * 1001))
    books.advance([], START, True)
    assert by_key(books.batch(0, 1))[WEB].nflog_octets == 3 * 1001 * 0xFFFFFFFF


def test_copies_never_enter_octets_and_packets() -> None:
    books = ledger()
    books.fold(copies((7, 100)))
    books.advance([reading(WEB, 5000, 50)], START, True)
    found = by_key(books.batch(0, 1))[WEB]
    assert (found.octets, found.packets) == (5000, 50)


def test_a_line_is_the_sum_of_its_parts_in_every_column() -> None:
    books = ledger()
    books.fold(copies((7, 100), (65535, 40)))
    books.advance([reading(WEB, 5000, 50), reading(OTHER, 70, 2)], START, True)
    books.advance([], at(1), True)
    line, web, other = (by_key(books.batch(0, 1))[key] for key in (LINE, WEB, OTHER))
    for column in ("octets", "packets", "nflog_octets", "nflog_packets", "lost_packets", "pending_packets"):
        assert getattr(line, column) == getattr(web, column) + getattr(other, column)
    assert (line.packets, line.lost_packets) == (52, 50)


def test_a_counter_without_copies_is_booked_and_loses_nothing() -> None:
    books = ledger()
    books.advance([reading(NIC, 5000, 50)], START, True)
    books.advance([reading(NIC, 6000, 60)], at(1), True)
    assert by_key(books.batch(0, 1))[NIC] == Increment(NIC, 6000, 60)


def test_a_batch_is_what_happened_since_the_last_close() -> None:
    books = ledger()
    books.advance([reading(NIC, 5000, 50)], START, True)
    books.close()
    books.advance([reading(NIC, 5100, 51)], at(1), True)
    measured = [SelfMeasurement("nflog", "datagrams", 4)]
    batch = books.batch(10, 20, measured)
    assert (batch.router, batch.start_ns, batch.end_ns) == ("gw", 10, 20)
    assert batch.self_measurements == tuple(measured)
    assert by_key(batch)[NIC] == Increment(NIC, 100, 1)


def test_a_store_that_fails_loses_nothing() -> None:
    books = ledger()
    books.advance([reading(NIC, 5000, 50)], START, True)
    books.batch(0, 10)  # not closed: the store refused it
    books.advance([reading(NIC, 5100, 51)], at(1), True)
    assert by_key(books.batch(0, 20))[NIC] == Increment(NIC, 5100, 51)


def test_pending_is_a_level_and_is_not_summed_over_intervals() -> None:
    books = ledger()
    books.advance([reading(WEB, 1000, 10)], START, True)
    assert by_key(books.batch(0, 1))[WEB].pending_packets == 10
    books.close()
    books.fold(copies(*[(7, 100)] * 7))
    books.advance([reading(WEB, 1000, 10)], START + 1, True)
    assert by_key(books.batch(1, 2))[WEB].pending_packets == 3
    for _ in range(2):
        assert {one.key: one for one in books.snapshot()}[WEB].pending_packets == 3
        books.close()


def test_a_snapshot_holds_everything_closed_or_open_and_changes_nothing() -> None:
    books = ledger()
    books.advance([reading(WEB, 1000, 10)], START, True)
    books.close()
    books.advance([reading(WEB, 1500, 15)], START + 1, True)
    for _ in range(2):
        found = {one.key: one for one in books.snapshot()}
        assert (found[WEB].octets, found[LINE].octets, found[OTHER].octets) == (1500, 1500, 0)
    assert by_key(books.batch(0, 1))[WEB].octets == 500


def test_the_first_poll_bridges_what_passed_since_the_saved_readings() -> None:
    books = ledger([reading(WEB, 1000, 10)])
    assert books.adopt([reading(WEB, 1800, 18), reading(OTHER, 99, 9)], {})
    found = by_key(books.batch(0, 1))
    assert found[WEB] == Increment(WEB, 800, 8, bridged_octets=800, bridged_packets=8)
    assert found[OTHER] == Increment(OTHER, 0, 0)
    assert found[LINE].bridged_packets == 8


def test_copies_on_their_way_when_the_last_run_ended_are_bridged_too() -> None:
    books = ledger([reading(WEB, 1000, 10)])
    assert books.adopt([reading(WEB, 1000, 10)], {WEB: 4})
    assert by_key(books.batch(0, 1))[WEB] == Increment(WEB, 0, 0, bridged_packets=4)


def test_a_first_poll_after_which_nothing_passed_has_nothing_to_bridge() -> None:
    assert not ledger([reading(WEB, 1000, 10)]).adopt([reading(WEB, 1000, 10)], {})
    assert not ledger().adopt([reading(WEB, 1000, 10)], {})


@pytest.mark.parametrize(("copied_all", "lost", "bridged"), [(True, 3, 0), (False, 0, 3)])
def test_copies_missing_from_before_the_binding_are_lost_only_if_it_came_first(
    copied_all: bool, lost: int, bridged: int
) -> None:
    books = ledger()
    books.begin([reading(WEB, 1000, 10)], START, copied_all)
    books.fold(copies(*[(7, 100)] * 7))
    books.advance([reading(WEB, 1000, 10)], at(1), True)
    found = by_key(books.batch(0, 1))[WEB]
    assert (found.packets, found.nflog_packets, found.pending_packets) == (10, 7, 0)
    assert (found.lost_packets, found.bridged_packets) == (lost, bridged)


def test_a_counter_made_again_is_measured_from_the_start() -> None:
    books = ledger()
    books.advance([reading(WEB, 1000, 10)], START, True)
    books.renew([WEB, NIC])
    books.advance([reading(WEB, 100, 1, "second")], at(1), True)
    books.advance([reading(WEB, 100, 1, "second")], at(2), True)
    found = by_key(books.batch(0, 1))[WEB]
    assert (found.packets, found.lost_packets, found.pending_packets) == (11, 1, 0)


def test_ledgers_may_have_no_group_at_all() -> None:
    books = Ledger("gw", {}, {})
    assert books.fold(copies((7, 100))) == 1
    books.advance([reading(NIC, 5000, 50)], START, True)
    assert by_key(books.batch(0, 1)) == {NIC: Increment(NIC, 5000, 50)}


NEW = CounterKey("new", Direction.IN, ObservationPoint.WIRE)
WITHOUT_WEB = {65535: OTHER, 8: NEW}


def test_a_counter_that_stays_keeps_its_books_when_rules_change() -> None:
    books = ledger()
    books.begin([reading(OTHER, 0, 0)], at(0), copied_all=True)
    books.mark()
    books.fold(copies((65535, 40)))
    books.advance([reading(OTHER, 40, 1)], at(1), drained=True)
    books.change(WITHOUT_WEB, {LINE: [NEW, OTHER, WEB]})
    books.advance([reading(OTHER, 40, 1)], at(3), drained=True)
    found = by_key(books.batch(0, 1))[OTHER]
    assert (found.packets, found.nflog_packets, found.lost_packets, found.pending_packets) == (1, 1, 0, 0)


def test_copies_of_a_counter_that_has_left_are_its_own_until_it_is_retired() -> None:
    books = ledger()
    books.begin([reading(WEB, 0, 0)], at(0), copied_all=True)
    books.advance([reading(WEB, 200, 2)], at(1), drained=True)
    books.change(WITHOUT_WEB, {LINE: [NEW, OTHER, WEB]})
    assert not books.retire(WITHOUT_WEB)
    assert books.fold(copies((7, 100), (7, 100), (8, 60))) == 0
    books.advance([reading(WEB, 200, 2), reading(NEW, 60, 1)], at(2), drained=True)
    assert books.retire(WITHOUT_WEB)
    assert books.groups() == WITHOUT_WEB
    found = by_key(books.batch(0, 1))
    assert (found[WEB].packets, found[WEB].nflog_packets, found[WEB].lost_packets) == (2, 2, 0)
    assert (found[NEW].packets, found[NEW].nflog_packets) == (1, 1)
    assert (found[LINE].packets, found[LINE].nflog_packets) == (3, 3)
    assert books.fold(copies((7, 100))) == 1


def test_a_counter_is_not_retired_while_copies_of_it_wait_to_be_booked() -> None:
    books = ledger()
    books.begin([reading(WEB, 0, 0)], at(0), copied_all=True)
    books.change(WITHOUT_WEB, {LINE: [NEW, OTHER, WEB]})
    books.mark()
    books.fold(copies((7, 100)))
    books.advance([reading(WEB, 0, 0)], at(1), drained=True)
    assert not books.retire(WITHOUT_WEB)
    books.advance([reading(WEB, 100, 1)], at(2), drained=True)
    assert books.retire(WITHOUT_WEB)


def test_what_a_counter_that_left_long_ago_still_counted_is_bridged() -> None:
    books = Ledger("gw", {65535: OTHER}, {LINE: [OTHER, WEB]}, [reading(WEB, 0, 0)])
    books.begin([reading(WEB, 300, 3)], at(0), copied_all=False)
    found = by_key(books.batch(0, 1))
    assert (found[WEB].packets, found[WEB].bridged_packets) == (3, 3)
    assert (found[LINE].octets, found[LINE].bridged_octets) == (300, 300)


def test_an_interface_that_is_new_in_the_config_begins_with_a_baseline() -> None:
    books = ledger()
    books.rebase([reading(NIC, 5000, 50)])
    books.advance([reading(NIC, 5100, 51)], at(1), drained=True)
    assert by_key(books.batch(0, 1))[NIC].octets == 100


def test_copies_beyond_a_renewed_counter_are_told_and_hide_no_later_loss() -> None:
    books = ledger()
    books.advance([reading(WEB, 1000, 10)], START, True)
    books.fold(copies(*[(7, 100)] * 16))  # ten of these, three before the reload, three after it
    books.renew([WEB])
    assert books.advance([reading(WEB, 300, 3, "second")], at(1), True) == 13
    assert books.advance([reading(WEB, 800, 8, "second")], at(2), True) == 0
    books.advance([reading(WEB, 800, 8, "second")], at(3), True)
    found = by_key(books.batch(0, 1))[WEB]
    assert (found.packets, found.lost_packets, found.pending_packets) == (18, 5, 0)


def test_a_part_of_several_lines_goes_on_from_what_it_counted_as_the_part_of_one() -> None:
    """`web` had a counter, whose last packets come when it is the sum of two already."""
    books = ledger()
    books.advance([reading(WEB, 5000, 50)], START, True)
    here, there = (WEB._replace(name=f"web@{line}") for line in ("T1", "T2"))
    second = LINE._replace(name="T2")
    books.change({8: here, 9: there}, {LINE: [here, WEB, OTHER], second: [there], WEB: [here, there]})
    books.advance([reading(WEB, 5100, 51), reading(here, 300, 3), reading(there, 20, 2)], START + 1, True)
    assert books.sums_of([there]) == {second, WEB}
    found = by_key(books.batch(0, 1))
    assert {key.name: one.octets for key, one in found.items()} == {
        "T1": 5400, "T2": 20, "web": 5420, "web@T1": 300, "web@T2": 20, "other": 0,
    }  # fmt: skip
