"""Hours beside their intervals in a real influxd, and a range that is sent again out of the own history."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from ipsecmon.cli.backfill import backfill_command
from ipsecmon.cli.main import cli
from ipsecmon.model import Batch, Direction, How, Increment, PartIncrement, TunnelIncrement, TunnelKey
from ipsecmon.sinks.delivery import Delivery
from ipsecmon.sinks.influxdb import Config, Sink
from ipsecmon.store import kept
from tests.unit.store.store_cases import NS, T0_S, VPN, WEB, batch, commit, opened, spool_of

from .servers import TOKEN, USER, FrontServer, InfluxServer

T0_NS = T0_S * NS
HOUR_NS = 3600 * NS
STEP_S = 300
INTERVALS = 40  # three hours and a third
FINE = ("counter", "meter", "tunnel", "event", "part")
COARSE = ("counter_1h", "tunnel_1h", "part_1h")
DAY = ("--from", "2024-10-04T00:00Z", "--to", "2024-10-05T00:00Z")  # T0_S

Rows = dict[str, list[dict[str, Any]]]
Run = Callable[..., click.testing.Result]


def interval(number: int) -> Batch:
    """No two have the same numbers."""
    rows = (Increment(WEB, 1000 + number, 10, 900, 9, 1), Increment(VPN, 10 + number, 1))
    peers = ("198.51.100.7", "203.0.113.9")
    tunnels = tuple(
        TunnelIncrement(
            TunnelKey("parent", peer, Direction.IN), octets=number + index, births=number % 2, sas=1
        )
        for index, peer in enumerate(peers)
    )
    parts = (PartIncrement("T1", "web", Direction.IN, 1000 + number, 10, How.COUNTED),)
    return replace(batch(STEP_S * number, *rows, length_s=STEP_S), tunnels=tunnels, parts=parts)


@pytest.fixture
def sent(tmp_path: Path, influxd: InfluxServer, database: str, password_file: Path) -> Path:
    """A config, and beside it a store of which everything was delivered."""
    settings = {
        "url": influxd.url,
        "database": database,
        "username": USER,
        "password_file": str(password_file),
    }
    folder = tmp_path / "store"
    with opened(folder, interval_s=STEP_S) as store, spool_of(folder, "influxdb") as spool:
        commit(store, *map(interval, range(INTERVALS)), sinks=("influxdb",))

        def stop(event: threading.Event, _: object) -> bool:
            delivery.stop(5)
            return event.is_set()

        delivery = Delivery("influxdb", Sink(Config.model_validate(settings)), spool, wait=stop)
        delivery.run()
        assert store.backlog("influxdb").batches == 0
    lines = [f"      {name}: {value}" for name, value in settings.items()]
    file = tmp_path / "ipsecmon.yaml"
    file.write_text(
        "router: hq-gw1\ninterval: 5min\nline: {name: T1, interface: wan0}\n"
        f"store: {{path: {folder}}}\nsinks:\n  - influxdb:\n" + "\n".join(lines) + "\n"
    )
    return file


@pytest.fixture
def run(sent: Path) -> Run:
    def backfilled(*arguments: str, status: int = 0) -> click.testing.Result:
        result = CliRunner().invoke(backfill_command, ["-c", str(sent), *arguments])
        assert result.exit_code == status, result.output
        return result

    return backfilled


def everything(influxd: InfluxServer, database: str) -> Rows:
    """Each point with its time, tags and fields."""
    return {name: influxd.rows(f"SELECT * FROM {name}", database) for name in (*FINE, *COARSE)}


def delete(influxd: InfluxServer, database: str, start_ns: int, end_ns: int) -> None:
    influxd.query(f"DELETE FROM /.*/ WHERE time >= {start_ns} AND time < {end_ns}", database)


@pytest.mark.parametrize(
    ("fine", "coarse", "tags"),
    [
        ("counter", "counter_1h", "counter, direction, observed_at"),
        ("part", "part_1h", "line, part, direction"),
        ("tunnel", "tunnel_1h", "tunnel, direction, observed_at"),
    ],
)
@pytest.mark.usefixtures("sent")
def test_an_hour_has_what_its_intervals_sum_up_to(
    influxd: InfluxServer, database: str, fine: str, coarse: str, tags: str
) -> None:
    whole = f"time >= {T0_NS} AND time < {T0_NS + 3 * HOUR_NS}"
    sums = influxd.rows(
        f"SELECT sum(octets) AS octets FROM {fine} WHERE {whole} GROUP BY time(1h), {tags}", database
    )
    hours = influxd.rows(f"SELECT octets FROM {coarse} GROUP BY {tags}", database)
    assert len(hours) == 3 * (2 if fine == "counter" else 1)
    assert hours == sums


def test_what_was_deleted_is_there_again_after_a_backfill(
    run: Run, influxd: InfluxServer, database: str
) -> None:
    before = everything(influxd, database)
    assert len(before["counter"]) == 2 * INTERVALS and len(before["tunnel"]) == 2 * INTERVALS
    delete(influxd, database, T0_NS + HOUR_NS // 2, T0_NS + 2 * HOUR_NS)
    assert everything(influxd, database) != before
    said = run("--from", "2024-10-04T00:30Z", "--to", "2024-10-04T02:00Z").output
    assert "of 18 intervals and 2 hours" in said
    assert everything(influxd, database) == before


def test_a_backfill_twice_and_over_what_is_there_changes_nothing(
    run: Run, influxd: InfluxServer, database: str
) -> None:
    before = everything(influxd, database)
    for _ in range(2):
        assert f"of {INTERVALS} intervals and 3 hours" in run(*DAY).output
        assert everything(influxd, database) == before


def test_a_server_that_was_lost_gets_everything_back(run: Run, influxd: InfluxServer, database: str) -> None:
    before = everything(influxd, database)
    influxd.query(f"DROP DATABASE {database}")
    influxd.query(f"CREATE DATABASE {database}")
    run(*DAY)
    assert everything(influxd, database) == before


def test_before_the_kept_intervals_there_are_hours_and_it_is_said(
    run: Run, sent: Path, influxd: InfluxServer, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = everything(influxd, database)
    monkeypatch.setattr(kept, "MAX_KEPT_BATCHES", 4)
    with opened(sent.parent / "store", interval_s=STEP_S) as store:
        commit(store, *(interval(number) for number in range(INTERVALS, INTERVALS + 6)))
    delete(influxd, database, T0_NS, T0_NS + 3 * HOUR_NS)
    said = run(*DAY).output
    assert "of the time before there are only sums of hours" in said
    after = everything(influxd, database)
    assert all(after[name] == before[name] for name in COARSE)


def test_a_server_that_is_away_is_said_and_nothing_leaves_the_store(run: Run, sent: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    text = sent.read_text()
    url = next(line for line in text.splitlines() if "url:" in line)
    sent.write_text(text.replace(url, f"      url: http://127.0.0.1:{port}"))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("ipsecmon.agent.backfill.TRIES", 1)
        result = CliRunner().invoke(cli, ["backfill", "-c", str(sent), *DAY])
    assert result.exit_code == 1
    assert "is the server up?" in result.output and "Traceback" not in result.output


def test_points_that_the_server_refuses_are_counted_and_the_rest_is_there(
    run: Run, influxd: InfluxServer, database: str
) -> None:
    before = everything(influxd, database)
    influxd.query("DROP MEASUREMENT event", database)
    influxd.write(f'event,router=other count="text" {T0_NS}\n'.encode(), database)
    result = run(*DAY, status=1)
    assert "refused" in result.output and "field type conflict" in result.output
    after = everything(influxd, database)
    assert all(after[name] == before[name] for name in (*COARSE, "counter", "tunnel", "part"))


def test_a_bucket_is_backfilled_through_the_v2_api(
    sent: Path, front: FrontServer, influxd: InfluxServer, database: str, token_file: Path
) -> None:
    before = everything(influxd, database)
    assert token_file.read_text().strip() == TOKEN
    text = sent.read_text()
    head = text[: text.index("sinks:")]
    bucket = f"{{url: {front.url}, bucket: {database}, org: ops, token_file: {token_file}}}"
    sent.write_text(
        f"{head}sinks:\n  - file: {{path: {sent.parent}/out.csv, format: csv}}\n  - influxdb: {bucket}\n"
    )
    influxd.query(f"DROP DATABASE {database}")
    influxd.query(f"CREATE DATABASE {database}")
    result = CliRunner().invoke(backfill_command, ["-c", str(sent), *DAY])
    assert result.exit_code == 0, result.output
    assert everything(influxd, database) == before
    assert not (sent.parent / "out.csv").exists()
    wrong = CliRunner().invoke(cli, ["backfill", "-c", str(sent), "--sink", "file", *DAY])
    assert wrong.exit_code == 1 and "there is influxdb" in wrong.output
