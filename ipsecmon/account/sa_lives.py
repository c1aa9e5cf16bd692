"""The lives of SAs: from dumps and events to what passed through each one, nothing twice and no tail lost.

A poll is: dump(), then every event that came meanwhile, then settle(). A dump is never older than the events
given before it, while an event given after it may be: so rows wait for settle(), where an SA that ended
since is left to its final counters. How a life begins: at 0 if it was added since the last dump; where
its predecessor stands if it was moved (MIGRATE tells nobody, MOBIKE deletes and adds); else unknown: a
baseline. How it ends: by DELSA or a hard EXPIRE with final counters, or unseen, after FLUSHSA, an
overrun, or while no agent ran: then what it counted since its last reading is known to nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, Optional

from ipsecmon.account.path_loss import measure_path
from ipsecmon.ipsec import SaEnd, SaEvent, SaFlush, SaId, SaNews, SecurityAssociation

__all__ = ["ENDED_KEPT", "Passed", "SaLives"]

ENDED_KEPT = 4096  # ended SAs that a moved one may still go back to: some minutes of 10 rekeys a second
_IPSEC_PROTOCOLS = (50, 51, 108)  # what a flush of 255 means (IPSEC_PROTO_ANY)


class Passed(NamedTuple):
    """What happened on one SA since it was last told of.

    lost_packets: on the path, for certain. is_birth: this is its first, and it was not moved here.
    is_unseen_end: what passed after its last reading, at the settling read_at, is in no number.
    is_bridged: while no agent ran.
    """

    sa: SecurityAssociation
    octets: int
    packets: int
    late_packets: int
    replayed_packets: int
    integrity_failures: int
    lost_packets: int
    is_birth: bool
    is_end: bool
    is_unseen_end: bool
    is_bridged: bool
    read_at: int


@dataclass
class _Life:
    """sa: as last booked. lost: path loss booked. read_at: the settling that did."""

    sa: SecurityAssociation
    lost: int
    read_at: int
    is_birth: bool = False  # not told of yet
    is_announced: bool = False  # its NEWSA has come
    is_dumped: bool = False  # a settled dump had it
    is_after_dump: bool = False  # it came since the dump that waits
    is_bridging: bool = False  # its next reading is of the time when no agent ran
    has_gap: bool = False  # it may have ended without a word before the dump that waits
    has_late_gap: bool = False  # or since
    is_lost: bool = False  # taken to have ended unseen
    missed: int = 0  # dumps in a row without it


class SaLives:
    """saved: SAs as the last agent left them; saved_s: its since_s; awaited: its awaited()."""

    def __init__(
        self,
        saved: Iterable[SecurityAssociation] = (),
        saved_s: Optional[int] = None,
        awaited: frozenset[SaId] = frozenset(),
    ) -> None:
        self._alive: dict[SaId, _Life] = {}
        self._ended: dict[SaId, _Life] = {}
        self._passed: list[Passed] = []
        self._rows: Optional[dict[SaId, SecurityAssociation]] = None
        self._rows_s: Optional[int] = None
        self._ended_since_dump: set[SaId] = set()
        self._has_missed = False  # events, since the dump that waits
        self._since_s = saved_s
        self._is_bridging = saved_s is not None
        self.settled = 0
        for sa in saved:
            read_at = -1 if sa.id in awaited else 0
            life = _Life(sa, _lost(sa), read_at, is_dumped=True, has_gap=True, is_bridging=True)
            self._alive[sa.id] = life

    @property
    def since_s(self) -> Optional[int]:
        """The wall clock's second before the last settled dump."""
        return self._since_s

    def alive(self) -> Iterator[SecurityAssociation]:
        """As last read."""
        return (life.sa for life in self._alive.values())

    def awaited(self) -> frozenset[SaId]:
        """Those that the last dump did not have, and whose end has not come."""
        return frozenset(key for key, life in self._alive.items() if life.missed)

    def dump(self, sas: Iterable[SecurityAssociation], at_s: int) -> None:
        """All SAs. at_s: the wall clock's second before they were asked for."""
        self._rows = {sa.id: sa for sa in sas}
        self._rows_s = at_s
        self._has_missed = False
        self._ended_since_dump.clear()
        for life in self._alive.values():
            life.is_after_dump = False
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
        self._has_missed = True
        protocols = _IPSEC_PROTOCOLS if protocol == 255 else (protocol,)
        for life in self._alive.values():
            life.has_late_gap |= not protocol or life.sa.protocol in protocols

    def settle(self) -> list[Passed]:
        """What happened since the last time. All events that came before and with the dump were given."""
        self.settled += 1
        if self._rows is not None:
            self._compare(self._rows)
            self._since_s, self._rows = self._rows_s, None
            self._is_bridging = False
        passed, self._passed = self._passed, []
        return passed

    def _announce(self, sa: SecurityAssociation, is_update: bool) -> None:
        life = self._alive.get(sa.id)
        if life is not None and (is_update or not life.is_announced):
            if not is_update and (
                life.has_gap or life.has_late_gap
            ):  # late news, or added again: nothing tells
                self._emit(life, life.sa, is_end=False, is_unseen_end=True)
            life.is_announced = True
            return
        if life is not None:  # announced twice: added again within the second
            self._lose(life)
        earlier: Iterable[_Life] = self._ended.values() if sa.packets else ()
        if is_update:  # of one that nobody told was moved
            earlier = (*self._alive.values(), *self._ended.values())
        origin = self._find_earlier(sa, earlier)
        life = self._continue(sa, origin) if sa.packets or origin is not None else self._open_at_zero(sa)
        life.is_announced = life.is_after_dump = True

    def _end(self, sa: SecurityAssociation) -> None:
        life = self._alive.pop(sa.id, None)
        if life is None:
            ended = self._ended.get(sa.id)
            life = ended if ended is not None and ended.is_lost else None
        if life is None:  # nobody tells that an SA was moved
            life = self._continue(sa, self._find_earlier(sa, (*self._alive.values(), *self._ended.values())))
            del self._alive[sa.id]
        life.is_lost = False
        self._book(life, sa, is_end=True)
        self._keep_ended(life)

    def _compare(self, rows: dict[SaId, SecurityAssociation]) -> None:
        newcomers = []
        for key, sa in rows.items():
            life = self._alive.get(key)
            if key in self._ended_since_dump:
                continue
            if life is None:
                newcomers.append(sa)
            elif sa.octets >= life.sa.octets and sa.packets >= life.sa.packets:
                self._read(life, sa)
            elif life.is_dumped:  # added again within the second
                self._lose(life)
                self._read(self._open_at_zero(sa), sa)
        missing = [life for key, life in self._alive.items() if key not in rows and not life.is_after_dump]
        self._adopt(newcomers, missing)
        for life in missing:
            if self._alive.get(life.sa.id) is life:
                self._miss(life)

    def _adopt(self, newcomers: list[SecurityAssociation], missing: list[_Life]) -> None:
        """SAs that a dump was the first to tell of."""
        if not newcomers:
            return
        earlier: dict[tuple[object, ...], list[_Life]] = {}
        for life in (*missing, *self._ended.values()):
            earlier.setdefault(_moved_key(life.sa), []).append(life)
        for sa in newcomers:
            origin = self._find_earlier(sa, earlier.get(_moved_key(sa), ()))
            if origin is None or not self._is_outdated(sa, origin):
                self._read(self._continue(sa, origin), sa)

    def _is_outdated(self, sa: SecurityAssociation, origin: _Life) -> bool:
        """It went back to where it came from and ended there; if it did not, the next dump has it."""
        has_ended = origin.sa.id in self._ended_since_dump and not origin.is_lost
        return has_ended and sa.packets <= origin.sa.packets and not self._has_missed

    def _miss(self, life: _Life) -> None:
        """Its end may still be on the way, unless something tells that it is not."""
        life.missed += 1
        if not life.sa.is_keyed and not life.sa.octets:
            del self._alive[life.sa.id]  # it was only being negotiated
        elif life.has_gap or life.has_late_gap or life.missed > 1:
            self._lose(life)

    def _lose(self, life: _Life) -> None:
        self._emit(life, life.sa, is_end=True, is_unseen_end=True)
        del self._alive[life.sa.id]
        life.is_lost = True
        self._keep_ended(life)

    def _keep_ended(self, life: _Life) -> None:
        self._ended_since_dump.add(life.sa.id)
        self._ended.pop(life.sa.id, None)
        self._ended[life.sa.id] = life
        if len(self._ended) > ENDED_KEPT:
            del self._ended[next(iter(self._ended))]

    def _find_earlier(self, sa: SecurityAssociation, lives: Iterable[_Life]) -> Optional[_Life]:
        """The life that this one continues: MIGRATE and MOBIKE keep SPI and times, and one end's address.

        Of those of an SA that was moved often, the last one, whose counters are the highest.
        """
        key = _moved_key(sa)
        found = [
            life
            for life in lives
            if _moved_key(life.sa) == key
            and (life.sa.source == sa.source or life.sa.destination == sa.destination)
            and life.sa.used_s in (None, sa.used_s)
        ]
        return max(found, key=lambda life: life.sa.packets, default=None)

    def _continue(self, sa: SecurityAssociation, origin: Optional[_Life]) -> _Life:
        """Nothing else continues the origin."""
        if origin is not None and self._alive.get(origin.sa.id) is origin:
            del self._alive[origin.sa.id]
            self._ended_since_dump.add(origin.sa.id)
        elif origin is not None and self._ended.get(origin.sa.id) is origin:
            del self._ended[origin.sa.id]
        return self._open(sa, origin)

    def _open(self, sa: SecurityAssociation, origin: Optional[_Life]) -> _Life:
        """A life that did not begin before our eyes."""
        if origin is not None:
            start = sa if sa.octets < origin.sa.octets else origin.sa
            life = _Life(_with_counters(sa, start), origin.lost, self.settled)
        elif self._since_s is not None and sa.added_s >= self._since_s:
            return self._open_at_zero(sa)
        else:
            life = _Life(sa, _lost(sa), self.settled)
        self._alive[sa.id] = life
        return life

    def _open_at_zero(self, sa: SecurityAssociation) -> _Life:
        """Numbers need not begin with 1: `replay-seq` of ip(8)."""
        lost = 0 if sa.packets else _lost(sa)
        life = _Life(
            _with_counters(sa, None), lost, self.settled, is_birth=True, is_bridging=self._is_bridging
        )
        self._alive[sa.id] = life
        return life

    def _read(self, life: _Life, sa: SecurityAssociation) -> None:
        self._book(life, sa, is_end=False)
        life.is_dumped, life.has_gap, life.missed = True, False, 0
        life.read_at = self.settled

    def _book(self, life: _Life, sa: SecurityAssociation, is_end: bool) -> None:
        self._emit(life, sa, is_end=is_end)
        life.lost = max(life.lost, _lost(sa, life.sa, is_end))
        life.sa = sa if sa.anti_replay is not None else sa._replace(anti_replay=life.sa.anti_replay)
        life.is_birth = life.is_bridging = False

    def _emit(self, life: _Life, sa: SecurityAssociation, is_end: bool, is_unseen_end: bool = False) -> None:
        was = life.sa
        steps = [_step(getattr(was, name), getattr(sa, name)) for name in _COUNTERS]
        lost = max(0, _lost(sa, was, is_end) - life.lost)
        if any(steps) or lost or life.is_birth or is_end or is_unseen_end:
            octets, packets, late, replayed, failed = steps
            self._passed.append(
                Passed(
                    sa=sa,
                    octets=octets,
                    packets=packets,
                    late_packets=late,
                    replayed_packets=replayed,
                    integrity_failures=failed,
                    lost_packets=lost,
                    is_birth=life.is_birth,
                    is_end=is_end,
                    is_unseen_end=is_unseen_end,
                    is_bridged=life.is_bridging,
                    read_at=life.read_at,
                )
            )


