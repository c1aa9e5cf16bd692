"""Real servers on loopback: influxd 1.x, and nginx in front of it.

influxd 1.6 has no /api/v2/write. nginx turns that into /write and checks the token, so that the
v2 way is tested up to what the server's storage makes of it. It is not an InfluxDB 2 or 3.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import string
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional, Protocol, TypeVar

START_WITHIN_S = 20.0
USER, PASSWORD, TOKEN = "admin", "pl4nted-p4ssword", "pl4nted-t0ken"
_BASIC = b64encode(f"{USER}:{PASSWORD}".encode()).decode()
MAX_BODY_OCTETS = 4000  # of /api/v2/write; small, so that a small batch meets a real 413

_INFLUXD = string.Template("""\
reporting-disabled = true
bind-address = "127.0.0.1:$rpc"
[meta]
  dir = "$folder/meta"
[data]
  dir = "$folder/data"
  wal-dir = "$folder/wal"
  index-version = "tsi1"
[http]
  bind-address = "127.0.0.1:$http"
  auth-enabled = true
[monitor]
  store-enabled = false
[subscriber]
  enabled = false
""")

_NGINX = string.Template("""\
$user
worker_processes 1;
pid nginx.pid;
error_log error.log info;
events { worker_connections 64; }
http {
  log_format facts '$$status $$request_method $$uri encoding=$$http_content_encoding length=$$request_length';
  access_log access.log facts;
  client_body_temp_path body; proxy_temp_path proxy;
  fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  map $$http_authorization $$is_known { default 0; "Token $token" 1; }
  map $$arg_precision $$unit { default n; us u; ms ms; s s; }
  limit_req_zone $$server_port zone=writes:1m rate=1r/m;
  server {
    listen 127.0.0.1:$http;
    listen 127.0.0.1:$https ssl;
    ssl_certificate cert.pem; ssl_certificate_key key.pem;
    default_type application/json;
    client_max_body_size $max_body;
    proxy_set_header Authorization "Basic $basic";
    proxy_connect_timeout 2s; proxy_read_timeout 30s;
    location = /api/v2/write {
      if ($$is_known = 0) { return 401 '{"code":"unauthorized","message":"unauthorized access"}'; }
      rewrite ^ /write?db=$$arg_bucket&precision=$$unit? break;
      proxy_pass http://127.0.0.1:$influxd;
    }
    location = /limited/api/v2/write {
      limit_req zone=writes; limit_req_status 429; error_page 429 = @later;
      rewrite ^ /write?db=$$arg_bucket&precision=$$unit? break;
      proxy_pass http://127.0.0.1:$influxd;
    }
    location @later {
      add_header Retry-After 7 always;
      return 429 '{"code":"too many requests","message":"rate limit"}';
    }
    location /closing/ { return 444; }
    location /starting/ {
      add_header Retry-After 3 always;
      return 503 '{"code":"unavailable","message":"starting"}';
    }
    location /passing/ { proxy_pass http://127.0.0.1:$influxd/; }
    location = /login/write { return 200 '<html>please log in</html>'; }
    location = /moved/write { return 302 http://127.0.0.1:$http/write; }
    location = /ping { return 204; }
  }
  server {
    listen 127.0.0.1:$expired ssl;
    ssl_certificate expired.pem; ssl_certificate_key key.pem;
    location / { return 204; }
  }
}
""")


def free_ports(count: int) -> list[int]:
    """Ports that nobody has; the kernel does not give them out again at once."""
    sockets = [socket.socket() for _ in range(count)]
    for opened in sockets:
        opened.bind(("127.0.0.1", 0))
    ports = [int(opened.getsockname()[1]) for opened in sockets]
    for opened in sockets:
        opened.close()
    return ports


class _Startable(Protocol):
    def start(self) -> None: ...
    def stop(self) -> None: ...


_Started = TypeVar("_Started", bound=_Startable)


@contextlib.contextmanager
def running(server: _Started) -> Iterator[_Started]:
    server.start()
    try:
        yield server
    finally:
        server.stop()


class Server:
    """A process that answers /ping. Its folder has its configuration, data and log."""

    def __init__(self, command: list[str], folder: Path, url: str) -> None:
        self.url = url
        self.folder = folder
        self._command = command
        self._process: Optional[subprocess.Popen[bytes]] = None

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        deadline = time.monotonic() + START_WITHIN_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"{self._command[0]}: {(self.folder / 'log').read_text()[-2000:]}")
            time.sleep(0.02)

    def stop(self) -> None:
        if self._process is not None:
            self.signal(signal.SIGCONT)
            self._process.terminate()
            self._process.wait(START_WITHIN_S)
            self._process = None

    def kill(self) -> None:
        """SIGKILL: no last words."""
        if self._process is not None:
            self.signal(signal.SIGKILL)
            self._process.wait(START_WITHIN_S)
            self._process = None

    def signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/ping", timeout=1) as answer:
                return int(answer.status) == 204
        except OSError:
            return False


class InfluxServer(Server):
    """influxd with authentication on."""

    def __init__(self, folder: Path) -> None:
        self.port, rpc = free_ports(2)
        (folder / "influxd.conf").write_text(_INFLUXD.substitute(folder=folder, http=self.port, rpc=rpc))
        super().__init__(["influxd", "-config", "influxd.conf"], folder, f"http://127.0.0.1:{self.port}")

    def start(self) -> None:
        super().start()
        self.query(f"CREATE USER {USER} WITH PASSWORD '{PASSWORD}' WITH ALL PRIVILEGES")

    def query(self, text: str, database: str = "") -> list[dict[str, Any]]:
        """InfluxQL; the series of its answer."""
        octets = urllib.parse.urlencode({"q": text, "db": database, "epoch": "ns"}).encode()
        headers = {"Authorization": f"Basic {_BASIC}"}
        request = urllib.request.Request(f"{self.url}/query", octets, headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            (result,) = json.load(answer)["results"]
        assert "error" not in result, result
        series: list[dict[str, Any]] = result.get("series", [])
        return series

    def write(self, lines: bytes, database: str) -> None:
        """What another program could have written."""
        address = f"{self.url}/write?{urllib.parse.urlencode({'db': database})}"
        request = urllib.request.Request(address, lines, {"Authorization": f"Basic {_BASIC}"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status == 204

    def rows(self, text: str, database: str) -> list[dict[str, Any]]:
        """The rows of all series, each as a mapping of column to value."""
        return [
            dict(zip(series["columns"], values), **series.get("tags", {}))
            for series in self.query(text, database)
            for values in series["values"]
        ]


class FrontServer(Server):
    """nginx: the v2 write API by TOKEN, with http and https, and some misbehaviour by path."""

    def __init__(self, folder: Path, influxd: InfluxServer, max_body: int = MAX_BODY_OCTETS) -> None:
        http, https, expired = free_ports(3)
        text = _NGINX.substitute(
            user="user root;" if os.geteuid() == 0 else "",
            token=TOKEN,
            basic=_BASIC,
            http=http,
            https=https,
            expired=expired,
            influxd=influxd.port,
            max_body=max_body,
        )
        (folder / "nginx.conf").write_text(text)
        self.https_url = f"https://127.0.0.1:{https}"
        self.expired_url = f"https://127.0.0.1:{expired}"
        command = ["nginx", "-p", f"{folder}/", "-e", "error.log", "-c", "nginx.conf", "-g", "daemon off;"]
        super().__init__(command, folder, f"http://127.0.0.1:{http}")

    def requests(self) -> list[str]:
        """A line for each request so far: status, method, path, encoding, length."""
        return (self.folder / "access.log").read_text().splitlines()


def make_authority(folder: Path) -> Path:
    """An own authority's certificate, and in the folder key.pem, cert.pem and expired.pem of 127.0.0.1."""
    authority, key = folder / "ca.pem", folder / "ca-key.pem"
    new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    constraints = ["-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=keyCertSign"]
    _openssl(
        folder, "req", "-x509", *new, "-subj", "/CN=test", *constraints, "-keyout", key, "-out", authority
    )
    _openssl(folder, "req", *new[:-2], "-subj", "/CN=server", "-keyout", "key.pem", "-out", "server.csr")
    (folder / "server.ext").write_text("subjectAltName=IP:127.0.0.1\n")
    signed_by = ["-CA", authority, "-CAkey", key, "-CAcreateserial", "-extfile", "server.ext"]
    for days, name in (("2", "cert.pem"), ("-1", "expired.pem")):
        _openssl(folder, "x509", "-req", "-in", "server.csr", "-days", days, *signed_by, "-out", name)
    return authority


def _openssl(folder: Path, *arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], cwd=folder, check=True, capture_output=True)
