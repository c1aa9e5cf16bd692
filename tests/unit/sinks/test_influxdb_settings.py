"""The settings of the InfluxDB sink, and the secrets they point to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from ipsecmon.errors import Unavailable
from ipsecmon.sinks.influxdb import Config
from ipsecmon.sinks.secrets import MAX_SECRET_OCTETS, read_secret

URL = "https://influx.example.net:8086"
BUCKET = {"url": URL, "bucket": "routers", "org": "ops", "token_file": "/etc/ipsecmon/token"}
DATABASE = {"url": URL, "database": "traffic"}
SECRET = "pl4nted-s3cret"


def test_a_bucket_and_a_database_are_both_taken() -> None:
    assert Config.model_validate(BUCKET).timeout == 10
    config = Config.model_validate({**DATABASE, "timeout": "1min", "url": f"{URL}/prefix/"})
    assert (config.timeout, config.url, config.gzip) == (60, f"{URL}/prefix", True)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"url": URL}, "write either bucket"),
        ({**BUCKET, "database": "traffic"}, "write either bucket"),
        ({**BUCKET, "org": None}, "a bucket needs org"),
        ({**BUCKET, "token_file": None}, "either token_file or token_env"),
        ({**BUCKET, "token_env": "TOKEN"}, "either token_file or token_env"),
        ({**BUCKET, "username": "admin"}, "leave out username: only for a database"),
        ({**DATABASE, "org": "ops", "token_env": "T"}, "leave out org, token_env: only for a bucket"),
        ({**DATABASE, "username": "admin"}, "username with either password_file or password_env"),
        ({**DATABASE, "password_env": "P"}, "username with either password_file or password_env"),
        ({**DATABASE, "username": "a:b", "password_env": "P"}, "username"),
        ({**DATABASE, "timeout": "soon"}, "write a number and one of"),
        ({**DATABASE, "timeout": "0s"}, "greater than or equal to 1"),
        ({**DATABASE, "url": "influx.example.net:8086"}, "write http:// or https://"),
        ({**DATABASE, "url": "http://influx.example.net:port"}, "write http:// or https://"),
        ({**DATABASE, "url": f"{URL}?db=x"}, "leave out user, password"),
    ],
)
def test_settings_that_do_not_fit_together_say_what_to_write(settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        Config.model_validate(settings)


@pytest.mark.parametrize("place", [f"admin:{SECRET}@host", f"admin:{SECRET}/@host", f"host:{SECRET}"])
def test_a_password_in_the_address_is_refused_without_being_shown(place: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Config.model_validate({**DATABASE, "url": f"http://{place}"})
    assert SECRET not in str(caught.value)
    assert SECRET not in "".join(error["msg"] for error in caught.value.errors())


def test_a_secret_is_read_from_its_file_each_time(tmp_path: Path) -> None:
    file = tmp_path / "token"
    for text in ("first", "second"):
        file.write_text(f"{text}\n")
        assert read_secret(file, None) == text


def test_a_secret_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFLUX_TOKEN", SECRET)
    assert read_secret(None, "INFLUX_TOKEN") == SECRET


def test_a_secret_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="INFLUX_NOWHERE is not set"):
        read_secret(None, "INFLUX_NOWHERE")
    with pytest.raises(Unavailable, match="no such file or directory; let the agent's user read it"):
        read_secret(tmp_path / "token", None)


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b" \n",
        f"{SECRET}\nX-Header: {SECRET}".encode(),
        SECRET.encode() + b"\0",
        SECRET.encode() + b"\xff",
        SECRET.encode() * MAX_SECRET_OCTETS,
    ],
)
def test_what_cannot_be_a_secret_is_refused_without_being_shown(tmp_path: Path, octets: bytes) -> None:
    file = tmp_path / "token"
    file.write_bytes(octets)
    with pytest.raises(Unavailable, match="must hold one line") as caught:
        read_secret(file, None)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
