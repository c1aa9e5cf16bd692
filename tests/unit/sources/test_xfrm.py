"""SAs as main has them: the same objects, whole after whatever went wrong, and never silently less."""

from __future__ import annotations

import logging
from typing import Any, NamedTuple, Optional

import pytest

from ipsecmon.agent.observe import Counters
from ipsecmon.errors import HelperAway, HelperGone, SourceError
from ipsecmon.helper.client import HelpersEvents, HelpersSas
from ipsecmon.helper.sa_verbs import SaVerbs
from ipsecmon.ipsec import SaEvent, SaFlush
from ipsecmon.sources.xfrm import XfrmSource
from tests.unit.helper.made_up_reader import MadeUpReader
from tests.unit.wire.both_ends import listed
from tests.unit.wire.sa_rows import a_policy, an_sa, moved

ROWS = [an_sa(spi) for spi in range(3)]
FLUSHES: list[SaEvent] = [SaFlush(number % 200) for number in range(1500)]


class Failures(NamedTuple):
    netlink: Optional[Exception] = None
    ip_xfrm: Optional[Exception] = None


class MadeUpHelper:
    """The helper's own verbs, without a process. damage: what becomes of records on the way."""

    def __init__(self, failures: Failures = Failures()) -> None:  # noqa: B008 - frozen
        self._failures = {"netlink": failures.netlink, "ip-xfrm": failures.ip_xfrm}
        self.away: Optional[Exception] = None
        self.damage: Optional[bytes] = None
        self.restart()

    def restart(self) -> None:
        self.reader = MadeUpReader()
        self.reader.rows, self.reader.told = list(ROWS), [a_policy()]
        self._verbs = SaVerbs({name: lambda name=name: self._open(name) for name in self._failures})  # type: ignore[misc]

    def _open(self, name: str) -> MadeUpReader:
        failure = self._failures[name]
        if failure is not None:
            raise failure
        return self.reader

    def sa_dump(self, reader: str, known: int) -> HelpersSas:
        answer = self._ask(f"sa-dump {reader} {known}")
        return HelpersSas(answer["dump"], answer["epoch"], self.damage or answer["body"])

    def sa_events(self, reader: str) -> HelpersEvents:
        answer = self._ask(f"sa-events {reader}")
        return HelpersEvents(answer["epoch"], answer["missed"], answer["more"], self.damage or answer["body"])

    def _ask(self, request: str) -> dict[str, Any]:
        if self.away is not None:
            raise self.away
        answer = self._verbs.find(request.encode())
        assert answer is not None
        return answer()


@pytest.fixture
def helper() -> MadeUpHelper:
    return MadeUpHelper()


@pytest.fixture
def counts() -> Counters:
    return Counters()


@pytest.fixture
def source(helper: MadeUpHelper, counts: Counters) -> XfrmSource:
    made = XfrmSource(helper, "netlink", counts)
    made.start()
    return made


def test_unchanged_sas_are_the_same_objects_and_policies_are_told_once(
    source: XfrmSource, helper: MadeUpHelper
) -> None:
    first = source.dump()
    assert listed(first) == (ROWS, [a_policy()])
    helper.reader.rows = [moved(ROWS[0]), an_sa(7), ROWS[2], ROWS[1]]
    second = source.dump()
    assert listed(second) == (helper.reader.rows, None)
    assert second.sas[2] is first.sas[2] and second.sas[3] is first.sas[1]


def test_policies_that_changed_are_told_and_equal_ones_are_not(
    source: XfrmSource, helper: MadeUpHelper
) -> None:
    source.dump()
    helper.reader.told = [a_policy("10.9.0.0/16")]
    assert source.dump().policies == [a_policy("10.9.0.0/16")]
    helper.reader.told = [a_policy("10.9.0.0/16")]
    assert source.dump().policies is None


def test_all_that_came_is_heard_at_once_and_counted(
    source: XfrmSource, helper: MadeUpHelper, counts: Counters
) -> None:
    assert source.hear() == ([], False)
    helper.reader.pending = FLUSHES
    assert source.hear() == (FLUSHES, False)
    helper.reader.has_missed = True
    assert source.hear() == ([], True)
    assert source.hear() == ([], False)
    assert counts.totals() == {"xfrm.events": 1500, "xfrm.missed-events": 1}


