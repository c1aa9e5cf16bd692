"""These tests run in the guest kernel (`make test-guest`); elsewhere they skip, and fail in CI."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest

from tests.systemd.manager import AGENT, CONFIG, STOCK, Manager, documented

SETTINGS = """
router: lab
interval: 1s
line: {name: T1, interface: wan0}
sinks:
  - file: {path: /var/log/ipsecmon/all.csv, format: csv}
"""

# without a packet that no test sends
LINE = """
modprobe ipv6
ip link add wan0 type dummy
sysctl -q net.ipv6.conf.wan0.disable_ipv6=1
ip link set wan0 multicast off arp off up
ip address add 203.0.113.1/24 dev wan0
"""


@pytest.fixture(scope="session", autouse=True)
def _in_the_guest() -> None:
    lacking = "" if os.environ.get("IPSECMON_GUEST") else "the guest kernel: make test-guest"
    if not (STOCK.parent / "systemd").exists() or not shutil.which("systemctl"):
        lacking = "systemd: apt-get install systemd"
    if lacking and os.environ.get("CI"):
        pytest.fail(f"CI must run these tests, and lacks {lacking}")
    if lacking:
        pytest.skip(f"needs {lacking}")


@pytest.fixture(scope="session")
def systemd() -> Iterator[Manager]:
    """Booted with our units installed and enabled as the documentation says."""
    manager = Manager()
    manager.prepare()
    try:
        manager.sh(LINE)
        manager.sh(documented("Install").replace("systemctl daemon-reload", ""))
        CONFIG.write_text(SETTINGS)
        manager.sh(f"chown root:ipsecmon {CONFIG}; chmod 640 {CONFIG}; systemctl enable --root=/ {AGENT}")
        manager.boot()
        yield manager
    finally:
        manager.end()


@pytest.fixture
def agent(systemd: Manager) -> Manager:
    """The agent runs, however the last test left it."""
    systemd.sh(f"systemctl reset-failed; systemctl start {AGENT}")
    return systemd
