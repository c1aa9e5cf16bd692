"""One database with a made-up day, and hours of weeks, for all tests here."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from ipsecmon.model import Batch
from ipsecmon.sinks.influxdb import Config, Sink
from tests.parts.servers import PASSWORD, USER, InfluxServer

from .lab import batches
from .lab_months import hours


@pytest.fixture(scope="session")
def day(influxd: InfluxServer, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of the database."""
    name = "day"
    influxd.query(f"CREATE DATABASE {name}")
    password: Path = tmp_path_factory.mktemp("day") / "password"
    password.write_text(PASSWORD)
    settings = {"url": influxd.url, "database": name, "username": USER, "password_file": password}
    sink = Sink(Config.model_validate({**settings, "gzip": False}))
    sink.start()
    for batch in batches():
        sink.send(batch)
    for some in in_groups(hours(), 200):
        sink.send_all(some)
    sink.stop()
    return name


def in_groups(found: Iterator[Batch], size: int) -> Iterator[list[Batch]]:
    while some := list(itertools.islice(found, size)):
        yield some