def test_after_a_restart_of_the_helper_a_dump_is_whole_and_events_were_missed(
    source: XfrmSource, helper: MadeUpHelper
) -> None:
    first = source.dump()
    helper.restart()
    second = source.dump()
    assert listed(second) == (list(first.sas), None)
    assert source.hear() == ([], True)
    assert source.hear() == ([], False)


def test_a_restart_shows_in_what_is_heard_too(source: XfrmSource, helper: MadeUpHelper) -> None:
    helper.restart()
    helper.reader.pending = FLUSHES[:1]
    assert source.hear() == (FLUSHES[:1], True)
    assert list(source.dump().sas) == ROWS
    assert source.hear() == ([], False)


@pytest.mark.parametrize("error", [HelperAway("away"), HelperGone("gone"), SourceError("refused")])
def test_after_the_helper_was_away_all_is_told(
    source: XfrmSource, helper: MadeUpHelper, error: SourceError
) -> None:
    source.dump()
    helper.away = error
    for ask in (source.dump, source.hear):
        with pytest.raises(type(error), match=str(error)):
            ask()
    helper.away = None
    helper.reader.rows, helper.reader.pending = ROWS[:1], FLUSHES[:2]
    assert listed(source.dump()) == (ROWS[:1], None)
    assert source.hear() == (FLUSHES[:2], True)


def test_a_malformed_answer_is_a_source_error_and_the_next_dump_is_whole(
    source: XfrmSource, helper: MadeUpHelper
) -> None:
    source.dump()
    helper.damage, helper.reader.told = b"x", [a_policy("10.9.0.0/16")]
    with pytest.raises(SourceError, match="the helper's answer about SAs cannot be read: dump cut short"):
        source.dump()
    with pytest.raises(SourceError, match="cannot be read: malformed record"):
        source.hear()
    helper.damage = None
    assert listed(source.dump()) == (ROWS, [a_policy("10.9.0.0/16")])
    assert source.hear() == ([], True)


def test_what_was_heard_before_a_failure_is_told_by_the_next(
    source: XfrmSource, helper: MadeUpHelper, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper.reader.pending = FLUSHES[:1500]
    answers = iter((helper.sa_events, failing))
    monkeypatch.setattr(helper, "sa_events", lambda reader: next(answers)(reader))
    with pytest.raises(HelperAway):
        source.hear()
    monkeypatch.undo()
    assert source.hear() == (FLUSHES, True)


def failing(reader: str) -> HelpersEvents:
    raise HelperAway(reader)


def test_where_netlink_is_refused_ip_is_the_reader_with_one_warning(
    counts: Counters, caplog: pytest.LogCaptureFixture
) -> None:
    source = XfrmSource(MadeUpHelper(Failures(netlink=SourceError("refused"))), "netlink", counts)
    with caplog.at_level(logging.WARNING):
        source.start()
        assert listed(source.dump()) == (ROWS, [a_policy()])
        assert source.hear() == ([], False)
    assert source.reader == "ip-xfrm" and counts.totals()["xfrm.fallbacks"] == 1
    assert [record.message for record in caplog.records] == [
        "SAs are read by the second reader reader=ip-xfrm why='by netlink: refused'"
    ]


def test_where_neither_reader_works_one_line_says_why(counts: Counters) -> None:
    helper = MadeUpHelper(Failures(SourceError("refused"), SourceError("ip is not installed")))
    with pytest.raises(SourceError, match="by netlink: refused; by ip-xfrm: ip is not installed"):
        XfrmSource(helper, "netlink", counts).start()


def test_a_reader_that_was_chosen_is_not_replaced(counts: Counters) -> None:
    helper = MadeUpHelper(Failures(ip_xfrm=SourceError("ip is not installed")))
    with pytest.raises(SourceError, match="SAs cannot be read: by ip-xfrm: ip is not installed"):
        XfrmSource(helper, "ip-xfrm", counts).start()


def test_a_helper_that_is_away_is_no_reason_for_another_reader(
    helper: MadeUpHelper, counts: Counters
) -> None:
    helper.away = HelperAway("away")
    source = XfrmSource(helper, "netlink", counts)
    with pytest.raises(HelperAway):
        source.start()
    helper.away = None
    source.start()
    assert source.reader == "netlink" and list(source.dump().sas) == ROWS
