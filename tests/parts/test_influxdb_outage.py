"""A server, or what stands before it, that breaks in the middle: nothing is missing and nothing double."""

from __future__ import annotations

import contextlib
import itertools
import logging
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional

import pytest

from ipsecmon.agent.observe import Counters
from ipsecmon.errors import Unavailable
from ipsecmon.model import Batch
from ipsecmon.sinks.delivery import Delivery, DeliveryState
from ipsecmon.sinks.influxdb import Config, Sink
from tests.unit.store.store_cases import commit, opened, spool_of

from .batches import START_NS, STEP_NS, batch, total_octets
from .servers import USER, FrontServer, InfluxServer

HOUR_NS = 3600 * 10**9


def influxdb(url: str, database: str, **settings: Any) -> Sink:
    return Sink(Config.model_validate({"url": url, "database": database, "timeout": "2s", **settings}))


@pytest.fixture
def login(password_file: Path) -> dict[str, Any]:
    return {"username": USER, "password_file": password_file}


def stored_octets(influxd: InfluxServer, database: str) -> int:
    rows = influxd.rows("SELECT sum(octets) FROM counter", database)
    return int(rows[0]["sum"]) if rows else 0


def delivered(
    folder: Path, sink: Sink, batches: list[Batch], attempts: int = 1, counts: Optional[Counters] = None
) -> DeliveryState:
    """The batches through the real store, spool and delivery; waiting between attempts is cut short."""
    left = attempts

    def wait(event: threading.Event, seconds: object) -> bool:
        nonlocal left
        left -= 1
        if left <= 0:
            delivery.stop(0)
        return event.is_set()

    with opened(folder) as store, spool_of(folder, "influxdb") as spool:
        commit(store, *batches, sinks=("influxdb",))
        delivery = Delivery("influxdb", sink, spool, counts=counts, wait=wait)
        delivery.run()
        assert store.backlog("influxdb").batches == 0
    return delivery.state()


def test_a_proxy_that_closes_in_the_middle_of_a_request_is_waited_for(
    front: FrontServer, influxd: InfluxServer, database: str, login: dict[str, Any]
) -> None:
    large = batch(counters=4000)
    for gzip in (True, False):
        with pytest.raises(Unavailable, match=r"is (the server up|it an InfluxDB server)"):
            influxdb(f"{front.url}/closing", database, gzip=gzip).send(large)
    influxdb(influxd.url, database, timeout="10s", **login).send(large)
    assert stored_octets(influxd, database) == total_octets(large)


@contextlib.contextmanager
def trickling(answer: bytes) -> Iterator[str]:
    """What answers with an octet each tenth of a second, for ever: its URL."""
    done = threading.Event()

    def trickle() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                connection.recv(65536)
                for octet in itertools.chain(answer, itertools.repeat(ord("x"))):
                    connection.send(bytes([octet]))
                    if done.wait(0.1):
                        return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=trickle)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            done.set()
            listener.shutdown(socket.SHUT_RDWR)
    thread.join()


@pytest.mark.parametrize("answer", [b"HTTP/1.1 204 No Content\r\nX-Header: ", b"HTTP/1.1 500 X\r\n\r\n"])
@pytest.mark.parametrize("api", ["v1", "v2"])
def test_an_answer_that_trickles_is_given_up_within_the_timeout(
    api: str, answer: bytes, token_file: Path
) -> None:
    bucket = {"bucket": "b", "org": "ops", "token_file": token_file}
    place = bucket if api == "v2" else {"database": "traffic"}
    began = time.monotonic()
    with trickling(answer) as url, pytest.raises(Unavailable, match="no answer within 1 s"):
        Sink(Config.model_validate({"url": url, "timeout": "1s", **place})).send(batch())
    assert time.monotonic() - began < 4


def test_a_server_that_is_starting_says_for_how_long(front: FrontServer, database: str) -> None:
    with pytest.raises(Unavailable, match=r"status 503 \(starting\); it is overloaded or starting") as caught:
        influxdb(f"{front.url}/starting", database).send(batch())
    assert caught.value.retry_after_s == 3


def test_a_proxy_without_its_server_is_waited_for(
    front: FrontServer, influxd: InfluxServer, database: str, login: dict[str, Any]
) -> None:
    sink = influxdb(f"{front.url}/passing", database, **login)
    sink.send(batch(0))
    influxd.kill()
    with pytest.raises(Unavailable, match="status 502"):
        sink.send(batch(1))
    influxd.start()
    sink.send(batch(1))
    assert stored_octets(influxd, database) == total_octets(batch(0), batch(1))


