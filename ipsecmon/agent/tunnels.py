"""Tunnels by the counters of their SAs: from the source to increments that wait for their batch.

A poll is: all SAs, then every event that came until after them, then the arithmetic. Between polls events
are only taken in, so that the kernel's buffer never fills. Where SAs cannot be read counting of everything
else goes on: what passes meanwhile is in the SAs' own counters, and in their last words,
which are booked.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Callable, NamedTuple, Optional, Protocol

from ipsecmon.account.carried import NOTHING_CARRIED, Carried, carried_by
from ipsecmon.account.rule_volumes import measure_rules
from ipsecmon.account.spi_book import SpiBook
from ipsecmon.account.tunnel_books import TunnelBooks
from ipsecmon.account.tunnel_match import NO_NAMES, TunnelMatcher, TunnelRule
from ipsecmon.account.tunnels import Tunnels
from ipsecmon.agent.doctor_facts import Offloaded
from ipsecmon.agent.observe import Counters
from ipsecmon.clock import Clock
from ipsecmon.errors import HelperAway, HelperGone, IpsecmonError
from ipsecmon.ipsec import (
    IkeNames,
    Policy,
    SaEvent,
    SaFlush,
    SaNews,
    SavedSas,
    SecurityAssociation,
    XfrmErrors,
)
from ipsecmon.model import CounterKey, Increment, TunnelIncrement
from ipsecmon.sa_table import SaTable

__all__ = ["HEAR_NS", "MAX_ENDS", "NAME_TRIES", "Outside", "TunnelMeter"]

_logger = logging.getLogger(__name__)
MAX_ENDS = 256  # of SAs: the doctor asks for the route to each
HEAR_NS = 2_000_000_000  # 64 MiB of events in that time are more than any IKE daemon makes
NAME_TRIES = 8  # more: a daemon that was slow once is left alone for some (sources/ike.py)
_NS = 10**9


class _Dump(Protocol):
    @property
    def sas(self) -> SaTable: ...
    @property
    def policies(self) -> Optional[list[Policy]]: ...


class _Heard(Protocol):
    @property
    def events(self) -> list[SaEvent]: ...
    @property
    def has_missed(self) -> bool: ...


class _Source(Protocol):
    reader: str

    def start(self) -> None: ...
    def dump(self) -> _Dump: ...
    def hear(self) -> _Heard: ...


class Outside(NamedTuple):
    """What is asked besides the SAs: this machine's addresses, IKE daemons' names, the errors of XFRM."""

    addresses: Callable[[], Collection[str]]
    names: Callable[[], IkeNames]
    errors: Callable[[], XfrmErrors]


class TunnelMeter:
    """start() once, then read() and settle() for each batch, close() when the store has it."""

    def __init__(
        self, source: _Source, rules: Sequence[TunnelRule], outside: Outside, counts: Counters, clock: Clock
    ) -> None:
        self._source = source
        self._matcher = TunnelMatcher(rules)
        self._rules = rules
        self._outside = outside
        self._counts = counts
        self._clock = clock
        self._books = TunnelBooks()
        self._tunnels: Optional[Tunnels] = None
        self._unbegun: Optional[SavedSas] = None  # while the helper is not back
        self._policies: list[Policy] = []
        self._has_news, self._name_tries = True, NAME_TRIES
        self._has_unheard = False
        self._has_missed = True  # what was before the first reading
        self._is_current = self._is_complete = False
        self._has_learnt = self._has_changed = False
        self._sas = 0
        self.offloaded = Offloaded()
        self.carried: Carried = NOTHING_CARRIED  # as of the last read(), if asked for
        self.asks_carried = False
        self.ends: Sequence[str] = ()  # outer addresses, this machine's own too; of at most MAX_ENDS
        self._volumes_before: Sequence[Increment] = ()
        self._broken: set[CounterKey] = set()
        self._saved = SavedSas()
        self._errors: dict[str, int] = {}
        self._errors_reported: Optional[dict[str, int]] = None  # until they can be read
        self._trouble = ""

    def start(self, saved: SavedSas) -> None:
        """Subscribe, and go on where the last agent stopped. What cannot be is said, and tried no more, but
        for a helper that was away."""
        self._read_errors()
        self._saved = saved.without_bound()  # rule counters go on
        self._begin(saved)

    def _begin(self, saved: SavedSas) -> None:
        self._unbegun = None
        try:
            self._source.start()
        except HelperGone:
            raise
        except HelperAway as error:
            self._unbegun = saved
            self._complain(error)
            return
        except IpsecmonError as error:
            self._trouble = str(error)
            say = _logger.warning if self._rules else _logger.info
            say("tunnels are not counted by their SAs error=%s", error)
            return
        self._tunnels = Tunnels(self._matcher, saved)

    @property
    def rules(self) -> Sequence[TunnelRule]:
        return self._rules

    def change(self, rules: Sequence[TunnelRule]) -> None:
        """Other names from now on; what was counted stays where it is."""
        self._has_changed |= list(rules) != list(self._rules)
        self._rules = rules
        self._matcher.change(rules)
        self._note_news()

    def hear(self) -> None:
        """Take in what happened to SAs since the last time. Raises HelperGone."""
        if self._tunnels is None:
            return
        try:
            self._take_in(self._tunnels, self._source.hear())
        except HelperGone:
            raise
        except IpsecmonError as error:
            self._complain(error)

    def read(self) -> bool:
        """All SAs, and all that happened to them until now. True: some may have ended with no last reading.

        Raises HelperGone; other refusals are counted, and said once.
        """
        if self._unbegun is not None:
            self._begin(self._unbegun)
        self._is_current = False
        if self._tunnels is None:
            return False
        at_s = self._clock.now().wall_ns // _NS
        try:
            dump = self._source.dump()
            if dump.policies is not None:  # they are not told again
                self._policies = dump.policies
                self._note_news()
            heard = self._source.hear()
            self._tunnels.dump(dump.sas, at_s)
            self._sas = len(dump.sas)
            self.offloaded = _count_offloaded(dump.sas.still)
            self.ends = _ends(dump.sas.still)
            self._take_in(self._tunnels, heard)
            self._learn(dump.sas.still)
        except HelperGone:
            raise
        except (IpsecmonError, OSError) as error:
            self._complain(error)
            return False
        self._trouble = ""
        self._is_current, self._is_complete, self._has_missed = True, not self._has_missed, False
        has_unheard, self._has_unheard = self._has_unheard, False
        return has_unheard

    def settle(
        self, first: Sequence[Increment], last: Sequence[Increment], broken: Collection[CounterKey] = ()
    ) -> None:
        """Book what read() brought; where it failed, what was heard of.

        first, last: what rule counters had counted before it and after it, since the agent started. broken:
        those that somebody made anew since the last read().
        """
        self._broken.update(broken)
        self._read_errors()
        if self._tunnels is None or not self._has_learnt:
            return
        names = [rule.name for rule in self._rules]
        # where other rules stood for a part of the time, what they counted is not of these tunnels
        counted = () if self._has_changed else last
        volumes = measure_rules(names, self._volumes_before, counted, self._broken)
        self._volumes_before = first
        self._broken.clear()
        self._has_changed = False
        self._books.add(self._tunnels.settle(volumes, self._clock.now().wall_ns // _NS))
        self._saved = self._tunnels.saved()

    def spis(self) -> Optional[SpiBook]:
        """Whose they are, as of the last settle(). None where SAs could not be read before it."""
        is_known = self._tunnels is not None and self._is_current and self._has_learnt
        return self._tunnels.spis if self._tunnels is not None and is_known else None

    @property
    def knows_every_sa(self) -> bool:
        """Whether none can have come and gone unheard between the last two readings."""
        return self._is_complete

    def increments(self) -> tuple[TunnelIncrement, ...]:
        """Since the last close()."""
        return self._books.batch()

    def errors(self) -> tuple[tuple[str, int], ...]:
        """Packets that XFRM dropped since the last close(), by its names; of those that moved."""
        reported = self._errors_reported or {}
        found = ((name, number - reported.get(name, 0)) for name, number in self._errors.items())
        return tuple((name, number) for name, number in found if number > 0)

    def saved(self) -> SavedSas:
        """For the store, with the increments: as they were when these were booked."""
        return self._saved

    def close(self) -> None:
        """The store has all that was told."""
        self._books.close()
        if self._errors_reported is not None:
            self._errors_reported = self._errors

    def describe(self) -> dict[str, Any]:
        return {"reader": self._source.reader, "sas": self._sas, "error": self._trouble}

    def _take_in(self, tunnels: Tunnels, heard: _Heard) -> None:
        if heard.has_missed:
            tunnels.miss_events()
            self._note_news()
            self._has_unheard = self._has_missed = True
        for event in heard.events:
            if isinstance(event, SaFlush):
                self._counts.add("xfrm", "flushes")
                self._has_unheard = True
            elif isinstance(event, SaNews):
                self._note_news()
            tunnels.event(event)

    def _note_news(self) -> None:
        self._has_news, self._name_tries = True, NAME_TRIES

    def _learn(self, sas: Iterable[SecurityAssociation]) -> None:
        """Places are found anew only where something may have changed."""
        if not self._has_news:
            return
        has_connections = any(rule.connections for rule in self._rules)
        names = self._outside.names() if has_connections else NO_NAMES
        self._matcher.learn(self._policies, self._outside.addresses(), names)
        self._has_learnt = True
        self.carried = carried_by(self._matcher, sas) if self.asks_carried else NOTHING_CARRIED
        self._has_news = has_connections and self._name_tries > 0 and _has_nameless(sas, names)
        self._name_tries -= 1

    def _read_errors(self) -> None:
        try:
            self._errors = dict(self._outside.errors().packets)
        except (IpsecmonError, OSError) as error:
            self._complain(error)
            return
        if self._errors_reported is None:
            self._errors_reported = self._errors

    def _complain(self, error: Exception) -> None:
        self._counts.add("xfrm", "failed-reads")
        if str(error) != self._trouble:
            _logger.error("SAs cannot be read, their counters bridge it error=%s", error)
        self._trouble = str(error)


def _count_offloaded(sas: Iterable[SecurityAssociation]) -> Offloaded:
    found = [sa.offload for sa in sas if sa.offload is not None]
    inbound = sum(one.is_inbound for one in found)
    return Offloaded(inbound, len(found) - inbound, sum(one.is_full for one in found))


def _ends(sas: Iterable[SecurityAssociation]) -> list[str]:
    found: set[str] = set()
    for sa in sas:
        found.update((sa.source, sa.destination))
        if len(found) >= MAX_ENDS:
            break
    return sorted(found)[:MAX_ENDS]


def _has_nameless(sas: Iterable[SecurityAssociation], names: IkeNames) -> bool:
    """Whether an SA has no name: its daemon may have been slow, or not have come to telling it yet."""
    return any(
        sa.is_keyed and (sa.destination, sa.spi) not in names.by_spi and sa.reqid not in names.by_reqid
        for sa in sas
    )
