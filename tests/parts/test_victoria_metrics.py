"""The same writer, another server: VictoriaMetrics stores the sums that influxd stores."""

from __future__ import annotations

import json
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ipsecmon.model import Batch
from ipsecmon.sinks.influxdb import Config, Sink

from .batches import batch, tunnel_batch
from .conftest import require
from .servers import USER, InfluxServer, Server, free_ports, running

FIELDS = {"counter": ("octets", "packets"), "meter": ("nflog_octets",), "tunnel": ("octets", "rekeys")}


class VictoriaServer(Server):
    """victoria-metrics without authentication, as it comes."""

    def __init__(self, folder: Path) -> None:
        (port,) = free_ports(1)
        command = ["victoria-metrics", f"-httpListenAddr=127.0.0.1:{port}", "-storageDataPath=data"]
        # docs/influxdb.md asks for the latter: without it a resent sample is there twice
        command += ["-retentionPeriod=10y", "-dedup.minScrapeInterval=1ms"]
        super().__init__(command, folder, f"http://127.0.0.1:{port}")

    def samples(self, metric: str) -> list[dict[str, Any]]:
        """Each series with its labels, values and times (ms), once all that came is searchable."""
        with urllib.request.urlopen(f"{self.url}/internal/force_flush", timeout=10):
            pass
        query = urllib.parse.urlencode({"match[]": metric})
        with urllib.request.urlopen(f"{self.url}/api/v1/export?{query}", timeout=10) as answer:
            return [json.loads(line) for line in answer.read().splitlines()]


@pytest.fixture
def victoria(tmp_path: Path) -> Iterator[VictoriaServer]:
    require("victoria-metrics")
    folder = tmp_path / "victoria"
    folder.mkdir()
    with running(VictoriaServer(folder)) as server:
        yield server


@pytest.fixture(params=["v1", "v2"])
def sink(request: pytest.FixtureRequest, victoria: VictoriaServer, token_file: Path) -> Sink:
    bucket = {"bucket": "b", "org": "ops", "token_file": token_file}
    place = bucket if request.param == "v2" else {"database": "traffic"}
    return Sink(Config.model_validate({"url": victoria.url, "timeout": "5s", **place}))


def batches() -> list[Batch]:
    hour = replace(batch(0), end_ns=batch(0).start_ns + 3600 * 10**9, resolution_s=3600)
    intervals = [one for number in range(30) for one in (batch(number, 10), _plain(tunnel_batch(number)))]
    return [*intervals, hour]


def _plain(one: Batch) -> Batch:
    """Without the backslash before a comma, which this server takes for one that escapes itself."""
    named = (replace(each, key=each.key._replace(tunnel='to "parent", Büro=1')) for each in one.tunnels)
    return replace(one, tunnels=tuple(named))


def in_victoria(victoria: VictoriaServer) -> dict[str, Counter[str]]:
    sums: dict[str, Counter[str]] = {}
    for measurement, fields in FIELDS.items():
        for field in fields:
            found: Counter[str] = Counter()
            for one in victoria.samples(f"{measurement}_{field}"):
                labels = one["metric"]
                found[_name(labels)] += sum(map(int, one["values"]))
            sums[f"{measurement}.{field}"] = found
    return sums


def in_influxd(influxd: InfluxServer, database: str) -> dict[str, Counter[str]]:
    sums: dict[str, Counter[str]] = {}
    for measurement, fields in FIELDS.items():
        for field in fields:
            rows = influxd.rows(f"SELECT sum({field}) FROM {measurement} GROUP BY *", database)
            found: Counter[str] = Counter()
            for row in rows:
                if row["sum"] is not None:
                    found[_name(row)] += row["sum"]
            sums[f"{measurement}.{field}"] = found
    return sums


def _name(tags: dict[str, Any]) -> str:
    names = ("router", "counter", "tunnel", "peer", "direction", "observed_at")
    return "|".join(str(tags.get(name) or "") for name in names)


def test_it_stores_the_sums_that_influxd_stores(
    sink: Sink, victoria: VictoriaServer, influxd: InfluxServer, database: str, password_file: Path
) -> None:
    login = {"url": influxd.url, "database": database, "username": USER, "password_file": password_file}
    other = Sink(Config.model_validate(login))
    for one in (sink, other):
        one.send_all(batches())
    there = in_victoria(victoria)
    assert there == in_influxd(influxd, database)
    assert sum(there["counter.octets"].values()) == sum(
        n + i + 1 for n in range(30) for i in range(10)
    )  # batches.py
    assert sum(int(v) for one in victoria.samples("counter_1h_octets") for v in one["values"]) == 3


def test_sent_again_it_is_counted_once_with_deduplication_switched_on(
    sink: Sink, victoria: VictoriaServer
) -> None:
    for _ in range(2):
        sink.send_all(batches())
    there = in_victoria(victoria)
    assert sum(there["counter.octets"].values()) == sum(n + i + 1 for n in range(30) for i in range(10))
