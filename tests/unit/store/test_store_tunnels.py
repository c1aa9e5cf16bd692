"""Tunnels in the store: totals by peer, history by tunnel, and what a person reads of them."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pytest

from ipsecmon.agent.observe import Counters
from ipsecmon.clock import Moment
from ipsecmon.errors import StoreError
from ipsecmon.model import OTHER_PEERS, Direction, TunnelIncrement, TunnelKey
from ipsecmon.store import ALL_PEERS, Store, TunnelReport, TunnelRow, report, tunnel_report, tunnel_totals
from ipsecmon.store.sums import MAX_NUMBER
from ipsecmon.store.tunnel_rows import LEVELS, SUMS
from tests.unit.store.store_cases import (
    DAY_S,
    NS,
    PARENT_IN,
    PARENT_OUT,
    T0_S,
    batch,
    commit,
    number_in,
    opened,
    tunnels,
)

START_NS = T0_S * NS
FULL = replace(
    TunnelIncrement(PARENT_IN, *range(1, len(fields(TunnelIncrement)) - 2)),
    last_used_s=T0_S,
    added_s=T0_S - 60,
)


def _peer(number: int) -> TunnelKey:
    return TunnelKey("road-warriors", f"203.0.113.{number}", Direction.IN)


def _octets(folder: Path) -> dict[TunnelKey, int]:
    return {row.total.key: row.total.octets for row in tunnel_report(folder).rows}


def _ranged(folder: Path, start_s: int, end_s: int) -> tuple[TunnelIncrement, ...]:
    return report(folder, START_NS + start_s * NS, START_NS + end_s * NS).tunnels


def test_the_store_has_a_column_for_every_number_of_an_increment() -> None:
    assert {"key", *SUMS, *LEVELS} == set(TunnelIncrement.__dataclass_fields__)


def test_totals_add_up_and_levels_are_the_newest(tmp_path: Path) -> None:
    other = replace(
        FULL, sas=1, open_packets=0, sas_without_anti_replay=0, last_used_s=T0_S + 9, added_s=None
    )
    with opened(tmp_path) as store:
        commit(store, tunnels(0, FULL, errors={"XfrmInNoStates": 2, "XfrmInError": 1}))
        commit(store, tunnels(10, other, errors={"XfrmInNoStates": 5}))
    sums = {name: 2 * getattr(FULL, name) for name in SUMS}
    assert tunnel_report(tmp_path) == TunnelReport(
        router="hq-gw1",
        start_ns=START_NS,
        last_start_ns=START_NS + 10 * NS,
        last_end_ns=START_NS + 20 * NS,
        rows=(TunnelRow(replace(other, **sums), other),),
        xfrm_errors=(("XfrmInError", 1), ("XfrmInNoStates", 7)),
    )


def test_a_tunnel_that_the_newest_interval_does_not_know_keeps_its_total(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        commit(store, tunnels(0, FULL), tunnels(10, TunnelIncrement(PARENT_OUT, 5)))
    away, here = tunnel_report(tmp_path).rows
    assert away.total == replace(FULL, open_packets=0, sas=0, sas_without_anti_replay=0, added_s=None)
    assert away.last == TunnelIncrement(PARENT_IN, last_used_s=T0_S)
    assert here.last.octets == here.total.octets == 5


def test_when_a_tunnel_was_used_is_not_forgotten(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        commit(store, tunnels(0, FULL), tunnels(10, replace(FULL, last_used_s=None)))
    assert tunnel_report(tmp_path).rows[0].total.last_used_s == T0_S


def test_every_peer_has_a_total_and_a_tunnel_one_history(tmp_path: Path) -> None:
    one = TunnelIncrement(_peer(1), 10, 1, sas=1, last_used_s=None, added_s=70)
    other = TunnelIncrement(_peer(2), 20, 2, sas=2, last_used_s=50, added_s=60)
    with opened(tmp_path) as store:
        commit(store, tunnels(0, one, other, TunnelIncrement(PARENT_OUT, 7)), tunnels(10, one))
    assert _octets(tmp_path) == {_peer(1): 20, _peer(2): 20, PARENT_OUT: 7}
    assert _ranged(tmp_path, 0, 20) == (
        TunnelIncrement(_peer(1)._replace(peer=ALL_PEERS), 40, 4, sas=1, added_s=70),
        TunnelIncrement(PARENT_OUT._replace(peer=ALL_PEERS), 7),
    )
    assert _ranged(tmp_path, 0, 10)[0] == TunnelIncrement(
        _peer(1)._replace(peer=ALL_PEERS), 30, 3, sas=3, last_used_s=50, added_s=70
    )


def test_a_range_has_what_happened_in_it(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        commit(store, *(tunnels(600 * n, replace(FULL, sas=n)) for n in range(20)))
    (found,) = _ranged(tmp_path, 3000, 9000)
    assert {name: getattr(found, name) for name in SUMS} == {name: 10 * getattr(FULL, name) for name in SUMS}
    assert found.sas == 14
    assert _ranged(tmp_path, 20_000, 30_000) == ()


def test_history_of_tunnels_is_pruned_with_its_spans_and_totals_stay(tmp_path: Path) -> None:
    with opened(tmp_path, retention_s=20 * DAY_S) as store:
        commit(store, *(tunnels(day * DAY_S, TunnelIncrement(PARENT_IN, 10)) for day in range(31)))
    assert number_in(tmp_path, "SELECT count(*) FROM tunnel_history") == 2 + 14 + 20 + 31
    orphans = "SELECT count(*) FROM tunnel_history WHERE span_id NOT IN (SELECT id FROM span)"
    assert number_in(tmp_path, orphans) == 0
    assert _ranged(tmp_path, 0, 40 * DAY_S)[0].octets == _octets(tmp_path)[PARENT_IN] == 310


def test_a_sum_stops_at_the_largest_number_and_is_counted(tmp_path: Path) -> None:
    counts = Counters()
    large = TunnelIncrement(PARENT_IN, 2**64 - 1, MAX_NUMBER)
    with opened(tmp_path, counts=counts) as store:
        commit(store, tunnels(0, large, replace(large, key=PARENT_IN._replace(peer="192.0.2.9")), large))
        commit(store, tunnels(10, TunnelIncrement(PARENT_IN, 1, 1), errors={"XfrmInError": 2**70}))
        commit(store, tunnels(20, errors={"XfrmInError": 1}))
    assert {row.total.octets for row in tunnel_report(tmp_path).rows} == {MAX_NUMBER}
    assert _ranged(tmp_path, 0, 60)[0].packets == MAX_NUMBER
    assert tunnel_report(tmp_path).xfrm_errors == (("XfrmInError", MAX_NUMBER),)
    assert counts.totals()["store.saturated-sums"] > 0


def test_peers_that_were_away_for_the_retention_become_others_and_no_octet_goes(tmp_path: Path) -> None:
    with opened(tmp_path, retention_s=2 * DAY_S) as store:
        commit(store, tunnels(0, *(TunnelIncrement(_peer(n), n, last_used_s=n) for n in range(1, 10))))
        for day in range(1, 5):
            commit(store, tunnels(day * DAY_S, TunnelIncrement(_peer(1), 100, sas=1)))
    others = _peer(1)._replace(peer=OTHER_PEERS)
    assert _octets(tmp_path) == {_peer(1): 401, others: sum(range(2, 10))}
    assert next(row for row in tunnel_report(tmp_path).rows if row.total.key == others) == TunnelRow(
        TunnelIncrement(others, sum(range(2, 10)), last_used_s=9), TunnelIncrement(others, last_used_s=9)
    )
    assert number_in(tmp_path, "SELECT count(*) FROM tunnel WHERE peer LIKE '203.%'") == 1


def test_what_became_others_adds_to_others_that_are_here(tmp_path: Path) -> None:
    others = _peer(1)._replace(peer=OTHER_PEERS)
    with opened(tmp_path, retention_s=DAY_S) as store:
        commit(store, tunnels(0, TunnelIncrement(_peer(1), 7), TunnelIncrement(others, 10, sas=3)))
        commit(store, tunnels(2 * DAY_S, TunnelIncrement(others, 100, sas=4)))
    (row,) = tunnel_report(tmp_path).rows
    assert (row.total.octets, row.total.sas, row.last.octets) == (117, 4, 100)


def test_beyond_the_limit_those_that_were_away_for_longest_become_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tunnel_totals, "MAX_TOTALS", 5)
    with opened(tmp_path) as store:
        commit(store, *(tunnels(900 * n, TunnelIncrement(_peer(n), 1, sas=1)) for n in range(30)))
    assert number_in(tmp_path, "SELECT count(*) FROM tunnel_total") <= 6
    assert sum(_octets(tmp_path).values()) == 30
    assert _octets(tmp_path)[_peer(29)] == 1


def test_peers_that_are_here_stay_however_many_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tunnel_totals, "MAX_TOTALS", 5)
    with opened(tmp_path) as store:
        for quarter in range(3):
            commit(store, tunnels(900 * quarter, *(TunnelIncrement(_peer(n), 1, sas=1) for n in range(9))))
    assert _octets(tmp_path) == {_peer(n): 3 for n in range(9)}


def test_a_commit_that_fails_changes_no_total(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        commit(store, tunnels(0, FULL))
        with pytest.raises(StoreError):
            store.commit(tunnels(10, FULL, errors={"XfrmInError": -(2**70)}), [], [], Moment(0, 0))
    assert tunnel_report(tmp_path).rows[0] == TunnelRow(FULL, FULL)
    assert tunnel_report(tmp_path).last_end_ns == START_NS + 10 * NS


def test_the_newest_interval_is_the_last_one_also_after_a_clock_was_set_back(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        commit(store, tunnels(3600, FULL), tunnels(0, FULL))
    found = tunnel_report(tmp_path)
    assert (found.start_ns, found.last_start_ns) == (START_NS + 3600 * NS, START_NS)
    assert found.rows[0].last == FULL


def test_a_store_without_tunnels_has_none_to_show(tmp_path: Path) -> None:
    with opened(tmp_path):
        assert tunnel_report(tmp_path) == TunnelReport("", 0, 0, 0, (), ())
    with opened(tmp_path) as store:
        commit(store, batch(0))
    assert tunnel_report(tmp_path) == TunnelReport("hq-gw1", START_NS, START_NS, START_NS + 10 * NS, (), ())


def test_without_a_store_there_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"no store in .*: has ipsecmon run with this config"):
        tunnel_report(tmp_path)


def test_a_report_beside_an_agent_sees_whole_intervals(tmp_path: Path) -> None:
    store = Store(tmp_path, 10, DAY_S)
    store.start(Moment(START_NS, 0))
    for number in range(5):
        commit(store, tunnels(10 * number, FULL))
        (row,) = tunnel_report(tmp_path).rows
        assert (row.total.octets, row.last) == (number + 1, FULL)
    store.stop()
