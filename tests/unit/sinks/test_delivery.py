"""The loop between a spool and a sink, run in the test's own thread with an injected wait."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Optional

import pytest

from ipsecmon.clock import Moment
from ipsecmon.errors import Rejected, StoreError, Unavailable
from ipsecmon.model import Batch
from ipsecmon.sinks import memory
from ipsecmon.sinks.delivery import GROUP_BATCHES, RETRY_AFTER_MAX_S, RETRY_MAX_S, Delivery
from ipsecmon.sinks.seam import Sink

from .samples import batch


class ListSpool:
    """Our own seam: batches in a list, with the calls it got."""

    def __init__(self, *numbers: int) -> None:
        self.waiting = list(numbers)
        self.calls: list[str] = []
        self.failures: list[Exception] = []

    def start(self) -> None:
        self.calls.append("start")

    def stop(self) -> None:
        self.calls.append("stop")

    def next_batches(self, at_most: int, /) -> list[tuple[int, Batch]]:
        if self.failures:
            raise self.failures.pop()
        return [(number, batch(number)) for number in self.waiting[:at_most]]

    def ack(self, *batch_ids: int) -> None:
        assert self.waiting[: len(batch_ids)] == list(batch_ids)
        del self.waiting[: len(batch_ids)]


class StillClock:
    def __init__(self) -> None:
        self.monotonic_s = 1000.0

    def now(self) -> Moment:
        return Moment(0, int(self.monotonic_s * 10**9))


class Bench:
    """A delivery that ends when it has waited as often as there are actions for its waits."""

    def __init__(
        self, spool: ListSpool, sink: Sink, *actions: Callable[[], object], name: str = "memory"
    ) -> None:
        self.delays: list[Optional[float]] = []
        self.clock = StillClock()
        self._actions = list(actions)
        self.delivery = Delivery(name, sink, spool, clock=self.clock, wait=self._wait, jitter=lambda: 1.0)

    def _wait(self, event: threading.Event, timeout_s: Optional[float]) -> bool:
        self.delays.append(timeout_s)
        if self._actions:
            self._actions.pop(0)()
        else:
            self.delivery.stop(5)
        return event.is_set()

    def run(self) -> None:
        self.delivery.run()


def nothing() -> None:
    pass


@pytest.fixture
def sink() -> memory.Sink:
    return memory.Sink(memory.Config())


def test_everything_in_the_spool_is_sent_in_order_and_acknowledged(sink: memory.Sink) -> None:
    spool = ListSpool(1, 2, 3)
    bench = Bench(spool, sink)
    bench.run()
    assert list(sink.batches) == [batch(1), batch(2), batch(3)]
    assert spool.waiting == []
    assert bench.delays == [None]
    state = bench.delivery.state()
    assert (state.healthy, state.sent_batches, state.retries) == (True, 3, 0)


def test_a_notification_brings_the_next_batch(sink: memory.Sink) -> None:
    spool = ListSpool(1)
    Bench(spool, sink, lambda: spool.waiting.append(2)).run()
    assert list(sink.batches) == [batch(1), batch(2)]


def test_an_unavailable_sink_keeps_the_batch_and_waits_longer_and_longer(sink: memory.Sink) -> None:
    spool = ListSpool(1)
    sink.fail_next(*(Unavailable("down") for _ in range(9)))
    bench = Bench(spool, sink, *([nothing] * 9))
    bench.run()
    assert bench.delays == [1, 2, 4, 8, 16, 32, 60, 60, 60, None]
    assert list(sink.batches) == [batch(1)]
    assert bench.delivery.state().retries == 9
    assert bench.delivery.state().healthy


def test_after_a_success_the_waits_begin_anew(sink: memory.Sink) -> None:
    sink.fail_next(Unavailable("down"), Unavailable("down"))
    spool = ListSpool(1)

    def fall_over_again() -> None:
        spool.waiting.append(2)
        sink.fail_next(Unavailable("down"))

    bench = Bench(spool, sink, nothing, nothing, fall_over_again, nothing)
    bench.run()
    assert bench.delays == [1, 2, None, 1, None]


def test_a_server_is_asked_again_no_sooner_than_it_said(sink: memory.Sink) -> None:
    sink.fail_next(Unavailable("busy", retry_after_s=30), Unavailable("busy", retry_after_s=10**9))
    bench = Bench(ListSpool(1), sink, nothing, nothing)
    bench.run()
    assert bench.delays == [31, RETRY_AFTER_MAX_S + 2, None]


def test_waiting_after_a_failure_is_not_cut_short_by_new_batches(sink: memory.Sink) -> None:
    sink.fail_next(Unavailable("down"))
    bench = Bench(ListSpool(1), sink)
    was_set: list[bool] = []

    def wait(event: threading.Event, timeout_s: Optional[float]) -> bool:
        bench.delivery.notify()
        was_set.append(event.is_set())
        bench.delivery.stop(5)
        return True

    bench.delivery = Delivery("memory", sink, ListSpool(1), clock=bench.clock, wait=wait)
    bench.run()
    assert was_set == [False]


def test_a_refused_batch_leaves_the_spool_and_its_points_are_counted(sink: memory.Sink) -> None:
    spool = ListSpool(1, 2, 3)
    sink.fail_next(Rejected("conflict", dropped=2), Rejected("conflict"))
    bench = Bench(spool, sink)
    bench.run()
    assert spool.waiting == []
    state = bench.delivery.state()
    assert state.rejected_points == 2 + 6  # where the server names no number, all points of the batch
    assert (state.sent_batches, state.retries) == (1, 0)


def test_changes_of_state_are_logged_and_repetitions_are_not(
    sink: memory.Sink, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    sink.fail_next(Unavailable("down"), Unavailable("down"), Rejected("no"), Rejected("no"))
    Bench(ListSpool(1, 2, 3, 4), sink, nothing, nothing, name="file-2").run()
    assert caplog.messages == [
        "sink unavailable sink=file-2 error=down",
        "sink rejected sink=file-2 error=no",
        "sink delivers again sink=file-2",
    ]


def test_status_tells_what_is_wrong_while_it_is_wrong(sink: memory.Sink) -> None:
    seen: list[tuple[bool, Optional[str]]] = []

    def look() -> None:
        seen.append((bench.delivery.state().healthy, bench.delivery.state().last_error))

    sink.fail_next(Unavailable("down"))
    bench = Bench(ListSpool(1), sink, look, look)
    bench.run()
    assert seen == [(False, "down"), (True, None)]


class BrokenSink(memory.Sink):
    """Fails once with what must never be shown."""

    def send(self, batch: Batch) -> None:
        if not self.batches:
            super().send(batch)
            raise ValueError("Invalid header value b'Token s3cr3t-t0ken'")
        super().send(batch)


def test_a_bug_in_a_sink_is_counted_retried_and_shows_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    sink = BrokenSink(memory.Config())
    bench = Bench(ListSpool(1), sink, lambda: errors.append(str(bench.delivery.state())))
    errors: list[str] = []
    bench.run()
    assert len(sink.batches) == 2
    assert bench.delivery.state().unexpected_errors == 1
    assert "unexpected ValueError at test_delivery.py:" in errors[0]
    assert "s3cr3t" not in errors[0] + caplog.text


def test_a_spool_that_cannot_be_read_is_tried_again(sink: memory.Sink) -> None:
    spool = ListSpool(1)
    spool.failures.append(StoreError("disk full"))
    bench = Bench(spool, sink, nothing)
    bench.run()
    assert bench.delays == [1, None]
    assert list(sink.batches) == [batch(1)]


class LateSink(memory.Sink):
    """Cannot be started at first."""

    starts = 0

    def start(self) -> None:
        self.starts += 1
        if self.starts < 3:
            raise Unavailable("no folder")


def test_a_sink_that_cannot_start_is_tried_again_and_is_well_without_a_batch() -> None:
    sink, spool = LateSink(memory.Config()), ListSpool()
    bench = Bench(spool, sink, nothing, nothing)
    bench.run()
    assert bench.delays == [1, 2, None]
    assert bench.delivery.state().healthy
    assert spool.calls[-2:] == ["start", "stop"]


def test_a_selection_is_applied_and_a_batch_without_a_part_is_acknowledged(sink: memory.Sink) -> None:
    for names, sent in ((("web",), 1), (("somebody",), 0)):
        spool = ListSpool(1)
        delivery = Delivery("memory", sink, spool, counters=names)
        delivery.start()
        assert delivery.stop(5)
        assert spool.waiting == []
        assert delivery.state().sent_batches == sent
    assert [part.key.name for part in sink.batches[0].increments] == ["web"]


class GreedySink(memory.Sink):
    """Takes whatever waits at once."""

    sizes: tuple[int, ...] = ()

    def send_all(self, batches: Sequence[Batch]) -> None:
        self.sizes = (*self.sizes, len(batches))
        for one in batches:
            self.send(one)


def test_a_sink_that_takes_many_gets_what_waits_in_one_piece_and_nothing_leaves_before() -> None:
    sink, spool = GreedySink(memory.Config(keep=2000)), ListSpool(*range(GROUP_BATCHES + 3))
    sink.fail_next(Unavailable("down"), Rejected("conflict"))
    waiting: list[int] = []
    bench = Bench(spool, sink, lambda: waiting.append(len(spool.waiting)))
    bench.run()
    assert waiting == [GROUP_BATCHES + 3]
    assert sink.sizes == (GROUP_BATCHES, GROUP_BATCHES, 3)
    assert spool.waiting == []
    state = bench.delivery.state()
    assert (state.sent_batches, state.rejected_points) == (3, 6 * GROUP_BATCHES)


@pytest.mark.parametrize(("kind", "sent"), [(memory.Sink, [0]), (GreedySink, [0, 3600])])
def test_sums_of_hours_go_only_to_a_sink_that_tells_them_from_intervals(
    kind: type[memory.Sink], sent: list[int]
) -> None:
    class WithHours(ListSpool):
        def next_batches(self, at_most: int, /) -> list[tuple[int, Batch]]:
            found = super().next_batches(at_most)
            return [(number, replace(one, resolution_s=3600 * (number == 2))) for number, one in found]

    sink, spool = kind(memory.Config()), WithHours(1, 2)
    Bench(spool, sink).run()
    assert [one.resolution_s for one in sink.batches] == sent
    assert spool.waiting == []


def test_stop_sends_what_is_there_once(sink: memory.Sink) -> None:
    spool = ListSpool()

    def stop_with_work() -> None:
        spool.waiting += [1, 2]
        bench.delivery.stop(5)

    bench = Bench(spool, sink, stop_with_work)
    bench.run()
    assert list(sink.batches) == [batch(1), batch(2)]
    assert spool.calls[-1] == "stop"


def test_stop_tries_a_failing_sink_only_once_more(sink: memory.Sink) -> None:
    spool = ListSpool(1)
    sink.fail_next(*(Unavailable("down") for _ in range(5)))
    bench = Bench(spool, sink)
    bench.run()
    assert bench.delivery.state().retries == 2
    assert spool.waiting == [1]


def test_what_does_not_fit_into_the_deadline_stays_in_the_spool() -> None:
    clock = StillClock()

    class SlowSink(memory.Sink):
        def send(self, batch: Batch) -> None:
            clock.monotonic_s += 2
            super().send(batch)

    sink, spool = SlowSink(memory.Config()), ListSpool()

    def wait(event: threading.Event, timeout_s: Optional[float]) -> bool:
        spool.waiting += range(10)
        delivery.stop(5)
        return True

    delivery = Delivery("memory", sink, spool, clock=clock, wait=wait)
    delivery.run()
    assert len(sink.batches) == 3
    assert spool.waiting == list(range(3, 10))


def test_a_sink_that_hangs_does_not_hang_stop() -> None:
    entered, release = threading.Event(), threading.Event()

    class HangingSink(memory.Sink):
        def send(self, batch: Batch) -> None:
            entered.set()
            release.wait(10)

    delivery = Delivery("memory", HangingSink(memory.Config()), ListSpool(1))
    delivery.start()
    assert entered.wait(10)
    assert not delivery.stop(0.01)
    release.set()
    assert delivery.stop(10)


def test_a_delivery_that_never_started_stops() -> None:
    assert Delivery("memory", memory.Sink(memory.Config()), ListSpool()).stop(1)


def test_the_longest_wait_is_bounded_however_long_a_server_is_away(sink: memory.Sink) -> None:
    sink.fail_next(*(Unavailable("down") for _ in range(99)))
    bench = Bench(ListSpool(1), sink, *([nothing] * 99))
    bench.run()
    assert max(delay for delay in bench.delays if delay is not None) == RETRY_MAX_S
