"""The two write APIs: /write of InfluxDB 1.x by urllib3, /api/v2/write by influxdb_client.

Both make one attempt and follow no redirect: when to try again is decided in delivery.py alone.
"""

from __future__ import annotations

import base64
import gzip
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Optional, Union
from urllib.parse import urlencode

import urllib3
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.rest import ApiException
from influxdb_client.service.write_service import WriteService
from urllib3 import exceptions

from ipsecmon.errors import Unavailable
from ipsecmon.sinks.deadline import Deadline
from ipsecmon.sinks.influxdb_answers import Answer, Transport, one_line
from ipsecmon.sinks.proxy import Proxy, proxy_of
from ipsecmon.sinks.secrets import read_secret

if TYPE_CHECKING:
    from ipsecmon.sinks.influxdb import Config

__all__ = ["build_transport"]

_GRACE_S = 0.5  # so that where urllib3's own timeout can end a request, it does
_TLS_ADVICE = "check the server's certificate, and ca_file if it is signed by an own authority"


def build_transport(config: Config) -> Transport:
    """The API that the settings ask for. Raises Unavailable when the secret cannot be read."""
    return _BucketTransport(config) if config.bucket is not None else _DatabaseTransport(config)


class _DatabaseTransport:
    """InfluxDB 1.x: POST /write?db=&rp=&precision=ns, basic authentication."""

    def __init__(self, config: Config) -> None:
        self._config = config
        settings: dict[str, Any] = {
            "num_pools": 1,
            "retries": False,
            "timeout": urllib3.Timeout(total=config.timeout),
            "ca_certs": str(config.ca_file) if config.ca_file else None,
        }
        self._proxy = proxy_of(config.url)
        self._pool = (
            urllib3.ProxyManager(self._proxy.url, proxy_headers=self._proxy.headers, **settings)
            if self._proxy
            else urllib3.PoolManager(**settings)
        )
        self._deadline = Deadline(self._pool, config.timeout + _GRACE_S)
        query = {"db": config.database or "", "precision": "ns"}
        if config.retention_policy:
            query["rp"] = config.retention_policy
        self._address = f"{config.url}/write?{urlencode(query)}"
        self._headers = {"Content-Type": "text/plain; charset=utf-8", **_authorization(config)}

    def post(self, lines: bytes) -> Answer:
        headers = dict(self._headers)
        if self._config.gzip:
            lines, headers["Content-Encoding"] = gzip.compress(lines, mtime=0), "gzip"
        try:
            with self._deadline.enforced():
                response = self._pool.request(
                    "POST", self._address, body=lines, headers=headers, redirect=False
                )
        except exceptions.HTTPError as error:
            raise _unavailable(self._config, error, self._deadline, self._proxy) from error
        if self._deadline.is_over:  # what came was cut off, and may look like a whole answer
            raise _no_answer(self._config)
        return Answer(response.status, _lower(response.headers), _text(response.data))

    def close(self) -> None:
        self._pool.clear()


class _BucketTransport:
    """InfluxDB 2 and later, and 1.8: POST /api/v2/write, a token.

    WriteService is what the client's write_api(SYNCHRONOUS) calls; unlike that it tells the status.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._proxy = proxy_of(config.url)
        client: Any = InfluxDBClient  # its types are partial
        self._client = client(
            url=config.url,
            token=read_secret(config.token_file, config.token_env),
            org=config.org,
            timeout=config.timeout * 1000,
            enable_gzip=config.gzip,
            ssl_ca_cert=str(config.ca_file) if config.ca_file else None,
            retries=False,
            proxy=self._proxy.url if self._proxy else None,
            proxy_headers=self._proxy.headers if self._proxy else None,
        )
        service: Any = WriteService
        self._service = service(self._client.api_client)
        manager = self._client.api_client.rest_client.pool_manager
        self._deadline = Deadline(manager, config.timeout + _GRACE_S)

    def post(self, lines: bytes) -> Answer:
        config = self._config
        try:
            with self._deadline.enforced():
                _, status, headers = self._service.post_write_with_http_info(
                    config.org, config.bucket, lines, precision="ns", content_type="text/plain; charset=utf-8"
                )
        except ApiException as error:
            if self._deadline.is_over:
                raise _no_answer(config) from None
            if not error.status:
                raise _tls_unavailable(config, str(error.reason)) from None
            return Answer(error.status, _lower(error.headers), _text(error.body))
        except (exceptions.HTTPError, UnicodeDecodeError) as error:
            raise _unavailable(config, error, self._deadline, self._proxy) from error
        if self._deadline.is_over:
            raise _no_answer(config)
        return Answer(status, _lower(headers), "")

    def close(self) -> None:
        self._client.close()


def _authorization(config: Config) -> Mapping[str, str]:
    if config.username is None:
        return {}
    password = read_secret(config.password_file, config.password_env)
    pair = base64.b64encode(f"{config.username}:{password}".encode()).decode("ascii")
    return {"Authorization": f"Basic {pair}"}


def _lower(headers: Optional[Mapping[str, str]]) -> Mapping[str, str]:
    return {name.lower(): value for name, value in (headers or {}).items()}


def _text(body: object) -> str:
    return body.decode("utf-8", errors="replace") if isinstance(body, bytes) else str(body or "")


def _unavailable(
    config: Config,
    error: Union[exceptions.HTTPError, UnicodeDecodeError],
    deadline: Deadline,
    proxy: Optional[Proxy],
) -> Unavailable:
    if deadline.is_over:
        return _no_answer(config)
    if proxy and isinstance(error, exceptions.ProxyError):
        said = one_line(str(error.original_error))
        return Unavailable(f"{config.url}: no way through {proxy.url} ({said}); check {proxy.variable}")
    if isinstance(error, exceptions.SSLError):
        return _tls_unavailable(config, str(error))
    cause = error.__cause__ or error.__context__
    system = cause.strerror if isinstance(cause, OSError) else None
    if isinstance(error, exceptions.NewConnectionError):
        return Unavailable(f"{config.url}: {(system or 'no connection').lower()}; is the server up?")
    if isinstance(error, exceptions.TimeoutError):
        return _no_answer(config)
    return Unavailable(f"{config.url}: {type(error).__name__}; is it an InfluxDB server?")


def _no_answer(config: Config) -> Unavailable:
    return Unavailable(f"{config.url}: no answer within {config.timeout} s; is the server up?")


def _tls_unavailable(config: Config, reason: str) -> Unavailable:
    return Unavailable(f"{config.url}: TLS: {one_line(reason)}; {_TLS_ADVICE}")
