"""SAs that are dealt with all at once are counted as one by one, whatever happens to which of them.

The same dumps and events go to two agents: one is given tables that follow each other, where most SAs only
carried packets; the other a table that follows nothing, of which it has to look at each row.
IPSECMON_LONGER multiplies the number of examples.
"""

from __future__ import annotations

import os
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipsecmon.account.sa_order import SaOrder, Swept
from ipsecmon.account.tunnel_match import TunnelMatcher, TunnelRule
from ipsecmon.account.tunnels import Tunnels
from ipsecmon.ipsec import AntiReplay, SaEnd, SaFlush, SaNews, SecurityAssociation
from ipsecmon.sa_table import SaTable
from tests.unit.account.sas import esp_sa
from tests.unit.wire.both_ends import TablesOfRows

LONGER = int(os.environ.get("IPSECMON_LONGER", "1"))
T0 = 100_000  # after any SA's last use
OWN, PEERS = "192.0.2.1", ("198.51.100.7", "198.51.100.8")
CALM = ["carry"] * 6
TROUBLES = ["lose", "come late", "forge", "begin again", "forget the window", "reverse", "use"]
LIVES = ["add", "delete", "delete unheard", "vanish", "flush", "rename"]


class Step(NamedTuple):
    """what: happens to the SA that pick picks. is_lost: no agent is given the dump after it."""

    what: str
    pick: int
    is_polled: bool
    is_lost: bool


def steps(names: list[str]) -> st.SearchStrategy[list[Step]]:
    often = st.integers(0, 9)
    one = st.builds(
        lambda what, pick, dice: Step(what, pick, dice < 6, dice == 5), st.sampled_from(names), often, often
    )
    return st.lists(one, min_size=5, max_size=60)


class Kernel:
    """rows: its SAs. events: of SAs that came or ended with a word."""

    def __init__(self) -> None:
        self.rows: list[SecurityAssociation] = []
        self.events: list[SaNews | SaEnd | SaFlush] = []
        self._spi = 0
        for _ in range(6):
            self.add()
        self.events.clear()

    def add(self) -> None:
        self._spi += 1
        self.rows.insert(0, a_row(self._spi))
        self.events.append(SaNews(self.rows[0], False))

    def take(self, step: Step) -> None:
        if step.what == "add" or not self.rows:
            return self.add()
        at = step.pick % len(self.rows)
        row = self.rows[at]
        if step.what == "reverse":
            self.rows.reverse()
        elif step.what == "flush":
            self.events.append(SaFlush(0))
            self.rows.clear()
        elif step.what.startswith("delete") or step.what == "vanish":
            del self.rows[at]
            if step.what == "delete":
                self.events.append(SaEnd(passed(row, 3), False))
        else:
            self.rows[at] = changed(row, step)
        return None


def a_row(spi: int) -> SecurityAssociation:
    peer = PEERS[spi % 2]
    source, destination = (peer, OWN) if spi % 3 else (OWN, peer)
    mode = "transport" if spi % 4 == 0 else "tunnel"
    window = 0 if spi % 5 == 0 else 32
    return esp_sa(
        spi, destination, source=source, mode=mode, anti_replay=AntiReplay(0, 0, window, 0), added_s=900 + spi
    )


def passed(row: SecurityAssociation, packets: int, lost: int = 0, unseen: int = 0) -> SecurityAssociation:
    state = row.anti_replay or AntiReplay(0, 0, 32, 0)
    highest = state.highest + packets + lost if state.window else 0
    return row._replace(
        octets=row.octets + 100 * packets,
        packets=row.packets + packets,
        used_s=row.used_s or 5000,
        last_used_s=5000 + row.packets,
        anti_replay=state._replace(highest=highest, unseen=max(0, state.unseen + unseen)),
    )


def changed(row: SecurityAssociation, step: Step) -> SecurityAssociation:
    packets = 1 + step.pick
    again = row._replace(octets=0, packets=0, anti_replay=AntiReplay(0, 0, 32, 0))
    return {
        "carry": passed(row, packets),
        "lose": passed(row, packets, lost=step.pick % 3, unseen=step.pick % 2),
        "come late": passed(row, packets)._replace(late_packets=row.late_packets + 1),
        "forge": passed(row, packets)._replace(integrity_failures=row.integrity_failures + 1),
        "begin again": passed(again, 1),
        "forget the window": passed(row, packets)._replace(anti_replay=None, last_used_s=None),
        "use": row._replace(last_used_s=(row.last_used_s or 5000) + 1),
        "rename": row._replace(reqid=row.reqid + 1),
    }[step.what]


def agent() -> Tunnels:
    matcher = TunnelMatcher([TunnelRule("first", peers=frozenset(PEERS[:1]))])
    matcher.learn((), (OWN,))
    return Tunnels(matcher)


def run_both(run: list[Step]) -> None:
    kernel, tables, swift, slow = Kernel(), TablesOfRows(), agent(), agent()
    for at_s, step in enumerate([Step("carry", 0, True, False)] * 2 + run, T0):
        kernel.take(step)
        if not step.is_polled:
            continue
        following = tables.table(list(kernel.rows))
        if step.is_lost:
            continue
        swift.dump(following, at_s)
        slow.dump(SaTable.of(kernel.rows), at_s)
        for event in kernel.events:
            swift.event(event)
            slow.event(event)
        kernel.events.clear()
        assert swift.settle({}, at_s) == slow.settle({}, at_s)
        if step.pick % 2:  # else readings stay in the tables
            assert swift.saved() == slow.saved()
    assert swift.saved() == slow.saved()


@settings(max_examples=300 * LONGER)
@given(steps(CALM + TROUBLES + LIVES))
def test_counting_all_at_once_gives_what_counting_one_by_one_gives(run: list[Step]) -> None:
    run_both(run)


@settings(max_examples=100 * LONGER)
@given(steps(CALM * 5 + TROUBLES + ["add", "delete"]))
def test_through_long_calms_too(run: list[Step]) -> None:
    run_both(run)


def test_where_packets_came_and_nothing_else_no_row_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel, tables, made, looked = Kernel(), TablesOfRows(), agent(), list[int]()
    sweep = SaOrder.sweep

    def counting(self: SaOrder, table: SaTable) -> Swept:
        swept = sweep(self, table)
        looked.append(len(swept.left))
        return swept

    monkeypatch.setattr(SaOrder, "sweep", counting)
    for number in range(5):
        kernel.rows = [passed(row, 2) for row in kernel.rows]
        made.dump(tables.table(kernel.rows), number)
        made.settle({}, number)
    assert looked[0] == len(kernel.rows) and looked[-3:] == [0, 0, 0]
