"""The lives of SAs: from dumps and events to what passed through each one, nothing twice and no tail lost.

A poll is: dump(), then every event that came meanwhile, then settle(). A dump is never older than the events
given before it, while an event given after it may be: so rows wait for settle(), where an SA that ended
since is left to its final counters. How a life begins: at 0 if it was added since the last dump; where
its predecessor stands if it was moved (MIGRATE tells nobody, MOBIKE deletes and adds); else unknown: a
baseline. How it ends: by DELSA or a hard EXPIRE with final counters, or unseen, after FLUSHSA, an
overrun, or while no agent ran: then what it counted since its last reading is known to nobody.
SAs where nothing changed, or only packets came, are dealt with all at once (sa_order.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Optional

from ipsecmon.account.sa_life import Life, Passed, measure_certain_loss, replace_counters
from ipsecmon.account.sa_order import SaOrder
from ipsecmon.account.sa_origins import EndedSas, find_origin, moved_key
from ipsecmon.ipsec import SaEnd, SaEvent, SaFlush, SaId, SaNews, SecurityAssociation
from ipsecmon.sa_table import SaTable

__all__ = ["SaLives"]

_IPSEC_PROTOCOLS = (50, 51, 108)  # what a flush of 255 means (IPSEC_PROTO_ANY)


class SaLives:
    """saved: SAs as the last agent left them; saved_s: its since_s; awaited: its awaited()."""

    def __init__(
        self,
        saved: Iterable[SecurityAssociation] = (),
        saved_s: Optional[int] = None,
        awaited: frozenset[SaId] = frozenset(),
    ) -> None:
        self._alive: dict[SaId, Life] = {}
        self._ended = EndedSas()
        self._passed: list[Passed] = []
        self._touched: list[Life] = []
        self._born: list[Life] = []
        self._order = SaOrder()
        self._rows: Optional[SaTable] = None
        self._rows_s: Optional[int] = None
        self._ended_since_dump: dict[SaId, set[str]] = {}  # with sources: moving may change this alone
        self._has_missed = False  # events, since the dump that waits
        self._has_gaps = True  # some life may
        self._since_s = self._before_s = saved_s
        self._is_bridging = saved_s is not None
        self._dumps = 0
        self.settled = 0
        for sa in saved:
            read_at = -1 if sa.id in awaited else 0
            lost = measure_certain_loss(sa)
            self._begin(Life(sa, lost, read_at, is_dumped=True, has_gap=True, is_bridging=True))

    @property
    def since_s(self) -> Optional[int]:
        """The wall clock's second before the last settled dump."""
        return self._since_s

    def alive(self) -> Iterator[Life]:
        """As last read."""
        return iter(self._alive.values())

    def touched(self) -> list[Life]:
        """Lives that began, ended or of which more was read than that packets came; some twice."""
        touched, self._touched = self._touched, []
        return touched

    def awaited(self) -> frozenset[SaId]:
        """Those that the last dump did not have, and whose end has not come. Asked right after settle()."""
        return frozenset(life.sa.id for life in self._alive.values() if life.read_at != self.settled)

    def place(self, lives: Iterable[Life]) -> None:
        """Lives that have another account than before."""
        for life in lives:
            self._order.note(life)

    def dump(self, sas: SaTable, at_s: int) -> None:
        """All SAs. at_s: the wall clock's second before they were asked for."""
        self._rows, self._rows_s = sas, at_s
        self._dumps += 1
        self._has_missed = False
        self._ended_since_dump.clear()
        if self._has_gaps:
            for life in self._alive.values():
                life.has_gap, life.has_late_gap = life.has_gap or life.has_late_gap, False

    def event(self, event: SaEvent) -> None:
        """One event, in the order of the socket."""
        if isinstance(event, SaNews):
            self._announce(event.sa, event.is_update)
        elif isinstance(event, SaEnd):
            self._end(event.sa)
        elif isinstance(event, SaFlush):
            self.miss_events(event.protocol)

    def miss_events(self, protocol: int = 0) -> None:
        """Events were lost, or a flush names no SA: those alive now may have ended unseen."""
        self._has_missed = self._has_gaps = True
        protocols = _IPSEC_PROTOCOLS if protocol == 255 else (protocol,)
        for life in self._alive.values():
            life.has_late_gap |= not protocol or life.sa.protocol in protocols

    def settle(self) -> list[Passed]:
        """What happened since the last time, but for what is in accounts.

        All events that came before and with the dump were given.
        """
        self.settled += 1
        if self._rows is not None:
            self._compare(self._rows)
            self._before_s, self._since_s, self._rows = self._since_s, self._rows_s, None
            self._is_bridging = False
        else:
            self._order.refresh()
        for life in self._born:  # of an event later than the dump: not one reading yet
            if life.is_birth:
                self._tell(life.tell(life.sa, is_end=False))
        self._born.clear()
        passed, self._passed = self._passed, []
        return passed

    def _announce(self, sa: SecurityAssociation, is_update: bool) -> None:
        life = self._alive.get(sa.id)
        if life is not None and (is_update or not life.is_announced):
            if not is_update and (life.has_gap or life.has_late_gap):  # or added again: nothing tells
                self._tell(life.tell(life.sa, is_end=False, is_unseen_end=True))
            life.is_announced = True
            return
        if life is not None:  # announced twice: added again within the second
            self._lose(life)
        earlier: Iterable[Life] = self._ended if sa.packets else ()
        if is_update:  # of one that nobody told was moved
            earlier = (*self._alive.values(), *self._ended)
        origin = find_origin(sa, earlier)
        is_moved = sa.packets or origin is not None
        life = self._continue(sa, origin, self._since_s) if is_moved else self._open_at_zero(sa)
        life.is_announced, life.came_at = True, self._dumps

    def _end(self, sa: SecurityAssociation) -> None:
        life = self._alive.get(sa.id) or self._ended.find_lost(sa.id)
        if life is None:  # nobody tells that an SA was moved
            origin = find_origin(sa, (*self._alive.values(), *self._ended))
            # what no dump had was added after the last but one: before the last it may have ended
            life = self._continue(sa, origin, self._before_s)
        if not life.is_over:
            self._remove(life)
        life.is_lost = False
        self._tell(life.book(sa, is_end=True))
        self._keep_ended(life)

    def _compare(self, table: SaTable) -> None:
        newcomers = []
        for sa, life in self._pair(table):
            if self._ended_since_dump and self._is_of_ended(sa):
                continue
            elif life is None:
                newcomers.append(sa)
            elif sa.octets >= life.sa.octets and sa.packets >= life.sa.packets:
                self._read(life, sa)
            elif life.is_dumped:  # added again within the second
                self._lose(life)
                self._read(self._open_at_zero(sa), sa)
            else:  # its news were later than the dump
                life.read_at = self.settled
        unseen = [life for life in self._alive.values() if life.read_at != self.settled]
        self._adopt(newcomers, unseen)
        for life in unseen:
            if not life.is_over and life.came_at != self._dumps:
                self._miss(life)
        self._has_gaps = self._has_gaps and any(life.has_late_gap for life in self._alive.values())

    def _pair(self, table: SaTable) -> Iterator[tuple[SecurityAssociation, Optional[Life]]]:
        """With the lives; but not those where at most packets came: these are dealt with."""
        swept, left = self._order.sweep(table)
        for life in swept:
            life.read_at = self.settled
        if self._has_gaps:
            for life in swept:
                life.has_gap = False
        for row in left:
            sa, one = table[row], self._order.life(row)
            if one is None or one.is_over:
                one = self._alive.get(sa.id)
                self._order.put(row, one)
            if one is not None and one.sa is sa:
                self._see(one)
            else:
                yield sa, one

    def _is_of_ended(self, sa: SecurityAssociation) -> bool:
        """Whether the row is older than the end. If it is newer, its news tell, or else the next dump."""
        sources = self._ended_since_dump.get(sa.id)
        return sources is not None and (sa.source in sources or not self._has_missed)

    def _adopt(self, newcomers: list[SecurityAssociation], unseen: list[Life]) -> None:
        """SAs that a dump was the first to tell of."""
        if not newcomers:
            return
        earlier: dict[tuple[object, ...], list[Life]] = {}
        for life in (*unseen, *self._ended):
            earlier.setdefault(moved_key(life.sa), []).append(life)
        for sa in newcomers:
            origin = find_origin(sa, earlier.get(moved_key(sa), ()))
            if origin is None or not self._is_outdated(sa, origin):
                self._read(self._continue(sa, origin, self._since_s), sa)

    def _is_outdated(self, sa: SecurityAssociation, origin: Life) -> bool:
        """The origin came or ended after the row was read. If it did not, the next dump has the row."""
        has_ended = origin.sa.id in self._ended_since_dump and not origin.is_lost and not self._has_missed
        return (has_ended or origin.came_at == self._dumps) and sa.packets <= origin.sa.packets

    def _miss(self, life: Life) -> None:
        """Its end may still be on the way, unless something tells that it is not."""
        life.missed += 1
        if not life.sa.is_keyed and not life.sa.octets:
            self._remove(life)  # it was only being negotiated
        elif life.has_gap or life.has_late_gap or life.missed > 1:
            self._lose(life)

    def _lose(self, life: Life) -> None:
        self._tell(life.tell(life.sa, is_end=True, is_unseen_end=True))
        self._remove(life)
        life.is_lost = True
        self._keep_ended(life)

    def _keep_ended(self, life: Life) -> None:
        self._ended_since_dump.setdefault(life.sa.id, set()).add(life.sa.source)
        self._ended.add(life)

    def _continue(self, sa: SecurityAssociation, origin: Optional[Life], since_s: Optional[int]) -> Life:
        """Nothing else continues the origin. since_s: without one, when it began is told by this."""
        if origin is None:
            return self._open(sa, since_s)
        if origin.is_over:
            self._ended.discard(origin)
        else:
            self._remove(origin)
            self._ended_since_dump.setdefault(origin.sa.id, set()).add(origin.sa.source)
        start = sa if sa.octets < origin.sa.octets else origin.sa
        return self._begin(Life(replace_counters(sa, start), origin.lost, self.settled))

    def _open(self, sa: SecurityAssociation, since_s: Optional[int]) -> Life:
        """A life that did not begin before our eyes."""
        if since_s is not None and sa.added_s >= since_s:
            return self._open_at_zero(sa)
        return self._begin(Life(sa, measure_certain_loss(sa), self.settled))

    def _open_at_zero(self, sa: SecurityAssociation) -> Life:
        """Numbers need not begin with 1: `replay-seq` of ip(8)."""
        lost = 0 if sa.packets else measure_certain_loss(sa)
        life = Life(replace_counters(sa, None), lost, self.settled, is_birth=True)
        life.is_bridging = self._is_bridging
        self._born.append(life)
        return self._begin(life)

    def _begin(self, life: Life) -> Life:
        self._alive[life.sa.id] = life
        self._touch(life)
        return life

    def _remove(self, life: Life) -> None:
        del self._alive[life.sa.id]
        life.is_over = True
        self._touch(life)

    def _touch(self, life: Life) -> None:
        self._touched.append(life)
        self._order.note(life)

    def _read(self, life: Life, sa: SecurityAssociation) -> None:
        self._tell(life.book(sa))
        self._touch(life)
        self._see(life)

    def _see(self, life: Life) -> None:
        life.is_dumped, life.has_gap, life.missed = True, False, 0
        life.read_at = self.settled

    def _tell(self, passed: Optional[Passed]) -> None:
        if passed is not None:
            self._passed.append(passed)
