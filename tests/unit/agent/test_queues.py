"""Qdiscs in the agent: what is told of a change, when, and what is remembered; over a real store."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Optional

import pytest

from ipsecmon.agent.journal import MAX_AN_HOUR as TOLD_AN_HOUR
from ipsecmon.agent.journal import MAX_WAITING, Journal
from ipsecmon.agent.marks import mark
from ipsecmon.agent.observe import Counters
from ipsecmon.agent.queues import MAX_AN_HOUR, SETTLE_NS, TC_CONFIG, QueueMeter
from ipsecmon.errors import SourceError, StoreError
from ipsecmon.model import Direction
from ipsecmon.qos import Event, EventKind, QueueConfig, QueueKey, QueuePlace, QueueReading
from ipsecmon.sources.tc import TcNews, TcState
from ipsecmon.store import Store, events
from tests.unit.agent.made_up import NS, SteppedClock

ALWAYS = 2**62
ROOT = QueueKey("wan0", "tbf", "9:", "root")
BEHIND = QueueKey("ifb0", "tbf", "7:", "root")


def tbf(rate: str) -> QueueConfig:
    return QueueConfig("qdisc", "tbf", "9:", "root", "9:0", f"{rate}@root", {"rate": rate})


class Source:
    """A kernel as a test sets it: packets of one qdisc, its rate, and what is told."""

    def __init__(self) -> None:
        self.rate: Optional[str] = "1Mbit"
        self.interfaces = ["wan0"]
        self.origins = {"ifb0": {"wan0"}}
        self.packets = 0
        self.more: list[QueueKey] = []
        self.news = TcNews()
        self.error = ""

    @property
    def last(self) -> Optional[TcState]:
        if self.error:
            return None
        numbers = {"octets": 100 * self.packets, "packets": self.packets}
        readings = [QueueReading(key, "boot/3", numbers) for key in (ROOT, *self.more)]
        return TcState(readings, ["wan0"], {}, self.origins)

    def lines(self) -> dict[str, str]:
        return dict.fromkeys(self.interfaces, "T1")

    def hear(self) -> TcNews:
        news, self.news = self.news, TcNews()
        return news

    def configuration(self, names: Sequence[str]) -> dict[str, list[QueueConfig]]:
        if self.error:
            raise SourceError(self.error)
        return {} if self.rate is None else {name: [tbf(self.rate)] for name in names}


class Run:
    """One run of an agent over a store, with timers that a test lets go off."""

    def __init__(self, folder: Path, source: Source, clock: SteppedClock) -> None:
        self.folder = folder
        self.source = source
        self.clock = clock
        self.counts = Counters()
        self.store = Store(folder, 10, 400 * 86400)
        self.store.start(clock.now())
        self.timers: list[tuple[int, Callable[[], object]]] = []
        self.journal = Journal(self.store, clock, self.counts)
        self.meter = QueueMeter(source, source.lines, self.journal, self.counts, clock)
        self.meter.start(self.store, lambda at_ns, call: self.timers.append((at_ns, call)))

    def change(self, rate: str) -> None:
        self.source.rate = rate
        self.source.news = TcNews(has_any=True)
        self.meter.hear()

    def run_to(self, monotonic_ns: int) -> None:
        self.clock.run_to(monotonic_ns)
        due = [one for one in self.timers if one[0] <= monotonic_ns]
        self.timers = [one for one in self.timers if one[0] > monotonic_ns]
        for _, call in due:
            call()

    def told(self) -> list[Event]:
        return list(events(self.folder, 0, ALWAYS))


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    made = Run(tmp_path, Source(), SteppedClock())
    yield made
    made.store.stop()


def again(run: Run) -> Run:
    """The next run over the same store."""
    run.store.stop()
    run.clock.run_to(run.clock.monotonic_ns + NS)
    made = Run(run.folder, run.source, run.clock)
    run.store = made.store
    return made


def test_the_first_look_tells_nothing(run: Run) -> None:
    assert run.told() == []


def test_many_messages_of_one_script_are_one_event_at_the_first_one_s_time(run: Run) -> None:
    run.run_to(NS)
    at_ns = run.clock.now().wall_ns
    for number, rate in enumerate(("2Mbit", "3Mbit", "4Mbit")):
        run.clock.run_to(NS + number * NS // 2)
        run.change(rate)
    run.run_to(NS + SETTLE_NS)
    (event,) = run.told()
    assert event.text == "wan0: qdisc tbf 9: at root rate 1Mbit -> 4Mbit"
    assert (event.kind, event.start_ns, event.end_ns) == (EventKind.QDISC_CHANGED, at_ns, at_ns)
    assert run.timers == []


def test_news_without_a_change_are_no_event(run: Run) -> None:
    run.change("1Mbit")
    run.run_to(SETTLE_NS)
    assert run.told() == []


def test_a_change_while_no_agent_ran_is_found_and_told_once(run: Run) -> None:
    run.source.rate = "2Mbit"
    second = again(run)
    (event,) = second.told()
    assert event.text == "wan0: qdisc tbf 9: at root rate 1Mbit -> 2Mbit (while no agent ran)"
    assert len(again(second).told()) == 1


def test_an_interface_that_the_line_gets_is_compared_from_then_on(run: Run) -> None:
    run.source.interfaces = ["wan0", "wan1"]
    run.meter.follow()
    assert run.told() == []
    run.change("2Mbit")
    run.run_to(SETTLE_NS)
    rate = "qdisc tbf 9: at root rate 1Mbit -> 2Mbit"
    assert [(one.interface, one.text) for one in run.told()] == [
        ("wan0", f"wan0: {rate}"),
        ("wan1", f"wan1: {rate}"),
    ]


def test_an_interface_that_is_away_is_compared_when_it_is_back(run: Run) -> None:
    run.source.rate = None
    away = again(run)
    assert away.told() == []
    away.change("2Mbit")
    away.run_to(away.clock.monotonic_ns + SETTLE_NS)
    assert [one.text for one in away.told()] == ["wan0: qdisc tbf 9: at root rate 1Mbit -> 2Mbit"]


@pytest.mark.parametrize(
    "saved", ["", "[]", "{", '{"wan0": 7}', '{"wan0": [[1]]}', '{"wan0": {"a": 1}}', "7"]
)
def test_what_cannot_be_read_any_more_is_as_if_nothing_was_remembered(run: Run, saved: str) -> None:
    run.store.set_state(TC_CONFIG, saved)
    assert again(run).told() == []


def test_missed_news_are_a_reason_to_look(run: Run) -> None:
    run.source.rate = "2Mbit"
    run.source.news = TcNews(has_missed=True)
    run.meter.hear()
    run.run_to(SETTLE_NS)
    assert len(run.told()) == 1
    assert run.counts.totals() == {"tc.missed-events": 1}


def test_a_rate_that_a_program_steers_is_told_so_often_an_hour_and_then_together(run: Run) -> None:
    for number in range(MAX_AN_HOUR + 5):
        run.change(f"{number + 2}Mbit")
        run.run_to(run.clock.monotonic_ns + SETTLE_NS)
    assert len(run.told()) == MAX_AN_HOUR
    assert run.counts.totals() == {"tc.postponed-looks": 1}
    run.run_to(3600 * NS + SETTLE_NS)
    assert len(run.told()) == MAX_AN_HOUR + 1
    assert run.told()[-1].text.endswith(f"-> {MAX_AN_HOUR + 6}Mbit")


def test_a_source_that_fails_is_said_once_and_counting_goes_on(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    run.meter.read()
    run.source.packets = 5
    run.source.error = "no answer"
    for _ in range(3):
        run.meter.read()
    assert caplog.text.count("no answer") == 1
    assert run.counts.totals() == {"tc.failed-reads": 3}
    run.source.error = ""
    run.meter.read()
    assert [one.packets for one in run.meter.increments()] == [5]


def test_increments_say_whose_packets_they_are_also_when_the_ifb_has_gone_meanwhile(run: Run) -> None:
    run.source.more = [BEHIND]
    run.meter.read()
    run.source.packets, run.source.more, run.source.origins = 5, [], {}
    ended = QueueReading(BEHIND, "boot/3", {"octets": 300, "packets": 3})
    run.source.news = TcNews([ended], has_any=True)
    run.meter.read()
    told = {one.key: (one.packets, one.place) for one in run.meter.increments()}
    assert told == {
        ROOT: (5, QueuePlace("T1", Direction.OUT)),
        BEHIND: (3, QueuePlace("T1", Direction.IN)),
    }


def test_events_wait_for_a_store_that_refuses_and_have_an_end(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(event: Event, state: object = None) -> Event:
        raise StoreError("the disk is full")

    with monkeypatch.context() as full:
        full.setattr(run.store, "add_event", refuse)
        for number in range(MAX_WAITING + 3):
            run.journal.note(EventKind.RULES_REPAIRED, str(number), state={"last": str(number)})
        assert mark(run.journal, {"text": "x"}) == {"error": "the disk is full"}
    assert run.counts.totals() == {"events.dropped": 3}
    run.journal.save()
    assert [one.text for one in run.told()] == [str(number) for number in range(MAX_WAITING)]


def test_rules_that_are_broken_again_and_again_are_told_so_often_an_hour(run: Run) -> None:
    for _ in range(TOLD_AN_HOUR + 5):
        run.journal.note(EventKind.RULES_REPAIRED, "put back")
    run.journal.note(EventKind.RULES_CHANGED, "others")
    assert len(run.told()) == TOLD_AN_HOUR + 1
    assert run.counts.totals() == {"events.beyond": 5}
    run.run_to(3600 * NS)
    run.journal.note(EventKind.RULES_REPAIRED, "put back")
    assert len(run.told()) == TOLD_AN_HOUR + 2


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"text": 7},
        {"text": "  "},
        {"text": "x", "start_ns": "now"},
        {"text": "x", "start_ns": True},
        {"text": "x", "end_ns": -1},
        {"text": "x", "end_ns": 2**63},
    ],
)
def test_a_mark_that_is_none_is_refused(run: Run, request_: dict[str, object]) -> None:
    assert "needs a text" in mark(run.journal, request_)["error"]
    assert run.told() == []


def test_a_mark_is_plain_text_and_never_ends_before_it_began(run: Run) -> None:
    answer = mark(run.journal, {"text": "a\n\x1b b", "start_ns": 70, "end_ns": 60})
    assert (answer["event"]["text"], answer["event"]["start_ns"], answer["event"]["end_ns"]) == (
        "a b",
        70,
        70,
    )
    assert [one.text for one in run.told()] == ["a b"]
