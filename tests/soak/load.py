"""The agent's side: intervals into a real store as fast as it takes them, and two sinks that send them on."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Optional

from ipsecmon.sinks.delivery import Delivery, DeliveryState
from ipsecmon.sinks.influxdb import Config, Sink
from ipsecmon.store import Spool, Store
from tests.parts.batches import batch
from tests.unit.store.store_cases import commit, moment

COUNTERS = 50  # in each interval
POINTS = 2 * COUNTERS + 2  # counter and meter of each; an interface, one number about the agent
MAX_WAITING = 3000  # intervals: no more are made while a sink is so far behind
RETRY_MAX_S = 1.0  # in place of a minute: a soak is to meet as many faults as it can


class Load:
    """settings: of the sinks, by name."""

    def __init__(self, folder: Path, settings: Mapping[str, Mapping[str, object]]) -> None:
        self._folder = folder
        self._settings = settings
        self._store = Store(folder, 10, 400 * 86400)
        self._deliveries: dict[str, Delivery] = {}
        self.intervals = 0

    def start(self) -> None:
        self._store.start(moment(0))
        for name, settings in self._settings.items():
            sink = Sink(Config.model_validate(settings))
            spool = Spool(self._folder, name, self._store.turns)
            self._deliveries[name] = Delivery(name, sink, spool, wait=_wait)
            self._deliveries[name].start()

    def commit(self, ended: threading.Event) -> None:
        """Until the event is set."""
        while not ended.is_set():
            if self.intervals % 100 == 0 and self.waiting() > MAX_WAITING:
                ended.wait(0.05)
                continue
            commit(self._store, batch(self.intervals, COUNTERS), sinks=tuple(self._settings))
            self.intervals += 1
            for one in self._deliveries.values():
                one.notify()

    def waiting(self) -> int:
        """Of the sink that is behind most."""
        return max(self._store.backlog(name).batches for name in self._settings)

    def dropped(self) -> int:
        return sum(self._store.spool_dropped().values())

    def states(self) -> list[DeliveryState]:
        return [one.state() for one in self._deliveries.values()]

    def stop(self) -> None:
        for one in self._deliveries.values():
            assert one.stop(30)
        self._store.stop()


def _wait(event: threading.Event, seconds: Optional[float]) -> bool:
    return event.wait(seconds if seconds is None else min(seconds, RETRY_MAX_S))
