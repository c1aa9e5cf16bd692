"""What the helper answers to sa-dump and sa-events, whatever reader it has."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ipsecmon.errors import SourceError
from ipsecmon.helper import sa_verbs
from ipsecmon.helper.bounds import Bounds
from ipsecmon.helper.sa_verbs import EVENTS_AT_ONCE, SaVerbs
from ipsecmon.helper.server import Server
from ipsecmon.ipsec import SaEvent, SaFlush
from ipsecmon.wire.sa_dumps import DumpDecoder
from ipsecmon.wire.sa_rows import decode_events
from tests.unit.helper.made_up_reader import MadeUpReader
from tests.unit.ruleset.plans import small_plan
from tests.unit.wire.both_ends import listed
from tests.unit.wire.sa_rows import a_policy, an_sa, moved

ROWS = [an_sa(spi) for spi in range(3)]


class Verbs:
    """Both readers made up. opened: all that were, in order."""

    def __init__(self) -> None:
        self.opened: list[MadeUpReader] = []
        self.verbs = SaVerbs({"netlink": self._open, "ip-xfrm": self._open})

    def _open(self) -> MadeUpReader:
        self.opened.append(MadeUpReader())
        return self.opened[-1]

    @property
    def reader(self) -> MadeUpReader:
        return self.opened[-1]

    def ask(self, request: str) -> dict[str, Any]:
        answer = self.verbs.find(request.encode())
        assert answer is not None
        return answer()


@pytest.fixture
def asked() -> Verbs:
    made = Verbs()
    made.ask("sa-events netlink")
    made.reader.rows, made.reader.told = ROWS, [a_policy()]
    return made


def test_who_knows_the_last_dump_is_told_what_is_other(asked: Verbs) -> None:
    decoder = DumpDecoder()
    first = asked.ask("sa-dump netlink 0")
    assert listed(decoder.decode(first["body"])) == (ROWS, [a_policy()])
    asked.reader.rows = [moved(ROWS[0]), *ROWS[1:]]
    second = asked.ask(f"sa-dump netlink {first['dump']}")
    assert b"192.0.2.1" not in second["body"]
    assert listed(decoder.decode(second["body"])) == (asked.reader.rows, None)


@pytest.mark.parametrize("known", ["0", "1", "9999999999999999999"])
def test_who_does_not_is_told_all_and_the_policies_again(asked: Verbs, known: str) -> None:
    for _ in range(2):
        answer = asked.ask(f"sa-dump netlink {known}")
        assert listed(DumpDecoder().decode(answer["body"])) == (ROWS, [a_policy()])


def test_a_dump_before_the_last_is_not_known(asked: Verbs) -> None:
    first = asked.ask("sa-dump netlink 0")
    asked.ask(f"sa-dump netlink {first['dump']}")
    again = asked.ask(f"sa-dump netlink {first['dump']}")
    assert listed(DumpDecoder().decode(again["body"])) == (ROWS, [a_policy()])


def test_after_a_failure_what_was_known_is_built_upon(asked: Verbs) -> None:
    first = asked.ask("sa-dump netlink 0")
    asked.reader.failure = OSError(1, "no")
    with pytest.raises(OSError, match="no"):
        asked.ask(f"sa-dump netlink {first['dump']}")
    asked.reader.failure = None
    again = asked.ask(f"sa-dump netlink {first['dump']}")
    assert b"192.0.2.1" not in again["body"]


def test_another_reader_closes_the_first_and_builds_on_nothing(asked: Verbs) -> None:
    first = asked.ask("sa-dump netlink 0")
    second = asked.ask(f"sa-dump ip-xfrm {first['dump']}")
    assert [reader.is_open for reader in asked.opened] == [False, True]
    assert second["epoch"] != first["epoch"]
    assert listed(DumpDecoder().decode(second["body"])) == ([], [])
    asked.verbs.close()
    assert not asked.reader.is_open


def test_the_epoch_stays_as_long_as_the_reader(asked: Verbs) -> None:
    requests = ("sa-dump netlink 0", "sa-events netlink", "sa-events netlink")
    assert len({asked.ask(request)["epoch"] for request in requests}) == 1


def test_events_come_a_thousand_at_once(asked: Verbs) -> None:
    events: list[SaEvent] = [SaFlush(number % 200) for number in range(EVENTS_AT_ONCE + 1)]
    asked.reader.pending, asked.reader.has_missed = events, True
    first, second = asked.ask("sa-events netlink"), asked.ask("sa-events netlink")
    assert (first["more"], first["missed"], second["more"], second["missed"]) == (True, True, False, False)
    assert [*decode_events(first["body"]), *decode_events(second["body"])] == events


def test_too_many_sas_are_refused_in_one_line(asked: Verbs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sa_verbs, "MAX_SAS", 2)
    with pytest.raises(SourceError, match="the kernel has more than 2 SAs"):
        asked.ask("sa-dump netlink 0")


@pytest.mark.parametrize(
    "request_", ["sa-dump", "sa-dump netlink", "sa-dump netlink 0 ", "sa-dump Netlink 0", "sa-events", "sa"]
)
def test_what_is_none_of_these_verbs_is_not_found(asked: Verbs, request_: str) -> None:
    assert asked.verbs.find(request_.encode()) is None


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Verbs], socket.socket]]:
    """A server with these verbs, in a thread; our end of its connection."""
    ends: list[socket.socket] = []
    threads: list[threading.Thread] = []
    plan = small_plan()

    def run(verbs: Verbs) -> socket.socket:
        ours, theirs = socket.socketpair()
        ends.extend((ours, theirs))
        monkeypatch.setattr("ipsecmon.helper.server.SaVerbs", lambda: verbs.verbs)
        threads.append(threading.Thread(target=Server(theirs, plan, Bounds.of(plan)).run))
        threads[-1].start()
        return ours

    yield run
    for end in ends[::2]:
        end.close()
    for thread in threads:
        thread.join(10)
    for end in ends[1::2]:
        end.close()


def test_failures_of_a_reader_are_answered_and_the_connection_goes_on(
    asked: Verbs, serve: Callable[[Verbs], socket.socket]
) -> None:
    ours = serve(asked)
    asked.reader.failure = PermissionError(1, "Operation not permitted")
    with ours.makefile("rb") as answers:
        ours.sendall(b"sa-dump netlink 0\n")
        assert b'"message": "sa-dump: [Errno 1] Operation not permitted"' in answers.readline()
        asked.reader.failure = None
        ours.sendall(b"sa-events netlink\n")
        assert answers.readline().endswith(b'"octets": 2}\n')
        assert answers.read(2) == b"[]"
