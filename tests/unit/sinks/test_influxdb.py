"""What the InfluxDB sink makes of a server's answers; the servers themselves are in tests/parts."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Optional

import pytest

from ipsecmon.errors import Rejected, SinkError, Unavailable
from ipsecmon.model import Batch, CounterKey, Direction, ObservationPoint
from ipsecmon.sinks import influxdb
from ipsecmon.sinks.encoding import encode_line_protocol
from ipsecmon.sinks.influxdb_answers import MAX_MESSAGE_CHARACTERS, Answer, check_answer, one_line

from .samples import START_NS, batch, increment

URL = "http://127.0.0.1:8086"


def answer(status: int, body: object = "", **headers: str) -> Answer:
    text = body if isinstance(body, str) else json.dumps(body)
    return Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, text)


STORED = answer(204)


def verdict(given: Answer) -> SinkError:
    with pytest.raises(SinkError) as caught:
        check_answer(given, URL)
    return caught.value


def test_only_a_204_is_an_acknowledgement() -> None:
    check_answer(STORED, URL)
    for status in (200, 201, 202, 301, 302):
        assert "check that url is that of an InfluxDB server" in str(verdict(answer(status, "<html>")))


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (401, "check the token or password"),
        (403, "may write to"),
        (404, "bucket or database exists"),
        (429, "fewer requests"),
        (500, "see the server's log"),
        (502, "see the server's log"),
        (503, "overloaded or starting"),
        (405, "check that url"),
    ],
)
def test_every_other_answer_keeps_the_batch_and_says_what_to_check(status: int, advice: str) -> None:
    failure = verdict(answer(status, {"error": "as\nit is"}))
    assert isinstance(failure, Unavailable)
    assert str(failure).startswith(f"{URL}: status {status} (as it is); ")
    assert advice in str(failure)


@pytest.mark.parametrize(
    ("said", "dropped"),
    [
        ("partial write: field type conflict: … dropped=2", 2),
        ("partial write: points beyond retention policy dropped=17", 17),
        ("unable to parse 'a': missing fields\nunable to parse 'b': missing fields", 2),
        ("some lines are not liked", None),
    ],
)
@pytest.mark.parametrize("word", ["error", "message"])
def test_a_refusal_tells_how_many_points_it_costs(said: str, dropped: Optional[int], word: str) -> None:
    failure = verdict(answer(400, {word: said}))
    assert isinstance(failure, Rejected)
    assert failure.dropped == dropped
    assert "\n" not in str(failure)


def test_a_422_of_influxdb_is_a_refusal_too() -> None:
    assert isinstance(verdict(answer(422, {"code": "x", "message": "y"})), Rejected)


@pytest.mark.parametrize(
    "body", ["<html>400 plain HTTP request sent to HTTPS port", "", "[]", "7", '{"a": 1}']
)
def test_a_400_that_influxdb_did_not_write_costs_no_points(body: str) -> None:
    assert isinstance(verdict(answer(400, body)), Unavailable)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry_after": "7"}, 7.0),
        ({"retry_after": " 120 "}, 120.0),
        (
            {"retry_after": "Sun, 22 Nov 2026 05:01:30 GMT", "date": "Sun, 22 Nov 2026 05:00:00 GMT"},
            90.0,
        ),
        ({"retry_after": "Sun, 22 Nov 2026 05:00:00 GMT", "date": "Sun, 22 Nov 2026 05:00:09 GMT"}, 0.0),
        ({"retry_after": "Sun, 22 Nov 2026 05:01:30 GMT"}, None),
        ({"retry_after": "soon"}, None),
        ({"retry_after": "-5"}, None),
        ({}, None),
    ],
)
def test_the_wait_that_a_server_asks_for_is_read(headers: dict[str, str], seconds: Optional[float]) -> None:
    failure = verdict(answer(503, "", **headers))
    assert isinstance(failure, Unavailable)
    assert failure.retry_after_s == seconds


def test_no_control_character_of_a_server_reaches_a_log_or_a_terminal() -> None:
    said = verdict(answer(503, {"error": "wait\n2026-11-29 forged \x1b[2J\x9b1m\u202e"}))

    assert "(wait 2026-11-29 forged ?[2J?1m?)" in str(said)


def test_a_long_message_is_cut() -> None:
    assert len(one_line("x y\n" * 1000)) == MAX_MESSAGE_CHARACTERS
    assert one_line("short") == "short"


class Server:
    """Our own seam Transport: answers as it is told and keeps the lines of what it stored."""

    def __init__(self, decide: Callable[[list[bytes]], Answer]) -> None:
        self.requests: list[list[bytes]] = []
        self.stored: list[bytes] = []
        self.is_closed = False
        self._decide = decide

    def post(self, lines: bytes) -> Answer:
        part = lines.splitlines(keepends=True)
        self.requests.append(part)
        given = self._decide(part)
        if given.status in (204, 400):
            self.stored += part
        return given

    def close(self) -> None:
        self.is_closed = True


def sink_of(server: Server, monkeypatch: pytest.MonkeyPatch) -> influxdb.Sink:
    monkeypatch.setattr("ipsecmon.sinks.influxdb_http.build_transport", lambda config: server)
    return influxdb.Sink(influxdb.Config(url=URL, database="traffic"))


def large_batch(counters: int) -> Batch:
    keys = (CounterKey(f"c{n}", Direction.IN, ObservationPoint.WIRE) for n in range(counters))
    return Batch("hq-gw1", START_NS, START_NS + 10**10, tuple(increment(key) for key in keys))


def test_a_large_batch_goes_in_bounded_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(lambda lines: STORED)
    large = large_batch(influxdb.POINTS_PER_REQUEST)
    sink_of(server, monkeypatch).send(large)
    assert [len(request) for request in server.requests] == [influxdb.POINTS_PER_REQUEST] * 2
    assert server.stored == encode_line_protocol(large)


@pytest.mark.parametrize("limit", range(1, 8))
def test_requests_that_are_too_large_are_halved_until_they_fit(
    monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    server = Server(lambda lines: STORED if len(lines) <= limit else answer(413))
    sink_of(server, monkeypatch).send(batch())
    assert server.stored == encode_line_protocol(batch())


def test_a_single_point_that_is_too_large_costs_only_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(lambda lines: answer(413) if any(b"value=" in line for line in lines) else STORED)
    with pytest.raises(Rejected, match="not even one point") as caught:
        sink_of(server, monkeypatch).send(batch())
    assert caught.value.dropped == 1
    assert server.stored == encode_line_protocol(batch())[:-1]


def test_after_a_refusal_the_rest_of_the_batch_is_still_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(influxdb, "POINTS_PER_REQUEST", 2)
    server = Server(lambda lines: answer(400, {"error": f"conflict dropped={len(lines)}"}))
    with pytest.raises(Rejected) as caught:
        sink_of(server, monkeypatch).send(batch())
    assert caught.value.dropped == 6
    assert len(server.requests) == 3


def test_a_refusal_without_a_number_counts_all_points_of_its_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(influxdb, "POINTS_PER_REQUEST", 3)
    bodies = iter([{"error": "dropped=1"}, {"error": "who knows"}])
    server = Server(lambda lines: answer(400, next(bodies)))
    with pytest.raises(Rejected) as caught:
        sink_of(server, monkeypatch).send(batch())
    assert caught.value.dropped == 1 + 3  # and is told of the first


@pytest.mark.parametrize("status", [401, 403])
def test_after_a_refused_secret_the_next_send_begins_with_a_new_one(
    monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    refusing, taking = Server(lambda lines: answer(status)), Server(lambda lines: STORED)
    sink = sink_of(refusing, monkeypatch)
    sink.start()
    with pytest.raises(Unavailable):
        sink.send(batch())
    assert refusing.is_closed
    monkeypatch.setattr("ipsecmon.sinks.influxdb_http.build_transport", lambda config: taking)
    sink.send(batch())
    assert len(taking.requests) == 1


def test_after_a_413_requests_are_smaller_and_grow_again(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    def at_most_two(lines: list[bytes]) -> Answer:
        sizes.append(len(lines))
        return answer(413) if len(lines) > 2 else STORED

    sink = sink_of(Server(at_most_two), monkeypatch)
    for _ in range(3):
        sink.send(batch())
    assert sizes[:3] == [6, 3, 1]
    assert sizes.count(6) == 1
