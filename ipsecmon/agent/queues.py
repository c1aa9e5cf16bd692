"""Qdiscs and classes in the agent: their counters each round, and changes of their configuration as events.

A script of tc commands is one event: a change is looked at when SETTLE_NS have passed since it was heard of.
What was changed while no agent ran is found at start, by what the store remembers. What changes all the
time, such as a rate that a program steers, is told MAX_AN_HOUR times an hour, and in between not looked at.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Optional, Protocol

from ipsecmon.account.queues import QueueBooks, place_of
from ipsecmon.account.tc_changes import differences, sentence
from ipsecmon.agent.hour_limit import HourLimit
from ipsecmon.agent.journal import Journal
from ipsecmon.agent.observe import Counters
from ipsecmon.clock import Clock
from ipsecmon.errors import SourceError, StoreError
from ipsecmon.qos import EventKind, QueueConfig, QueueIncrement, QueueReading

__all__ = ["MAX_AN_HOUR", "MAX_REMEMBERED", "NOT_SEEN", "SETTLE_NS", "TC_CONFIG", "QueueMeter"]

_logger = logging.getLogger(__name__)
TC_CONFIG = "tc.config"  # in the store: how all was configured when it was last looked at
SETTLE_NS = 2_000_000_000
MAX_AN_HOUR = 30
NOT_SEEN = "while no agent ran"
MAX_REMEMBERED = 2000  # qdiscs, classes and filters of one interface; about 200 KB in the store

Configuration = Mapping[str, Sequence[QueueConfig]]
CallAt = Callable[[int, Callable[[], object]], None]


class _State(Protocol):
    @property
    def readings(self) -> Sequence[QueueReading]: ...
    @property
    def interfaces(self) -> Sequence[str]: ...
    @property
    def origins(self) -> Mapping[str, Collection[str]]: ...


class _News(Protocol):
    @property
    def ends(self) -> Sequence[QueueReading]: ...
    @property
    def has_any(self) -> bool: ...
    @property
    def has_missed(self) -> bool: ...


class _Source(Protocol):
    @property
    def last(self) -> Optional[_State]: ...
    @property
    def error(self) -> str: ...
    def hear(self) -> _News: ...
    def configuration(self, names: Sequence[str]) -> Configuration: ...


class _Memory(Protocol):
    """The store, as it is needed here."""

    def saved_queues(self) -> Sequence[QueueReading]: ...
    def state(self, key: str) -> Optional[str]: ...
    def set_state(self, key: str, value: str) -> None: ...
    def last_end_ns(self) -> Optional[int]: ...


class QueueMeter:
    """lines: their names by interface, asked for each time. start() once; read() in each round."""

    def __init__(
        self,
        source: _Source,
        lines: Callable[[], Mapping[str, str]],
        journal: Journal,
        counts: Counters,
        clock: Clock,
    ) -> None:
        self._source = source
        self._lines = lines
        self._journal = journal
        self._counts = counts
        self._clock = clock
        self._books = QueueBooks()
        self._origins: dict[str, Collection[str]] = {}  # also of what has gone since close()
        self._memory: Optional[_Memory] = None
        self._remembered = ""
        self._configured: dict[str, list[QueueConfig]] = {}
        self._call_at: CallAt = lambda at_ns, call: None
        self._is_waiting = False
        self._told = HourLimit(MAX_AN_HOUR)
        self._trouble = ""

    def start(self, store: _Memory, call_at: CallAt) -> None:
        """After the store. Tells of what was changed since the last run."""
        self._call_at = call_at
        self._books = QueueBooks(store.saved_queues())
        saved = store.state(TC_CONFIG)
        self._memory = store
        self._remembered = saved or ""
        self._configured = _decode(saved)
        self._look(store.last_end_ns(), is_old=True)

    def follow(self) -> None:
        """The line may have other interfaces now: a new one is compared from here on."""
        if not set(self._lines()) <= set(self._configured):
            self._look(self._clock.now().wall_ns)

    def hear(self) -> None:
        """Something was told: take the last words in, and look at the configuration soon."""
        news = self._take_news()
        self._book_unseen(sum(self._books.end(final) for final in news))

    def read(self) -> None:
        """Right after the source was polled."""
        state = self._source.last
        ends = self._take_news()
        if state is None:
            self._complain(self._source.error)
            self._book_unseen(sum(self._books.end(final) for final in ends))
            return
        self._trouble = ""
        self._origins.update(state.origins)
        self._book_unseen(self._books.poll(state.readings, state.interfaces, ends))
        if self._books.beyond:
            self._counts.add("tc", "queues-beyond", self._books.beyond)

    def increments(self) -> tuple[QueueIncrement, ...]:
        """Since the last close()."""
        lines = self._lines()
        return tuple(
            replace(one, place=place_of(one.key, lines, self._origins)) for one in self._books.increments()
        )

    def readings(self) -> list[QueueReading]:
        return self._books.readings()

    def close(self) -> None:
        """The store has them."""
        self._books.close()
        self._origins = dict(self._source.last.origins) if self._source.last else {}

    def _take_news(self) -> Sequence[QueueReading]:
        try:
            news = self._source.hear()
        except SourceError as error:
            self._complain(str(error))
            return ()
        if news.has_missed:
            self._counts.add("tc", "missed-events")
        if (news.has_any or news.has_missed) and not self._is_waiting:
            self._is_waiting = True
            now_ns = self._clock.now()
            self._call_at(now_ns.monotonic_ns + SETTLE_NS, lambda: self._settle(now_ns.wall_ns))
        return news.ends

    def _settle(self, since_ns: int) -> None:
        now_ns = self._clock.now().monotonic_ns
        full_until_ns = self._told.full_until_ns(now_ns)
        if full_until_ns is not None:
            self._counts.add("tc", "postponed-looks")
            self._call_at(full_until_ns, lambda: self._settle(since_ns))
            return
        self._is_waiting = False
        self._look(since_ns)

    def _look(self, at_ns: Optional[int], is_old: bool = False) -> None:
        """An interface that is not there, or is new to us, tells nothing."""
        try:
            found = self._source.configuration(list(self._lines()))
        except SourceError as error:
            self._complain(str(error))
            return
        for name, objects in found.items():
            now = list(objects[:MAX_REMEMBERED])
            before = self._configured.get(name)
            self._configured[name] = now
            said = differences(before, now) if before is not None else []
            if said:
                self._tell(name, said, at_ns, is_old)
        self._remember()

    def _tell(self, name: str, said: Sequence[str], at_ns: Optional[int], is_old: bool) -> None:
        """In one transaction with what is remembered: told once, whenever the agent is killed."""
        self._told.take(self._clock.now().monotonic_ns)
        self._remembered = _encode(self._configured)
        self._journal.note(
            EventKind.QDISC_CHANGED,
            sentence(name, said, NOT_SEEN if is_old else ""),
            name,
            len(said),
            at_ns,
            is_old,
            {TC_CONFIG: self._remembered},
        )

    def _remember(self) -> None:
        """What is no event: interfaces that are new, numbers that the kernel gave."""
        now = _encode(self._configured)
        if now == self._remembered or self._memory is None:
            return
        try:
            self._memory.set_state(TC_CONFIG, now)
            self._remembered = now
        except StoreError as error:
            _logger.warning("configuration of qdiscs is not remembered error=%s", error)

    def _book_unseen(self, ends: int) -> None:
        if ends:
            self._counts.add("tc", "unseen-ends", ends)

    def _complain(self, error: str) -> None:
        self._counts.add("tc", "failed-reads")
        if error != self._trouble:
            _logger.error("queueing disciplines cannot be read error=%s", error)
        self._trouble = error


def _encode(configured: Configuration) -> str:
    document = {name: [list(one) for one in objects] for name, objects in configured.items()}
    return json.dumps(document, separators=(",", ":"))


def _decode(text: Optional[str]) -> dict[str, list[QueueConfig]]:
    """Nothing where nothing is remembered, or what is cannot be read."""
    try:
        document: dict[str, list[list[Any]]] = json.loads(text or "{}")
        return {name: [QueueConfig(*one) for one in objects] for name, objects in document.items()}
    except (ValueError, TypeError, AttributeError):
        return {}
