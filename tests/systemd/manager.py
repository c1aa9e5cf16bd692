"""A systemd as pid 1 of a pid namespace of the guest, with our units as docs/systemd.md installs them.

Of the machine's own units it knows only a few targets, so that nothing but ours starts. What is written
to the guest's files is thrown away with the guest; do not use this anywhere else.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path
from typing import Optional

__all__ = ["AGENT", "CONFIG", "RULES", "STOCK", "UNITS", "Manager", "documented", "own_files"]

ROOT = Path(__file__).resolve().parents[2]
CONFIG = Path("/etc/ipsecmon/ipsecmon.yaml")
AGENT, RULES = "ipsecmon.service", "ipsecmon-rules.service"
STOCK, UNITS = Path("/lib/systemd/system"), Path("/etc/systemd/system")
TARGETS = ("basic", "local-fs", "multi-user", "network", "network-pre", "shutdown", "sysinit", "time-sync")
WITHIN_S = 180  # the guest is slow, and slower on a busy machine
INSIDE = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private")
OPTIONS = ("--system", "--unit=multi-user.target", "--log-target=kmsg", "--show-status=false")

# The interpreter may live in a home or below /tmp, which the unit does not see; without a journal, what the
# units say goes to a file. A short watchdog and a short wait keep the tests short.
DROP_IN = """[Service]
ProtectHome=tmpfs
BindReadOnlyPaths={folders}
StandardOutput=append:{said}
StandardError=append:{said}
TimeoutStartSec=170s
"""
SHORT = """WatchdogSec=8s
RestartSec=200ms
"""
SAID = Path("/run/units.log")
_FOLDERS = (ROOT, Path(sys.prefix), Path(sys.base_prefix), Path(sysconfig.get_paths()["stdlib"]))


def documented(heading: str) -> str:
    """The shell commands under a heading of docs/systemd.md."""
    text = (ROOT / "docs/systemd.md").read_text()
    found = re.search(rf"^## {heading}\n.*?^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert found, f"no commands under {heading}"
    return found[1]


def own_files() -> set[Path]:
    """Of this machine, by their names; the network namespaces of other tests among them."""
    return {path for folder in ("/etc", "/run", "/var") for path in Path(folder).rglob("*ipsecmon*")}


def _kernel_log(*options: str) -> list[str]:
    return subprocess.run(["dmesg", *options], capture_output=True, text=True, check=True).stdout.splitlines()


class Manager:
    """prepare(), the documented installation, boot(); end() at last."""

    def __init__(self) -> None:
        self._process: Optional[subprocess.Popen[bytes]] = None
        self.before = own_files()
        self.complaints: list[str] = []  # what systemd had to say against our units until it had booted

    def prepare(self) -> None:
        """An empty machine: no units, no ipsecmon but a command on the path."""
        self.sh(f"mount -t tmpfs none {UNITS}; sysctl -q kernel.printk_devkmsg=on")
        self.sh("mountpoint -q /sys/fs/cgroup || mount -t cgroup2 none /sys/fs/cgroup")
        self.sh(f"ln -sf {Path(sys.executable).parent}/ipsecmon /usr/local/bin/ipsecmon")
        for name in TARGETS:
            (UNITS / f"{name}.target").symlink_to(STOCK / f"{name}.target")
        for unit in (AGENT, RULES):
            drop_in = UNITS / f"{unit}.d/test.conf"
            drop_in.parent.mkdir()
            text = DROP_IN.format(folders=" ".join(str(one) for one in _FOLDERS), said=SAID)
            drop_in.write_text(text + (SHORT if unit == AGENT else ""))

    def boot(self) -> None:
        """Until multi-user.target stands."""
        self._process = subprocess.Popen(
            [*INSIDE, str(STOCK.parent / "systemd"), *OPTIONS],
            env={"PATH": os.environ["PATH"], "SYSTEMD_UNIT_PATH": str(UNITS), "container": "guest"},
            stdin=subprocess.DEVNULL,
        )
        self.until(lambda: bool(self._inside()), "pid 1")
        self.until(lambda: self.state("multi-user.target") == "active", "multi-user.target")
        warnings = _kernel_log("--level=emerg,alert,crit,err,warn")
        self.complaints = [line for line in warnings if "systemd[1]" in line and "ipsecmon" in line]

    def end(self) -> None:
        if self._process is not None:
            self._process.kill()  # --kill-child: systemd and all that it started go with it
            self._process.wait(WITHIN_S)
            self._process = None
        self.sh(f"umount {UNITS}")

    def sh(self, script: str) -> str:
        """Run it in the checkout, beside systemd once that runs; its stdout. Raises at the first failure."""
        command = [*self._inside(), "bash", "-ec", f"cd {ROOT}\n{script}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=WITHIN_S, check=False)
        assert done.returncode == 0, f"{script}: status {done.returncode}: {done.stderr}\n{self.log()}"
        return done.stdout

    def show(self, unit: str, name: str) -> str:
        command = [*self._inside(), "systemctl", "show", "--value", "-p", name, unit]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()

    def state(self, unit: str) -> str:
        return self.show(unit, "ActiveState")

    def main_pid(self) -> int:
        """As systemd's own namespace knows it, and as sh() does."""
        return int(self.show(AGENT, "MainPID"))

    def until(self, happened: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + WITHIN_S
        while not happened():
            assert time.monotonic() < deadline, f"waited in vain: {what}\n{self.log()}"
            time.sleep(0.1)

    def log(self) -> str:
        """What systemd said, and what the units said."""
        lines = [line for line in _kernel_log() if "systemd[1]" in line]
        return "\n".join([*lines, SAID.read_text() if SAID.exists() else ""])

    def _inside(self) -> list[str]:
        """systemd answers only who is in its pid namespace: a command that enters it."""
        if self._process is None:
            return []
        task = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        children = task.read_text().split()
        return ["nsenter", "-t", children[0], "-m", "-p", "--"] if children else []
