"""Writes batches to InfluxDB: buckets of 2.x and 3.x (and 1.8), databases of 1.x.

Batches go as line protocol in requests of at most POINTS_PER_REQUEST; a request that is too large
for the server is halved, and those after it are no larger at first. Sending a batch again overwrites
each point with itself, so a part that got through before a failure does no harm.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Optional
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from ipsecmon.errors import Rejected
from ipsecmon.model import Batch
from ipsecmon.sinks.encoding import encode_line_protocol
from ipsecmon.sinks.influxdb_answers import Answer, Transport, check_answer
from ipsecmon.sinks.settings import DurationS, SinkConfig

__all__ = ["POINTS_PER_REQUEST", "Config", "Sink"]

POINTS_PER_REQUEST = 5000  # InfluxData's advice for one request; about 1 MB before gzip
_GROWTH = 16  # after a 413 a request grows by this part of itself each time: it may have been one large point

_FOR_BUCKET = ("org", "token_file", "token_env")
_FOR_DATABASE = ("retention_policy", "username", "password_file", "password_env")


class Config(SinkConfig):
    url: str = Field(description="Address of the server, such as https://influx.example.net:8086.")
    bucket: Optional[str] = Field(
        default=None, min_length=1, description="The bucket to write to (InfluxDB 2 and later)."
    )
    org: Optional[str] = Field(
        default=None, min_length=1, description="The organization that the bucket belongs to."
    )
    token_file: Optional[Path] = Field(
        default=None, description="File that holds the token; read again when the server refuses it."
    )
    token_env: Optional[str] = Field(
        default=None, min_length=1, description="Environment variable that holds the token."
    )
    database: Optional[str] = Field(
        default=None, min_length=1, description="The database to write to (InfluxDB 1.x)."
    )
    retention_policy: Optional[str] = Field(
        default=None,
        min_length=1,
        description="The database's retention policy; its default one when left out.",
    )
    username: Optional[str] = Field(
        default=None,
        pattern=r"^[^:]+$",
        description="User of the database; no authentication when left out.",
    )
    password_file: Optional[Path] = Field(
        default=None, description="File that holds the password; read again when the server refuses it."
    )
    password_env: Optional[str] = Field(
        default=None, min_length=1, description="Environment variable that holds the password."
    )
    timeout: DurationS = Field(
        default=10, description="How long one request may take, a duration in whole seconds such as 10s."
    )
    ca_file: Optional[Path] = Field(
        default=None, description="Certificates (PEM) to trust instead of the system's."
    )
    gzip: bool = Field(default=True, description="Whether requests are compressed.")

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str) -> str:
        try:
            parts = urlsplit(url)
            is_complete = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:  # its text may quote a password
            is_complete = False
        if not is_complete:
            raise ValueError("write http:// or https://, a host and a port")
        if parts.username is not None or parts.query or parts.fragment:
            raise ValueError("leave out user, password and what follows ? or #; they have own settings")
        return url.rstrip("/")

    @model_validator(mode="after")
    def _check_combination(self) -> Config:
        if (self.bucket is None) == (self.database is None):
            raise ValueError("write either bucket (InfluxDB 2 and later) or database (InfluxDB 1.x)")
        if self.bucket is not None:
            self._refuse(_FOR_DATABASE, "database")
            self._check_bucket()
        else:
            self._refuse(_FOR_BUCKET, "bucket")
            self._check_database()
        return self

    def _refuse(self, names: tuple[str, ...], what: str) -> None:
        given = [name for name in names if getattr(self, name) is not None]
        if given:
            raise ValueError(f"leave out {', '.join(given)}: only for a {what}")

    def _check_bucket(self) -> None:
        if self.org is None:
            raise ValueError("a bucket needs org")
        if (self.token_file is None) == (self.token_env is None):
            raise ValueError("a bucket needs either token_file or token_env")

    def _check_database(self) -> None:
        passwords = sum(place is not None for place in (self.password_file, self.password_env))
        if passwords != (self.username is not None):
            raise ValueError("write username with either password_file or password_env, or none of them")


class Sink:
    def __init__(self, config: Config) -> None:
        self._config = config
        self._transport: Optional[Transport] = None
        self._at_most = POINTS_PER_REQUEST

    def start(self) -> None:
        self._opened()

    def send(self, batch: Batch) -> None:
        self.send_all([batch])

    def send_all(self, batches: Sequence[Batch]) -> None:
        lines = [line for batch in batches for line in encode_line_protocol(batch)]
        refusals = list(self._refusals(lines))
        if refusals:
            raise Rejected(str(refusals[0]), sum(refusal.dropped or 0 for refusal in refusals))

    def stop(self) -> None:
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    def _opened(self) -> Transport:
        if self._transport is None:
            from ipsecmon.sinks.influxdb_http import build_transport  # loads the HTTP libraries

            self._transport = build_transport(self._config)
        return self._transport

    def _refusals(self, lines: Sequence[bytes]) -> Iterator[Rejected]:
        """Sends all the lines, as many at a time as the server takes, and yields what is refused."""
        first = 0
        while first < len(lines):
            part = lines[first : first + self._at_most]
            answer = self._post(part)
            if answer.status == 413 and len(part) > 1:
                self._at_most = len(part) // 2
                continue
            refusal = self._refusal(answer, len(part))
            if refusal:
                yield refusal
            first += len(part)
            self._at_most = min(POINTS_PER_REQUEST, self._at_most + self._at_most // _GROWTH + 1)

    def _refusal(self, answer: Answer, points: int) -> Optional[Rejected]:
        """None: all is stored. Raises Unavailable."""
        if answer.status == 413:
            return Rejected(f"{self._config.url}: takes not even one point at a time", 1)
        try:
            check_answer(answer, self._config.url)
        except Rejected as refusal:
            return Rejected(str(refusal), points if refusal.dropped is None else refusal.dropped)
        return None

    def _post(self, lines: Sequence[bytes]) -> Answer:
        answer = self._opened().post(b"".join(lines))
        if answer.status in (401, 403):
            self.stop()  # the next request reads the secret anew
        return answer
