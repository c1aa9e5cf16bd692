"""The loop: descriptors, moments, signals, and the boundary around every component."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Callable

import pytest

from ipsecmon.agent.loop import SWITCH_S, Loop
from ipsecmon.agent.observe import Counters
from ipsecmon.clock import Moment
from ipsecmon.errors import HelperGone

NOW = 1000


class StillClock:
    """Stands at NOW until it is moved."""

    def __init__(self) -> None:
        self.monotonic_ns = NOW

    def now(self) -> Moment:
        return Moment(0, self.monotonic_ns)


class Scene:
    """A loop on a still clock, and what was called in it."""

    def __init__(self, on_signal: Mapping[signal.Signals, Callable[[], object]]) -> None:
        self.clock = StillClock()
        self.counts = Counters()
        self.loop = Loop(self.clock, self.counts, on_signal)
        self.called: list[str] = []

    def note(self, what: str) -> Callable[[], None]:
        return lambda: self.called.append(what)

    def fail(self) -> None:
        self.called.append("failed")
        raise RuntimeError("broken component")


@pytest.fixture
def scene() -> Iterator[Scene]:
    made = Scene({})
    with closing(made.loop):
        yield made


def test_what_is_due_is_called_in_the_order_of_its_time_and_then_of_asking(scene: Scene) -> None:
    for at, what in ((NOW, "last"), (NOW - 5, "first"), (NOW - 1, "second"), (NOW - 1, "third")):
        scene.loop.call_at(at, scene.note(what))
    scene.loop.call_at(NOW, scene.loop.end)
    scene.loop.run()
    assert scene.called == ["first", "second", "third", "last"]


def test_what_is_not_due_waits(scene: Scene) -> None:
    scene.loop.call_at(NOW + 1, scene.note("later"))
    scene.loop.call_at(NOW, scene.loop.end)
    scene.loop.run()
    assert scene.called == []


def test_a_call_may_ask_for_the_next_one(scene: Scene) -> None:
    def again() -> None:
        scene.called.append("called")
        scene.clock.monotonic_ns += 10
        after = scene.loop.end if len(scene.called) == 3 else again
        scene.loop.call_at(scene.clock.monotonic_ns, after)

    scene.loop.call_at(NOW, again)
    scene.loop.run()
    assert scene.called == ["called"] * 3


def test_a_readable_descriptor_is_called_until_it_is_watched_no_more(scene: Scene) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:

        def read() -> None:
            scene.called.append(ours.recv(1).decode())
            if scene.called[-1] == "b":
                scene.loop.unwatch(ours)
                scene.loop.call_at(NOW, scene.loop.end)

        scene.loop.watch(ours, read)
        theirs.sendall(b"abc")
        scene.loop.run()
    assert scene.called == ["a", "b"]


def test_what_one_raises_is_counted_and_stops_no_other(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.loop.call_at(NOW - 2, scene.fail)
    scene.loop.call_at(NOW - 1, scene.fail)
    scene.loop.call_at(NOW, scene.note("other"))
    scene.loop.call_at(NOW, scene.loop.end)
    scene.loop.run()
    assert scene.called == ["failed", "failed", "other"]
    assert scene.counts.totals() == {"agent.errors": 2}
    assert [record.message for record in caplog.records] == ["RuntimeError: broken component"]


def test_without_its_helper_the_loop_ends(scene: Scene) -> None:
    def read() -> None:
        raise HelperGone("the helper process has ended")

    scene.loop.call_at(NOW - 1, read)
    scene.loop.call_at(NOW, scene.note("too late"))
    scene.loop.call_at(NOW, scene.loop.end)
    with pytest.raises(HelperGone):
        scene.loop.run()
    assert scene.called == []


def test_signals_are_called_in_the_loop_and_given_back_after_it() -> None:
    before = signal.getsignal(signal.SIGUSR1)
    made = Scene(
        {signal.SIGUSR1: lambda: made.called.append("usr1"), signal.SIGTERM: lambda: made.loop.end()}
    )
    with closing(made.loop):
        made.loop.call_at(NOW, lambda: os.kill(os.getpid(), signal.SIGUSR1))
        made.loop.call_at(NOW, lambda: os.kill(os.getpid(), signal.SIGTERM))
        made.loop.run()
    assert made.called == ["usr1"]
    assert signal.getsignal(signal.SIGUSR1) == before
    assert signal.set_wakeup_fd(-1) == -1


def test_a_signal_whose_call_fails_does_not_swallow_the_next() -> None:
    made = Scene({signal.SIGHUP: lambda: made.fail(), signal.SIGTERM: lambda: made.loop.end()})

    def both() -> None:
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGTERM)

    with closing(made.loop):
        made.loop.call_at(NOW, both)
        made.loop.run()
    assert made.called == ["failed"]
    assert made.counts.totals() == {"agent.errors": 1}


def test_handlers_are_given_back_after_a_failure_too() -> None:
    before = signal.getsignal(signal.SIGTERM)
    made = Scene({signal.SIGTERM: lambda: None})

    def read() -> None:
        raise HelperGone("gone")

    made.loop.call_at(NOW, read)
    with closing(made.loop), pytest.raises(HelperGone):
        made.loop.run()
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_loop_may_run_again(scene: Scene) -> None:
    for what in ("once", "twice"):
        scene.loop.call_at(NOW, scene.note(what))
        scene.loop.call_at(NOW, scene.loop.end)
        scene.loop.run()
    assert scene.called == ["once", "twice"]


def test_other_threads_give_way_to_the_loop_soon_while_it_runs_and_only_then(scene: Scene) -> None:
    before, meanwhile = sys.getswitchinterval(), []
    scene.loop.call_at(NOW, lambda: meanwhile.append(sys.getswitchinterval()))
    scene.loop.call_at(NOW, scene.loop.end)
    scene.loop.run()
    assert meanwhile == [pytest.approx(SWITCH_S)] and before > SWITCH_S
    assert sys.getswitchinterval() == before
