"""One database with a made-up day, for all tests here."""

from __future__ import annotations

from pathlib import Path

import pytest

from ipsecmon.sinks.influxdb import Config, Sink
from tests.parts.servers import PASSWORD, USER, InfluxServer

from .lab import batches


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
    sink.stop()
    return name
