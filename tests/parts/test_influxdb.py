"""The InfluxDB sink against a real influxd, directly (1.x) and through nginx (the v2 write API)."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ipsecmon.errors import Rejected, Unavailable
from ipsecmon.model import Batch, Increment
from ipsecmon.sinks.influxdb import Config, Sink

from .batches import START_NS, STEP_NS, batch, total_octets, tunnel_batch
from .servers import MAX_BODY_OCTETS, PASSWORD, TOKEN, USER, FrontServer, InfluxServer, free_ports

Make = Callable[..., Sink]

FIELDS = {
    "nflog_octets": 2,
    "nflog_packets": 3,
    "lost_packets": 4,
    "pending_packets": 5,
    "bridged_octets": 6,
    "bridged_packets": 7,
}
TAGS = {"router": "hq gw,1", "counter": "tunnel 0, Büro=1", "direction": "out", "observed_at": "wire"}


@pytest.fixture
def make_v1(influxd: InfluxServer, database: str, password_file: Path) -> Make:
    def make(place: str = database, **settings: Any) -> Sink:
        usual = {
            "url": influxd.url,
            "database": place,
            "username": USER,
            "password_file": password_file,
            "timeout": "5s",
        }
        return Sink(Config.model_validate({**usual, **settings}))

    return make


@pytest.fixture
def make_v2(front: FrontServer, database: str, token_file: Path) -> Make:
    def make(place: str = database, **settings: Any) -> Sink:
        usual = {
            "url": front.url,
            "bucket": place,
            "org": "ops",
            "token_file": token_file,
            "timeout": "5s",
        }
        return Sink(Config.model_validate({**usual, **settings}))

    return make


@pytest.fixture(params=["v1", "v2"])
def make(request: pytest.FixtureRequest) -> Make:
    made: Make = request.getfixturevalue(f"make_{request.param}")
    return made


def stored_octets(influxd: InfluxServer, database: str) -> int:
    rows = influxd.rows("SELECT sum(octets) FROM counter", database)
    return int(rows[0]["sum"]) if rows else 0


@pytest.mark.parametrize("gzip", [True, False])
def test_what_is_sent_is_stored_with_its_tags_and_fields(
    make: Make, influxd: InfluxServer, database: str, gzip: bool
) -> None:
    make(gzip=gzip).send(batch())
    by_tags = "GROUP BY router, counter, direction, observed_at, interface, component, kind"
    none = {"interface": "", "component": "", "kind": ""}
    counters = influxd.rows(f"SELECT * FROM counter {by_tags}", database)
    assert counters[0] == {"time": START_NS, "octets": 1, "packets": 1, **TAGS, **none}
    meters = influxd.rows(f"SELECT * FROM meter {by_tags}", database)
    assert meters[0] == {"time": START_NS, **FIELDS, **TAGS, **none}
    (interface,) = influxd.rows("SELECT * FROM interface", database)
    tags = {"router": "hq gw,1", "interface": "eth1", "direction": "in"}
    assert interface == {"time": START_NS, "octets": 1000, "frames": 7, **tags}
    (own,) = influxd.rows("SELECT * FROM agent", database)
    tags = {"router": "hq gw,1", "component": "nflog", "kind": "overrun"}
    assert own == {"time": START_NS, "value": 0, **tags}


def test_every_field_is_an_integer(make: Make, influxd: InfluxServer, database: str) -> None:
    make().send(batch())
    assert {row["fieldType"] for row in influxd.rows("SHOW FIELD KEYS", database)} == {"integer"}


TUNNEL_TAGS = {"router": "hq gw,1", "tunnel": 'to "parent"\\, Büro=1', "peer": "2001:db8::7"}
TUNNEL_FIELDS = {
    "octets": 1200,
    "packets": 10,
    "derived_octets": 200,
    "bridged_octets": 0,
    "bridged_packets": 0,
    "error_bound_octets": 0,
    "error_bound_packets": 0,
    "unseen_ends": 1,
    "unbounded_ends": 0,
    "rekeys": 2,
    "sas": 2,
    "late_packets": 0,
    "replayed_packets": 0,
    "integrity_failures": 0,
    "sas_without_anti_replay": 0,
    "path_loss_packets": 4,
    "path_open_packets": 0,
    "unused_s": 3,
    "sa_age_s": 70,
}


def test_a_tunnel_is_stored_with_its_tags_and_fields(
    make: Make, influxd: InfluxServer, database: str
) -> None:
    make().send(tunnel_batch())
    select = "SELECT * FROM tunnel WHERE {} GROUP BY router, tunnel, peer, direction, observed_at"
    (inner,) = influxd.rows(select.format("direction = 'in' AND observed_at = 'inner'"), database)
    tags = {**TUNNEL_TAGS, "direction": "in", "observed_at": "inner"}
    assert inner == {"time": START_NS, **TUNNEL_FIELDS, **tags}
    (payload,) = influxd.rows(select.format("observed_at = 'payload'"), database)
    assert {name: value for name, value in payload.items() if value is not None} == {
        "time": START_NS,
        "octets": 1000,
        **tags,
        "observed_at": "payload",
    }
    (out,) = influxd.rows(select.format("direction = 'out'"), database)
    assert out["octets"] == 90
    assert out["path_loss_packets"] is None and out["unused_s"] is None
    keys = influxd.rows("SHOW TAG KEYS FROM tunnel", database)
    assert {row["tagKey"] for row in keys} == {*TUNNEL_TAGS, "direction", "observed_at"}


def test_errors_and_events_are_stored_with_their_text(
    make: Make, influxd: InfluxServer, database: str
) -> None:
    make().send(tunnel_batch())
    (error,) = influxd.rows("SELECT * FROM xfrm_error", database)
    assert error == {"time": START_NS, "router": "hq gw,1", "error": "XfrmInNoStates", "packets": 3}
    events = {row["kind"]: row for row in influxd.rows("SELECT * FROM event", database)}
    assert {kind: row["count"] for kind, row in events.items()} == {
        "sa-added": 1,
        "rekey": 2,
        "sa-ended": 1,
        "sa-end-unseen": 1,
        "sa-flush": 1,
    }
    assert events["rekey"]["text"] == 'to "parent"\\, Büro=1 in: 2 SAs replaced by new ones'
    assert events["rekey"]["end_ms"] == (START_NS + STEP_NS) // 10**6
    assert events["sa-flush"]["tunnel"] is None
    types = {
        row["fieldKey"]: row["fieldType"] for row in influxd.rows("SHOW FIELD KEYS FROM event", database)
    }
    assert types == {"count": "integer", "text": "string", "end_ms": "integer"}


def test_sending_tunnels_again_changes_nothing(make: Make, influxd: InfluxServer, database: str) -> None:
    sink = make()
    batches = [tunnel_batch(number) for number in range(3)]
    for each in batches:
        sink.send(each)
    places = ("tunnel", "event", "xfrm_error")
    before = [influxd.rows(f"SELECT * FROM {place}", database) for place in places]
    for each in (*batches, batches[0]):
        sink.send(each)
    assert [influxd.rows(f"SELECT * FROM {place}", database) for place in places] == before
    query = "SELECT sum(octets) FROM tunnel WHERE observed_at = 'inner' AND direction = 'in'"
    assert influxd.rows(query, database)[0]["sum"] == 1200 + 1201 + 1202


def test_sending_again_makes_no_double(make: Make, influxd: InfluxServer, database: str) -> None:
    sink = make()
    batches = [batch(number) for number in range(5)]
    for each in (*batches, *batches, batches[0]):
        sink.send(each)
    assert stored_octets(influxd, database) == total_octets(*batches)


def test_an_interval_falls_into_the_hour_that_it_begins_in(
    make_v1: Make, influxd: InfluxServer, database: str
) -> None:
    sink = make_v1()
    for number in range(359, 361):  # 05:59:50 and 06:00:00
        sink.send(batch(number, counters=1))
    where = f"WHERE time >= {START_NS} AND time < {START_NS + 2 * 3600 * 10**9}"
    rows = influxd.rows(f"SELECT sum(octets) FROM counter {where} GROUP BY time(1h)", database)
    assert [row["sum"] for row in rows] == [360, 361]


def test_a_batch_of_many_points_is_split_where_the_server_says_413(
    make_v2: Make, influxd: InfluxServer, front: FrontServer, database: str
) -> None:
    large = batch(counters=1200)
    make_v2(gzip=False).send(large)
    assert stored_octets(influxd, database) == total_octets(large)
    statuses = [line.split()[0] for line in front.requests()]
    assert "413" in statuses


def test_a_point_that_is_too_large_costs_only_itself(
    make_v2: Make, influxd: InfluxServer, database: str
) -> None:
    good = batch()
    bad = Increment(good.increments[0].key._replace(name="x" * MAX_BODY_OCTETS), 10**6, 1)
    mixed = replace(good, increments=(bad, *good.increments))
    with pytest.raises(Rejected, match="not even one point") as caught:
        make_v2(gzip=False).send(mixed)
    assert caught.value.dropped == 2  # the counter's and its meter's
    assert stored_octets(influxd, database) == total_octets(good)


def test_points_of_the_wrong_type_are_refused_and_the_others_stored(
    make: Make, influxd: InfluxServer, database: str
) -> None:
    influxd.write(f'agent,router=other value="text" {START_NS}\n'.encode(), database)
    with pytest.raises(Rejected, match="field type conflict") as caught:
        make().send(batch())
    assert caught.value.dropped == 1
    assert stored_octets(influxd, database) == total_octets(batch())


def test_points_older_than_the_retention_are_refused(
    make_v1: Make, influxd: InfluxServer, database: str
) -> None:
    influxd.query(f"CREATE RETENTION POLICY short ON {database} DURATION 1h REPLICATION 1")
    old = Batch("hq", 10**18, 10**18 + 1, batch().increments)
    with pytest.raises(Rejected, match="beyond retention policy") as caught:
        make_v1(retention_policy="short").send(old)
    assert caught.value.dropped == 5


def test_a_missing_database_is_named_and_waited_for(make: Make, influxd: InfluxServer) -> None:
    place = "later" + str(len(influxd.query("SHOW DATABASES")[0]["values"]))
    sink = make(place)
    with pytest.raises(Unavailable, match=rf'status 404 \(database not found: "{place}"\)'):
        sink.send(batch())
    influxd.query(f"CREATE DATABASE {place}")
    sink.send(batch())
    assert stored_octets(influxd, place) == total_octets(batch())


def test_a_changed_password_is_picked_up(
    make_v1: Make, influxd: InfluxServer, database: str, password_file: Path
) -> None:
    password_file.write_text("wrong")
    sink = make_v1()
    with pytest.raises(Unavailable, match=r"status 401 .*check the token or password"):
        sink.send(batch())
    password_file.write_text(PASSWORD)
    sink.send(batch())
    assert stored_octets(influxd, database) == total_octets(batch())


def test_a_changed_token_is_picked_up(
    make_v2: Make, influxd: InfluxServer, database: str, token_file: Path
) -> None:
    token_file.write_text("wrong")
    sink = make_v2()
    with pytest.raises(Unavailable, match=r"status 401 .*check the token or password"):
        sink.send(batch())
    token_file.write_text(TOKEN)
    sink.send(batch())
    assert stored_octets(influxd, database) == total_octets(batch())


def test_a_user_who_may_not_write_is_told_so(make_v1: Make, influxd: InfluxServer) -> None:
    influxd.query(f"CREATE USER guest WITH PASSWORD '{PASSWORD}'")
    with pytest.raises(Unavailable, match=r"status 403 .*may write to"):
        make_v1(username="guest").send(batch())


def test_a_server_that_limits_requests_says_for_how_long(
    make_v2: Make, front: FrontServer, influxd: InfluxServer, database: str
) -> None:
    sink = make_v2(url=f"{front.url}/limited")
    sink.send(batch())
    with pytest.raises(Unavailable, match="status 429") as caught:
        sink.send(batch(1))
    assert caught.value.retry_after_s == 7
    assert stored_octets(influxd, database) == total_octets(batch())


@pytest.mark.parametrize(("path", "status"), [("login", 200), ("moved", 302), ("nowhere", 404)])
def test_an_answer_that_is_not_influxdbs_is_no_acknowledgement(
    make_v1: Make, front: FrontServer, path: str, status: int
) -> None:
    with pytest.raises(Unavailable, match=f"status {status}"):
        make_v1(url=f"{front.url}/{path}").send(batch())


def test_plain_http_to_the_https_port_costs_no_points(make: Make, front: FrontServer) -> None:
    with pytest.raises(Unavailable, match=r"status 400"):
        make(url=front.https_url.replace("https", "http")).send(batch())


def test_a_server_that_is_down_is_waited_for(make: Make, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    with pytest.raises(Unavailable, match="connection refused; is the server up"):
        make(url=f"http://127.0.0.1:{port}").send(batch())


def test_a_restarted_server_is_found_again(influxd: InfluxServer, make_v1: Make, database: str) -> None:
    sink = make_v1()
    sink.send(batch(0))
    influxd.stop()
    with pytest.raises(Unavailable):
        sink.send(batch(1))
    influxd.start()
    sink.send(batch(1))
    assert stored_octets(influxd, database) == total_octets(batch(0), batch(1))


def test_a_frozen_server_costs_the_timeout_and_no_octet(
    influxd: InfluxServer, make: Make, database: str
) -> None:
    sink = make(timeout="1s")
    sink.send(batch(0))
    influxd.signal(signal.SIGSTOP)
    try:
        with pytest.raises(Unavailable, match="no answer within 1 s"):
            sink.send(batch(1))
    finally:
        influxd.signal(signal.SIGCONT)
    make().send(batch(1))
    assert stored_octets(influxd, database) == total_octets(batch(0), batch(1))


def test_a_certificate_of_an_own_authority_is_taken_when_it_is_named(
    make_v2: Make, front: FrontServer, influxd: InfluxServer, database: str, authority: Path
) -> None:
    make_v2(url=front.https_url, ca_file=authority).send(batch())
    assert stored_octets(influxd, database) == total_octets(batch())


def test_a_certificate_of_an_unknown_authority_is_refused(
    make: Make, front: FrontServer, influxd: InfluxServer, database: str
) -> None:
    with pytest.raises(Unavailable, match=r"CERTIFICATE_VERIFY_FAILED.*check the server's certificate"):
        make(url=front.https_url).send(batch())
    assert stored_octets(influxd, database) == 0


def test_a_certificate_of_another_host_is_refused(make: Make, front: FrontServer, authority: Path) -> None:
    url = front.https_url.replace("127.0.0.1", "localhost")
    with pytest.raises(Unavailable, match="TLS: "):
        make(url=url, ca_file=authority).send(batch())


def test_an_authority_that_cannot_be_read_is_named(make: Make, front: FrontServer, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="ca_file"):
        make(url=front.https_url, ca_file=tmp_path / "nowhere").send(batch())


def test_no_secret_is_shown_anywhere(
    make: Make, front: FrontServer, caplog: pytest.LogCaptureFixture
) -> None:
    (port,) = free_ports(1)
    shown = []
    for url in (f"http://127.0.0.1:{port}", front.https_url, f"{front.url}/nowhere", front.url):
        sink = make(url=url)
        sink.start()
        for name in ("", "urllib3", "influxdb_client"):  # the client sets levels of its own
            caplog.set_level(logging.DEBUG, logger=name)
        shown += [repr(sink), repr(vars(sink))]
        try:
            sink.send(batch())
        except Unavailable as failure:
            shown += [str(failure), repr(failure), repr(failure.__cause__)]
        shown.append(repr(vars(sink)))
    text = "\n".join((*shown, caplog.text))
    assert PASSWORD not in text
    assert TOKEN not in text
    assert "127.0.0.1" in caplog.text  # there was something to find it in
