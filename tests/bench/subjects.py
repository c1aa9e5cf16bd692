"""The programs that are compared. Each reads the same copies, made by the same rules, on the same router.

All have what their authors offer for this work, batching above all: up to 512 copies or 131072 octets a
datagram, for at most 0.1 s. Differences that cannot be avoided are said in docs/bench.md: uacctd and a stack
of ulogd2 read one NFLOG group each, so the rules send them all copies in one; uacctd and ulogd2 are asked for
less than ipsecmon does.
"""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Optional, Protocol

from tests.bench.processes import kill, tree
from tests.netns.agent import IPSECMON, Agent
from tests.netns.topology import Topology

__all__ = ["SUBJECTS", "Subject"]

SETTINGS: dict[str, Any] = {
    "interval": "10s",
    "counters": [
        {"name": "dns", "match": {"proto": "udp", "port": 53}},
        {"name": "voip", "match": {"proto": "udp", "port": 5060}},
        {"name": "web", "match": {"proto": "tcp", "port": [80, 443]}},
    ],
}
GROUP = 5600
START_WITHIN_S = 10.0
STOP_WITHIN_S = 10.0
RECEIVE_BUFFER = 32 << 20  # octets; ipsecmon's own default
PLUGINS = Path("/usr/lib/x86_64-linux-gnu/ulogd")


class Subject(Protocol):
    """One program in one round. start() returns when it reads copies; stop() when it has ended."""

    def start(self) -> None: ...
    @property
    def pid(self) -> int: ...
    def flush(self) -> None:
        """What the program does now and then anyway; its time is measured."""

    def stop(self) -> None: ...
    def end(self) -> None:
        """After a failure too: whatever is still there is killed."""

    def seen(self) -> Optional[int]:
        """After stop(): packets that it has seen; None if it does not say."""


class Ipsecmon:
    def __init__(self, among: Topology, folder: Path) -> None:
        self._agent = Agent(among, folder, SETTINGS)
        self._counters: dict[tuple[str, str, str], dict[str, Any]] = {}

    @property
    def pid(self) -> int:
        return self._agent.pid

    def start(self) -> None:
        self._agent.start()

    def flush(self) -> None:
        self._counters = self._agent.counters(now=True)

    def stop(self) -> None:
        self._agent.stop()

    def end(self) -> None:
        self._agent.end()

    def seen(self) -> int:
        return sum(row["nflog_packets"] for (name, *_), row in self._counters.items() if name != "T1")


class _Foreign:
    """A program with a configuration file, behind ipsecmon's rules with one group."""

    def __init__(self, among: Topology, folder: Path) -> None:
        self._among = among
        self._folder = folder
        self._process: Optional[subprocess.Popen[bytes]] = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def _start(self, *command: str) -> None:
        install_rules(self._among, self._folder)
        inside = ("ip", "netns", "exec", self._among.name("router"))
        log = self._folder / "log"
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                [*inside, *command], stdin=subprocess.DEVNULL, stdout=out, stderr=out
            )
        deadline = time.monotonic() + START_WITHIN_S
        while not _bound(self._among):
            assert self._process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)

    def flush(self) -> None:
        """It does this at its end."""

    def stop(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)
        self._process.wait(STOP_WITHIN_S)

    def end(self) -> None:
        if self._process is not None and self._process.poll() is None:
            kill(tree(self._process.pid))
            self._process.wait(STOP_WITHIN_S)


class Uacctd(_Foreign):
    """pmacct's reader, asked for one sum of everything: its cheapest."""

    options = ""

    def start(self) -> None:
        config = self._folder / "uacctd.conf"
        config.write_text(
            f"daemonize: false\nuacctd_group: {GROUP}\nsnaplen: 128\nplugins: print\naggregate: none\n"
            f"print_output: csv\nprint_output_file: {self._folder}/sums.csv\nprint_refresh_time: 3600\n"
            + self.options
        )
        self._start("uacctd", "-f", str(config))

    def seen(self) -> Optional[int]:
        """The last columns of its print plugin are PACKETS and BYTES."""
        sums = self._folder / "sums.csv"
        rows = [line.split(",") for line in sums.read_text().splitlines()] if sums.exists() else []
        if len(rows) < 2:
            return None
        return sum(int(row[rows[0].index("PACKETS")]) for row in rows[1:])


class TunedUacctd(Uacctd):
    options = (
        "uacctd_threshold: 512\nuacctd_nl_size: 131072\n"
        "plugin_pipe_size: 67108864\nplugin_buffer_size: 65536\n"
    )


class Ulogd2(_Foreign):
    """NFLOG to GPRINT, through BASE: without it there is no IP length to sum. It writes to /dev/null."""

    def start(self) -> None:
        config = self._folder / "ulogd.conf"
        plugins = ("inppkt_NFLOG", "raw2packet_BASE", "output_GPRINT")
        loaded = "".join(f'plugin="{PLUGINS}/ulogd_{name}.so"\n' for name in plugins)
        config.write_text(
            f'[global]\nlogfile="{self._folder}/ulogd.log"\nloglevel=3\n{loaded}'
            "stack=log1:NFLOG,base1:BASE,gp1:GPRINT\n"
            f"[log1]\ngroup={GROUP}\nnetlink_socket_buffer_size={RECEIVE_BUFFER}\n"
            f"netlink_socket_buffer_maxsize={RECEIVE_BUFFER}\nbufsize=131072\n"
            "netlink_qthreshold=512\nnetlink_qtimeout=10\n"
            '[gp1]\nfile="/dev/null"\n'
        )
        self._start("ulogd", "-c", str(config))

    def seen(self) -> None:
        """It keeps no count."""


def install_rules(among: Topology, folder: Path) -> None:
    """ipsecmon's own rules for the same counters; only the number of the group differs."""
    rules = among.run("router", *IPSECMON, "rules", "show", "-c", str(Agent(among, folder, SETTINGS).config))
    among.run("router", "nft", "-f", "-", text=re.sub(r"log group \d+", f"log group {GROUP}", rules))


def _bound(among: Topology) -> bool:
    listed = among.run("router", "cat", "/proc/net/netfilter/nfnetlink_log")
    return any(line.split()[0] == str(GROUP) for line in listed.splitlines())


SUBJECTS: Mapping[str, Callable[[Topology, Path], Subject]] = {
    "ipsecmon": Ipsecmon,
    "uacctd-tuned": TunedUacctd,
    "uacctd-shipped": Uacctd,
    "ulogd2": Ulogd2,
}
