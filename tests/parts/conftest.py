"""One influxd and one nginx for all tests here, and a database of its own for each test."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from .mounts import own_mounts
from .servers import PASSWORD, TOKEN, FrontServer, InfluxServer, make_authority, running

PACKAGES = {
    "influxd": "influxdb",
    "nginx": "nginx-light",
    "openssl": "openssl",
    "tinyproxy": "tinyproxy",
    "victoria-metrics": "victoria-metrics",
    "mkfs.ext4": "e2fsprogs",
    "chattr": "e2fsprogs",
    "npm": "npm",
    "node": "nodejs",
    "chromium": "chromium",
    "chromedriver": "chromium-driver",
}

_numbers = itertools.count()


def require(*programs: str) -> None:
    """Skip on a laptop, fail in CI, when a program is not installed."""
    missing = [program for program in programs if shutil.which(program) is None]
    if not missing:
        return
    reason = f"not installed: apt-get install {' '.join(PACKAGES[program] for program in missing)}"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def influxd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InfluxServer]:
    require("influxd")
    with running(InfluxServer(tmp_path_factory.mktemp("influxd"))) as server:
        yield server


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The certificate of the authority that signed the front's."""
    require("openssl")
    return make_authority(tmp_path_factory.mktemp("nginx"))


@pytest.fixture(scope="session")
def front(authority: Path, influxd: InfluxServer) -> Iterator[FrontServer]:
    require("nginx")
    with running(FrontServer(authority.parent, influxd)) as server:
        yield server


@pytest.fixture
def database(influxd: InfluxServer) -> str:
    name = f"traffic{next(_numbers)}"
    influxd.query(f"CREATE DATABASE {name}")
    return name


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    return file


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    file = tmp_path / "password"
    file.write_text(f"{PASSWORD}\n")
    return file


@pytest.fixture
def mounts() -> Iterator[None]:
    """What the test mounts is seen by it and what it starts, and is gone after it."""
    require("mkfs.ext4", "chattr")
    if os.geteuid() != 0 and os.environ.get("CI"):
        pytest.fail("CI must run these tests as root: they mount file systems")
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount file systems")
    with own_mounts():
        yield
