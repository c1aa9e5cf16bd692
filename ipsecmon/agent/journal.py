"""Events of this router: kept in the store at once, and told to the sinks with the next batch.

While the store refuses they wait here, so that a full disk costs none; beyond MAX_WAITING the newest go.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping
from typing import Optional, Protocol

from ipsecmon.agent.hour_limit import HourLimit
from ipsecmon.clock import Clock
from ipsecmon.errors import StoreError
from ipsecmon.model import Counts
from ipsecmon.qos import Event, EventKind, event_text

__all__ = ["MAX_AN_HOUR", "MAX_WAITING", "Journal"]

_logger = logging.getLogger(__name__)
MAX_AN_HOUR = 60  # of one kind that remembers nothing: a program may break our rules again and again
MAX_WAITING = 100  # a day of outage with a change each quarter of an hour


class _Store(Protocol):
    def add_event(self, event: Event, state: Optional[Mapping[str, str]] = None) -> Event: ...


class Journal:
    def __init__(self, store: _Store, clock: Clock, counts: Counts) -> None:
        self._store = store
        self._clock = clock
        self._counts = counts
        self._waiting: deque[tuple[Event, Mapping[str, str]]] = deque()
        self._noted: dict[EventKind, HourLimit] = {}

    def note(
        self,
        kind: EventKind,
        text: str,
        interface: str = "",
        count: int = 1,
        at_ns: Optional[int] = None,
        is_old: bool = False,
        state: Optional[Mapping[str, str]] = None,
    ) -> None:
        """It happened now or at at_ns; is_old: at some time between that and now. state: is set with it."""
        if state is None and self._is_too_often(kind):
            self._counts.add("events", "beyond")
            return
        now_ns = self._clock.now().wall_ns
        start_ns = now_ns if at_ns is None else min(at_ns, now_ns)
        end_ns = now_ns if is_old else start_ns
        event = Event(kind, start_ns, end_ns, event_text(text), interface, count)
        _logger.info("event kind=%s text=%s", kind.value, event.text)
        if len(self._waiting) >= MAX_WAITING:
            self._counts.add("events", "dropped")
            return
        self._waiting.append((event, state or {}))
        self.save()

    def _is_too_often(self, kind: EventKind) -> bool:
        now_ns = self._clock.now().monotonic_ns
        noted = self._noted.setdefault(kind, HourLimit(MAX_AN_HOUR))
        if noted.full_until_ns(now_ns) is not None:
            return True
        noted.take(now_ns)
        return False

    def mark(self, text: str, start_ns: Optional[int], end_ns: Optional[int]) -> Event:
        """What a person says. Raises StoreError: then it is not kept."""
        self.save()
        start_ns = self._clock.now().wall_ns if start_ns is None else start_ns
        end_ns = start_ns if end_ns is None else max(start_ns, end_ns)
        return self._store.add_event(Event(EventKind.MARK, start_ns, end_ns, event_text(text)))

    def save(self) -> None:
        """What waits; as much as the store takes, in order."""
        while self._waiting:
            try:
                self._store.add_event(*self._waiting[0])
            except StoreError as error:
                _logger.warning("event waits for the store error=%s", error)
                return
            self._waiting.popleft()
