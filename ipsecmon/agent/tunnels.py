"""Tunnels by the counters of their SAs: from the source to increments that wait for their batch.

A poll is: all SAs, then every event that came until after them, then the arithmetic. Between polls events
are only taken in, so that the kernel's buffer never fills. Where SAs cannot be read counting of everything
else goes on: what passes meanwhile is in the SAs' own counters, and in their last words.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from typing import Any, Callable, NamedTuple, Optional, Protocol

from ipsecmon.account.rule_volumes import measure_rules
from ipsecmon.account.tunnel_books import TunnelBooks
from ipsecmon.account.tunnel_match import NO_NAMES, TunnelMatcher, TunnelRule
from ipsecmon.account.tunnels import Tunnels
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

__all__ = ["HEAR_NS", "Outside", "TunnelMeter"]

_logger = logging.getLogger(__name__)
HEAR_NS = 2_000_000_000  # 64 MiB of events in that time are more than any IKE daemon makes
_NS = 10**9


class _Dump(Protocol):
    @property
    def sas(self) -> list[SecurityAssociation]: ...
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
        self._policies: list[Policy] = []
        self._has_news = True
        self._has_unheard = False
        self._is_read = False
        self._sas = 0
        self._volumes_before: Sequence[Increment] = ()
        self._broken: set[CounterKey] = set()
        self._errors: dict[str, int] = {}
        self._errors_reported: dict[str, int] = {}
        self._trouble = ""

    def start(self, saved: SavedSas) -> None:
        """Subscribe, and go on where the last agent stopped. What cannot be is said, and tried no more."""
        try:
            self._source.start()
        except HelperGone:
            raise
        except HelperAway as error:
            self._complain(error)  # the next helper is asked at the next read()
        except IpsecmonError as error:
            self._trouble = str(error)
            say = _logger.warning if self._rules else _logger.info
            say("tunnels are not counted by their SAs error=%s", error)
            return
        self._tunnels = Tunnels(self._matcher, saved)
        self._errors = self._errors_reported = self._read_errors()

    def change(self, rules: Sequence[TunnelRule]) -> None:
        """Other names from now on; what was counted stays where it is."""
        self._rules = rules
        self._matcher.change(rules)

    def hear(self) -> None:
        """Take in what happened to SAs since the last time. Raises HelperGone."""
        if self._tunnels is None:
            return
        try:
            self._take_in(self._tunnels)
        except HelperGone:
            raise
        except IpsecmonError as error:
            self._complain(error)

    def read(self) -> bool:
        """All SAs, and all that happened to them until now. True: some may have ended with no last reading.

        Raises HelperGone; other refusals are counted, and said once.
        """
        self._is_read = False
        if self._tunnels is None:
            return False
        at_s = self._clock.now().wall_ns // _NS
        try:
            dump = self._source.dump()
            self._tunnels.dump(dump.sas, at_s)
            self._sas = len(dump.sas)
            self._take_in(self._tunnels)
            self._learn(dump.policies)
        except HelperGone:
            raise
        except (IpsecmonError, OSError) as error:
            self._complain(error)
            return False
        self._trouble, self._is_read = "", True
        has_unheard, self._has_unheard = self._has_unheard, False
        return has_unheard

    def settle(
        self, first: Sequence[Increment], last: Sequence[Increment], broken: Collection[CounterKey] = ()
    ) -> None:
        """Book what read() brought.

        first, last: what rule counters had counted before it and after it, since the agent started. broken:
        those that somebody made anew since the last read().
        """
        self._broken.update(broken)
        self._errors = self._read_errors()
        if self._tunnels is None or not self._is_read:
            return
        names = [rule.name for rule in self._rules]
        volumes = measure_rules(names, self._volumes_before, last, self._broken)
        self._volumes_before = first
        self._broken.clear()
        self._books.add(self._tunnels.settle(volumes, self._clock.now().wall_ns // _NS))

    def increments(self) -> tuple[TunnelIncrement, ...]:
        """Since the last close()."""
        return self._books.batch()

    def errors(self) -> tuple[tuple[str, int], ...]:
        """Packets that XFRM dropped since the last close(), by its names; of those that moved."""
        found = ((name, number - self._errors_reported.get(name, 0)) for name, number in self._errors.items())
        return tuple((name, number) for name, number in found if number > 0)

    def saved(self) -> Optional[SavedSas]:
        """For the store, with the increments. None: what is there stays."""
        return self._tunnels.saved() if self._tunnels is not None and self._is_read else None

    def close(self) -> None:
        """The store has all that was told."""
        self._books.close()
        self._errors_reported = self._errors

    def describe(self) -> dict[str, Any]:
        return {"reader": self._source.reader, "sas": self._sas, "error": self._trouble}

    def _take_in(self, tunnels: Tunnels) -> None:
        heard = self._source.hear()
        if heard.has_missed:
            tunnels.miss_events()
            self._has_news = self._has_unheard = True
        for event in heard.events:
            if isinstance(event, SaFlush):
                self._counts.add("xfrm", "flushes")
                self._has_unheard = True
            elif isinstance(event, SaNews):
                self._has_news = True
            tunnels.event(event)

    def _learn(self, policies: Optional[list[Policy]]) -> None:
        """Places are found anew only where something may have changed."""
        if policies is None and not self._has_news:
            return
        self._policies = self._policies if policies is None else policies
        names = self._outside.names() if any(rule.connections for rule in self._rules) else NO_NAMES
        self._matcher.learn(self._policies, self._outside.addresses(), names)
        self._has_news = False

    def _read_errors(self) -> dict[str, int]:
        try:
            return dict(self._outside.errors().packets)
        except (IpsecmonError, OSError) as error:
            self._complain(error)
            return self._errors

    def _complain(self, error: Exception) -> None:
        self._counts.add("xfrm", "failed-reads")
        if str(error) != self._trouble:
            _logger.error("SAs cannot be read, their counters bridge it error=%s", error)
        self._trouble = str(error)
