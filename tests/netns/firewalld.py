"""A real firewalld in a namespace, on a bus of its own, with its configuration in a folder."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.netns.namespaces import Namespaces

__all__ = ["Firewall", "firewalld"]

SETUP = Path(__file__).with_name("firewalld-setup")
WITHIN_S = 30.0
BUS = """<busconfig><type>system</type><listen>unix:path={path}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/>
<allow own="*"/></policy></busconfig>
"""

Firewall = Callable[..., str]  # firewall("--reload") is firewall-cmd's stdout


@contextlib.contextmanager
def firewalld(among: Namespaces, role: str, folder: Path, backend: str) -> Iterator[Firewall]:
    """Running as distributions ship it, with backend nftables or iptables."""
    root = _unpacked()
    (folder / "bus.conf").write_text(BUS.format(path=folder / "bus"))
    (folder / "etc").mkdir()
    (folder / "etc/firewalld.conf").write_text(f"FirewallBackend={backend}\n")
    inside = _environment(root, folder)

    def command(*arguments: str) -> str:
        return among.run(role, *inside, "/usr/bin/python3", str(root / "usr/bin/firewall-cmd"), *arguments)

    among.start(
        role, *inside, "dbus-daemon", f"--config-file={folder / 'bus.conf'}", "--nofork", "--nopidfile"
    )
    _wait_for((folder / "bus").exists)
    files = ("--system-config", str(folder / "etc"), "--default-config", str(root / "usr/lib/firewalld"))
    daemon = (str(root / "usr/sbin/firewalld"), "--nofork", "--nopid", "--log-file", str(folder / "log"))
    process = among.start(role, *inside, "/usr/bin/python3", *daemon, *files)
    _wait_for(lambda: _succeeds(command, "--state"))
    yield command
    process.terminate()
    process.wait(WITHIN_S)


def _unpacked() -> Path:
    done = subprocess.run([SETUP], capture_output=True, text=True, check=False)
    if done.returncode and not os.environ.get("CI"):
        pytest.skip(f"needs Debian's firewalld: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


def _environment(root: Path, folder: Path) -> tuple[str, ...]:
    """What was unpacked comes beside what is installed."""
    places: dict[str, Sequence[object]] = {
        "PYTHONPATH": [root / "usr/lib/python3/dist-packages"],
        "GI_TYPELIB_PATH": list(root.glob("usr/lib/*/girepository-1.0")),
        "LD_LIBRARY_PATH": list(root.glob("usr/lib/*-linux-gnu*")),
        "PATH": [root / "usr/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"],
    }
    settings = [f"{name}={':'.join(map(str, where))}" for name, where in places.items()]
    return ("env", f"DBUS_SYSTEM_BUS_ADDRESS=unix:path={folder / 'bus'}", *settings)


def _succeeds(command: Firewall, *arguments: str) -> bool:
    try:
        command(*arguments)
    except AssertionError:
        return False
    return True


def _wait_for(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)