_COUNTERS = ("octets", "packets", "late_packets", "replayed_packets", "integrity_failures")


def _step(was: int, now: int) -> int:
    return max(0, now - was)


def _with_counters(sa: SecurityAssociation, of: Optional[SecurityAssociation]) -> SecurityAssociation:
    """The SA with counters of another one, or at 0."""
    octets, packets, late, replayed, failed = (0 if of is None else getattr(of, name) for name in _COUNTERS)
    return sa._replace(
        octets=octets,
        packets=packets,
        late_packets=late,
        replayed_packets=replayed,
        integrity_failures=failed,
    )


def _moved_key(sa: SecurityAssociation) -> tuple[object, ...]:
    """What stays when an SA is moved to other addresses."""
    return (sa.spi, sa.protocol, sa.added_s, sa.reqid, sa.mode)


def _lost(sa: SecurityAssociation, was: Optional[SecurityAssociation] = None, is_end: bool = False) -> int:
    """Path loss for certain. At the end, numbers still missing will not come."""
    path = measure_path(sa)
    if path is not None:
        return path.lost + (path.open if is_end else 0)
    before = measure_path(was) if was is not None else None
    if before is None or was is None:
        return 0
    return before.lost + (max(0, before.open - (sa.packets - was.packets)) if is_end else 0)
