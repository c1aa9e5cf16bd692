"""Takes a sink's batches from the spool, one after the other, until each is safe on the far side.

One thread for each sink, so that one that hangs holds up no other. A batch leaves the spool when
the sink took it or refused it for good; in between it is tried again, at longer and longer
intervals. All sinks share this; none has a retry of its own.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Optional, Protocol

from ipsecmon.clock import Clock, SystemClock
from ipsecmon.errors import IpsecmonError, Rejected, Unavailable
from ipsecmon.model import Batch, Counts
from ipsecmon.sinks.points import points_of
from ipsecmon.sinks.seam import BulkSink, Sink
from ipsecmon.sinks.selection import has_any, select

__all__ = [
    "GROUP_BATCHES",
    "REJECTED",
    "RETRY_AFTER_MAX_S",
    "RETRY_FIRST_S",
    "RETRY_MAX_S",
    "UNAVAILABLE",
    "BatchSource",
    "Delivery",
    "DeliveryState",
    "Wait",
]

GROUP_BATCHES = 500  # at most in one piece; the spool bounds its octets

RETRY_FIRST_S = 1.0
RETRY_MAX_S = 60.0  # a server that is back is noticed within a minute
RETRY_AFTER_MAX_S = 900.0  # what a server may ask for; more is taken for a mistake

Wait = Callable[[threading.Event, Optional[float]], bool]
"""Waits until the event is set, at most so many seconds (None: for ever)."""

UNAVAILABLE = "unavailable"
REJECTED = "rejected"

_logger = logging.getLogger(__name__)


class BatchSource(Protocol):
    """The spool as one sink sees it. Everything is called from the delivery's thread."""

    def start(self) -> None: ...
    def next_batches(self, at_most: int, /) -> Sequence[tuple[int, Batch]]: ...
    def ack(self, *batch_ids: int) -> None: ...
    def stop(self) -> None: ...


@dataclass(frozen=True)
class DeliveryState:
    """How a sink is doing. The numbers are totals since the start.

    healthy: the last attempt left nothing to complain about. rejected_points: refused for ever by
    the far side; where it did not say how many, all that were sent with them. unexpected_errors: bugs.
    trouble: UNAVAILABLE or REJECTED, None while healthy.
    """

    name: str
    healthy: bool = True
    trouble: Optional[str] = None
    last_error: Optional[str] = None
    sent_batches: int = 0
    retries: int = 0
    rejected_points: int = 0
    unexpected_errors: int = 0


