"""Ways to a server: through a real proxy by the environment, several servers at once, a changing token."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ipsecmon.errors import Unavailable
from ipsecmon.sinks.delivery import Delivery
from ipsecmon.sinks.influxdb import Config, Sink
from ipsecmon.store import Spool
from tests.unit.store.store_cases import commit, opened

from .batches import batch, total_octets
from .conftest import require
from .servers import START_WITHIN_S, TOKEN, USER, FrontServer, InfluxServer, free_ports, running

PROXY_USER, PROXY_PASSWORD = "routers", "pl4nted-pr0xy"


class ProxyServer:
    """tinyproxy, which asks for a password."""

    def __init__(self, folder: Path) -> None:
        (self.port,) = free_ports(1)
        self._folder = folder
        self._log = folder / "log"
        (folder / "tinyproxy.conf").write_text(
            f"Port {self.port}\nListen 127.0.0.1\nTimeout 20\nMaxClients 20\nLogLevel Connect\n"
            f'LogFile "{self._log}"\nBasicAuth {PROXY_USER} {PROXY_PASSWORD}\n'
        )
        self.url = f"http://{PROXY_USER}:pl4nted%2Dpr0xy@127.0.0.1:{self.port}"

    def start(self) -> None:
        command = ["tinyproxy", "-d", "-c", "tinyproxy.conf"]
        self._process = subprocess.Popen(command, cwd=self._folder, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + START_WITHIN_S
        while (
            "Starting main loop" not in self._text() and "Reloading config file finished" not in self._text()
        ):
            assert self._process.poll() is None and time.monotonic() < deadline, self._text()
            time.sleep(0.02)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(START_WITHIN_S)

    def requests(self) -> list[str]:
        """'POST http://…', 'CONNECT host:port'."""
        lines = [line.partition("): ")[2] for line in self._text().splitlines() if " Request (" in line]
        return [line.rpartition(" ")[0] for line in lines]

    def _text(self) -> str:
        return self._log.read_text() if self._log.exists() else ""


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[ProxyServer]:
    require("tinyproxy")
    folder = tmp_path / "proxy"
    folder.mkdir()
    with running(ProxyServer(folder)) as server:
        yield server


def v1(url: str, database: str, password_file: Path, **more: Any) -> Sink:
    settings = {"url": url, "database": database, "username": USER, "password_file": password_file}
    return Sink(Config.model_validate({"timeout": "5s", **settings, **more}))


def v2(url: str, database: str, token_file: Path, **more: Any) -> Sink:
    settings = {"url": url, "bucket": database, "org": "ops", "token_file": token_file}
    return Sink(Config.model_validate({"timeout": "5s", **settings, **more}))


def stored_octets(influxd: InfluxServer, database: str) -> int:
    rows = influxd.rows("SELECT sum(octets) FROM counter", database)
    return int(rows[0]["sum"]) if rows else 0


def test_http_goes_through_the_proxy_of_the_environment(
    proxy: ProxyServer,
    influxd: InfluxServer,
    database: str,
    password_file: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patched:
        patched.setenv("HTTP_PROXY", proxy.url)
        v1(influxd.url, database, password_file).send(batch())
    (request,) = proxy.requests()
    assert request.startswith(f"POST {influxd.url}/write?db={database}")
    assert stored_octets(influxd, database) == total_octets(batch())


def test_https_goes_through_it_as_a_tunnel_and_the_servers_certificate_is_checked(
    proxy: ProxyServer,
    front: FrontServer,
    authority: Path,
    influxd: InfluxServer,
    database: str,
    token_file: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patched:
        patched.setenv("https_proxy", proxy.url)
        v2(front.https_url, database, token_file, ca_file=authority).send(batch())
        with pytest.raises(Unavailable, match="CERTIFICATE_VERIFY_FAILED"):
            v2(front.https_url, database, token_file).send(batch(1))
    assert proxy.requests()[0] == f"CONNECT {front.https_url[8:]}"
    assert stored_octets(influxd, database) == total_octets(batch())


@pytest.mark.parametrize("excepted", ["127.0.0.1", "*", "example.net, 127.0.0.1"])
def test_what_no_proxy_names_goes_straight(
    excepted: str,
    proxy: ProxyServer,
    influxd: InfluxServer,
    database: str,
    password_file: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patched:
        patched.setenv("HTTP_PROXY", proxy.url)
        patched.setenv("NO_PROXY", excepted)
        v1(influxd.url, database, password_file).send(batch())
    assert proxy.requests() == []
    assert stored_octets(influxd, database) == total_octets(batch())


def test_a_proxy_that_is_away_or_refuses_is_named_without_its_password(
    proxy: ProxyServer, front: FrontServer, token_file: Path, authority: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (port,) = free_ports(1)
    with monkeypatch.context() as patched:
        for address in (f"u:s3cret@127.0.0.1:{port}", f"http://u:s3cret@127.0.0.1:{proxy.port}"):
            patched.setenv("HTTPS_PROXY", address)
            sink = v2(front.https_url, "b", token_file, ca_file=authority)
            with pytest.raises(Unavailable, match=r"no way through http://127.*check HTTPS_PROXY") as caught:
                sink.send(batch())
            assert "s3cret" not in f"{caught.value} {caught.value.__cause__!r}"
        for wrong in ("socks5://127.0.0.1:9", "http://u:s3cret@[", "http://"):
            patched.setenv("HTTPS_PROXY", wrong)
            with pytest.raises(Unavailable, match=r"HTTPS_PROXY: must be like http://") as caught:
                v2(front.https_url, "b", token_file).send(batch())
            assert "s3cret" not in f"{caught.value} {caught.value.__cause__!r} {caught.value.__context__!r}"


def test_each_of_several_servers_has_its_own_place_and_waits_for_no_other(
    influxd: InfluxServer,
    front: FrontServer,
    database: str,
    password_file: Path,
    token_file: Path,
    tmp_path: Path,
) -> None:
    """Three at once: one well, one frozen, one that refuses the token until it is changed."""
    influxd.query(f"CREATE DATABASE {database}_b")
    frozen = InfluxServer(_folder(tmp_path / "frozen"))
    frozen.start()
    frozen.query("CREATE DATABASE c")
    token_file.write_text("revoked")
    sinks = {
        "a": v1(influxd.url, database, password_file, timeout="1s"),
        "b": v2(front.url, f"{database}_b", token_file, timeout="1s"),
        "c": v1(frozen.url, "c", password_file, timeout="1s"),
    }
    folder = tmp_path / "store"
    batches = [batch(number) for number in range(50)]
    try:
        with opened(folder) as store:
            deliveries = {
                name: Delivery(name, sink, Spool(folder, name), wait=lambda event, _: event.wait(0.05))
                for name, sink in sinks.items()
            }
            for one in deliveries.values():
                one.start()
            frozen.signal(signal.SIGSTOP)
            commit(store, *batches, sinks=tuple(sinks))
            _until(lambda: store.backlog("a").batches == 0 and not deliveries["b"].state().healthy)
            assert store.backlog("b").batches == store.backlog("c").batches == 50
            assert "401" in (deliveries["b"].state().last_error or "")
            token_file.write_text(TOKEN)  # nothing is restarted
            _until(lambda: store.backlog("b").batches == 0)
            assert store.backlog("c").batches == 50
            frozen.signal(signal.SIGCONT)
            _until(lambda: store.backlog("c").batches == 0)
            for one in deliveries.values():
                assert one.stop(10)
        for server, place in ((influxd, database), (influxd, f"{database}_b"), (frozen, "c")):
            assert stored_octets(server, place) == total_octets(*batches)
    finally:
        frozen.stop()


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def _until(is_so: Any) -> None:
    deadline = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)