def test_a_certificate_that_has_expired_is_refused(
    front: FrontServer, database: str, authority: Path, login: dict[str, Any]
) -> None:
    sink = influxdb(front.expired_url, database, ca_file=authority, **login)
    with pytest.raises(Unavailable, match=r"certificate has expired.*check the server's certificate"):
        sink.send(batch())


def test_points_beyond_the_retention_are_dropped_counted_and_said_and_the_rest_goes_on(
    influxd: InfluxServer,
    database: str,
    login: dict[str, Any],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    influxd.query(f"CREATE RETENTION POLICY hour ON {database} DURATION 1h REPLICATION 1 DEFAULT")
    now_ns = time.time_ns() // STEP_NS * STEP_NS
    increments = batch().increments
    starts_ns = [now_ns - 3 * HOUR_NS, now_ns - 3 * HOUR_NS + STEP_NS, now_ns - 2 * STEP_NS, now_ns - STEP_NS]
    batches = [Batch("hq", start_ns, start_ns + STEP_NS, increments) for start_ns in starts_ns]
    counts = Counters()
    with caplog.at_level(logging.INFO):
        state = delivered(tmp_path, influxdb(influxd.url, database, **login), batches, counts=counts)
    assert stored_octets(influxd, database) == total_octets(*batches[2:])
    closed_hours = len({start_ns // HOUR_NS for start_ns in starts_ns}) - 1
    refused = 2 * 5 + 3 * closed_hours  # of an interval each meter too
    assert state.rejected_points == counts.totals()["influxdb.rejected-points"] == refused
    assert caplog.text.count("sink rejected sink=influxdb") == 1
    assert "points beyond retention policy" in caplog.text and state.retries == 0


def test_a_field_of_another_type_costs_its_points_and_the_others_of_the_interval_are_there(
    influxd: InfluxServer, database: str, login: dict[str, Any], tmp_path: Path
) -> None:
    influxd.write(f'meter,router=other nflog_octets="text" {START_NS}\n'.encode(), database)
    batches = [batch(number) for number in range(4)]
    state = delivered(tmp_path, influxdb(influxd.url, database, **login), batches)
    assert stored_octets(influxd, database) == total_octets(*batches)
    assert state.rejected_points == 8


def test_an_outage_longer_than_the_spool_leaves_every_hour_and_the_newest_intervals(
    influxd: InfluxServer, database: str, login: dict[str, Any], tmp_path: Path
) -> None:
    batches = [batch(number) for number in range(3 * 360 + 1)]
    sink = influxdb(influxd.url, database, timeout="10s", **login)
    with opened(tmp_path, max_spool_batches=100) as store:
        commit(store, *batches[:200], sinks=("influxdb",))
        influxd.kill()
        with pytest.raises(Unavailable):
            sink.send(batches[0])
        commit(store, *batches[200:], sinks=("influxdb",))
        dropped = store.spool_dropped()["influxdb"]
    influxd.start()
    state = delivered(tmp_path, sink, [])
    assert len(batches) - dropped + 3 == state.sent_batches <= 103
    rows = influxd.rows("SELECT sum(octets) FROM counter_1h GROUP BY time(1h) fill(none)", database)
    assert [row["sum"] for row in rows] == [
        total_octets(*batches[hour * 360 : (hour + 1) * 360]) for hour in range(3)
    ]
    assert stored_octets(influxd, database) == total_octets(*batches[dropped:])


def test_a_server_killed_between_and_within_batches_has_each_of_them_once(
    influxd: InfluxServer, database: str, login: dict[str, Any], tmp_path: Path
) -> None:
    """SIGKILL at moments that nobody chose, under a sender that never rests."""
    batches = [batch(number, counters=50) for number in range(120)]
    running = threading.Thread(target=_kill_thrice, args=(influxd,))
    running.start()
    try:
        state = delivered(tmp_path, influxdb(influxd.url, database, **login), batches, attempts=100_000)
    finally:
        running.join()
    assert state.sent_batches == 120
    assert stored_octets(influxd, database) == total_octets(*batches)
    rows = influxd.rows("SELECT count(octets) FROM counter", database)
    assert rows[0]["count"] == 120 * 50


def _kill_thrice(influxd: InfluxServer) -> None:
    for _ in range(3):
        time.sleep(0.15)
        influxd.kill()
        influxd.start()