class Delivery:
    """The thread between one spool and one sink. counters: the names it gets, None for all.

    counts: where it counts points that the far side refused for ever.
    """

    def __init__(
        self,
        name: str,
        sink: Sink,
        spool: BatchSource,
        *,
        counters: Optional[Collection[str]] = None,
        counts: Optional[Counts] = None,
        clock: Optional[Clock] = None,
        wait: Wait = threading.Event.wait,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._sink = sink
        self._spool = spool
        self._counters = counters
        self._counts = counts
        self._clock = clock or SystemClock()
        self._wait = wait
        self._jitter = jitter
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._deadline_ns = 0
        self._attempts = 0
        self._trouble: Optional[str] = None
        self._is_open = False
        self._lock = threading.Lock()
        self._state = DeliveryState(name)
        self._thread: Optional[threading.Thread] = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self.run, name=f"sink-{self._state.name}", daemon=True)
        self._thread.start()

    def notify(self) -> None:
        """There is a new batch. Does not shorten the wait after a failure."""
        self._wake.set()

    def stop(self, deadline_s: float) -> bool:
        """Send what is there, once, within the deadline; whether the thread has ended by then."""
        self._deadline_ns = self._clock.now().monotonic_ns + int(deadline_s * 10**9)
        self._stopping.set()
        self._wake.set()
        if self._thread is None:
            return True
        self._thread.join(deadline_s)
        return not self._thread.is_alive()

    def state(self) -> DeliveryState:
        with self._lock:
            return self._state

    def run(self) -> None:
        """What the thread does."""
        while not self._stopping.is_set():
            self._wake.clear()
            delay_s = self._deliver_waiting()
            if delay_s is None:
                self._wait(self._wake, None)
            else:
                self._wait(self._stopping, delay_s)
        self._deliver_waiting()
        self._close()

    def _deliver_waiting(self) -> Optional[float]:
        """Send until the spool is empty (None) or something failed (seconds until the next try)."""
        failure: IpsecmonError
        try:
            self._open()
            while self._may_go_on() and self._deliver_some():
                pass
            if self._trouble == UNAVAILABLE:
                self._praise()
            return None
        except IpsecmonError as error:
            failure = error
        except Exception as error:  # noqa: BLE001 - one sink's bug stays its own
            # Nothing of its text: it could hold a header with a token.
            self._change(unexpected_errors=self.state().unexpected_errors + 1)
            failure = Unavailable(f"unexpected {type(error).__name__} at {_place(error)}; please report it")
        self._complain(UNAVAILABLE, failure)
        self._change(retries=self.state().retries + 1)
        return self._delay_s(failure)

    def _open(self) -> None:
        if not self._is_open:
            self._spool.stop()  # harmless, and needed where only the sink failed before
            self._spool.start()
            self._sink.start()
            self._is_open = True

    def _close(self) -> None:
        for part in (self._sink, self._spool):
            try:
                part.stop()
            except Exception as error:  # noqa: BLE001 - the other is stopped all the same
                _logger.warning("stop failed sink=%s error=%s", self._state.name, type(error).__name__)

    def _may_go_on(self) -> bool:
        return not self._stopping.is_set() or self._clock.now().monotonic_ns < self._deadline_ns

    def _deliver_some(self) -> bool:
        """As many as the sink takes at a time. False: there is none."""
        takes_hours = isinstance(self._sink, BulkSink)
        found = self._spool.next_batches(GROUP_BATCHES if takes_hours else 1)
        chosen = [
            select(batch, self._counters) for _, batch in found if takes_hours or not batch.resolution_s
        ]
        self._send([batch for batch in chosen if has_any(batch)])
        if found:
            self._spool.ack(*(batch_id for batch_id, _ in found))
            self._attempts = 0
        return bool(found)

    def _send(self, batches: Sequence[Batch]) -> None:
        if not batches:
            return
        try:
            if isinstance(self._sink, BulkSink):
                self._sink.send_all(batches)
            else:
                self._sink.send(batches[0])
        except Rejected as refusal:
            self._complain(REJECTED, refusal)
            points = refusal.dropped
            if points is None:
                points = sum(len(points_of(batch)) for batch in batches)
            self._change(rejected_points=self.state().rejected_points + points)
            if self._counts and points:
                self._counts.add(self._state.name, "rejected-points", points)
        else:
            self._change(sent_batches=self.state().sent_batches + len(batches))
            self._praise()

    def _delay_s(self, failure: IpsecmonError) -> float:
        """Full jitter, so that routers that lost the same server do not come back together."""
        most = min(RETRY_MAX_S, RETRY_FIRST_S * 2.0 ** min(self._attempts, 30))
        self._attempts += 1
        asked = failure.retry_after_s if isinstance(failure, Unavailable) else None
        return min(asked or 0.0, RETRY_AFTER_MAX_S) + most * self._jitter()

    def _complain(self, what: str, failure: IpsecmonError) -> None:
        if self._trouble != what:
            _logger.warning("sink %s sink=%s error=%s", what, self._state.name, failure)
        self._trouble = what
        self._change(healthy=False, trouble=what, last_error=str(failure))

    def _praise(self) -> None:
        if self._trouble is not None:
            _logger.info("sink delivers again sink=%s", self._state.name)
        self._trouble = None
        self._change(healthy=True, trouble=None, last_error=None)

    def _change(self, **fields: object) -> None:
        with self._lock:
            self._state = replace(self._state, **fields)  # type: ignore[arg-type]


def _place(error: BaseException) -> str:
    """file:line of the innermost frame."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "?"
    return f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}"
