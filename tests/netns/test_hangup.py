"""Signals that reach a whole group of processes: a terminal that is closed, `timeout`, `kill -- -PGID`."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from tests.netns.agent import IPSECMON
from tests.netns.exchange import exchange_udp
from tests.netns.topology import FAR, Topology

LIMIT_S = 30.0
REPORT = ("report", "--since", "1h", "--csv")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    settings = {
        "interval": "1h",  # so that only an end in order closes it
        "line": {"name": "T1", "interface": "wan0"},
        "counters": [{"name": "voip", "match": {"proto": "udp", "port": 5060}}],
        "store": {"path": str(tmp_path / "store")},
    }
    made = tmp_path / "ipsecmon.yaml"
    made.write_text(yaml.safe_dump(settings))
    return made


def launch(topology: Topology, *arguments: str) -> tuple[subprocess.Popen[bytes], int]:
    """`ipsecmon run` with a terminal of its own, once it is ready; and our end of that terminal."""
    ours, its = pty.openpty()
    inside = ["setsid", "--ctty", "ip", "netns", "exec", topology.name("router")]
    process = subprocess.Popen([*inside, *IPSECMON, "run", *arguments], stdin=its, stdout=its, stderr=its)
    os.close(its)
    text, deadline = b"", time.monotonic() + LIMIT_S
    while b"ready" not in text:
        assert select.select([ours], [], [], deadline - time.monotonic())[0], text
        text += os.read(ours, 65536)
    return process, ours


def tables(topology: Topology) -> str:
    return topology.run("router", "nft", "list", "tables")


@pytest.mark.parametrize("is_late", [False, True])
def test_a_closed_terminal_ends_a_run_without_a_config_which_leaves_nothing(
    topology: Topology, is_late: bool
) -> None:
    """is_late: the next picture is due before it has heard of that."""
    topology.ip("router", "route add default via 203.0.113.2")
    process, terminal = launch(topology)
    assert "ipsecmon_live" in tables(topology)
    if is_late:
        process.send_signal(signal.SIGSTOP)
        time.sleep(1.5)  # there is one each second
    os.close(terminal)
    process.send_signal(signal.SIGCONT)

    assert process.wait(LIMIT_S) == 0
    assert tables(topology) == ""


def test_a_closed_terminal_ends_a_run_in_order(topology: Topology, config: Path) -> None:
    process, terminal = launch(topology, "-c", str(config))
    sent = exchange_udp(topology, "lan", "inet", FAR, port=5060, packets=500, sizes=(72,)).sent
    os.close(terminal)

    assert process.wait(LIMIT_S) == 0
    report = topology.run("router", *IPSECMON, *REPORT, "-c", str(config))
    assert f"voip,out,wire,{sent.octets},{sent.packets}," in report
    assert "table inet ipsecmon\n" in tables(topology)  # which counts on


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_whole_group_ends_it_in_order(
    topology: Topology, config: Path, number: signal.Signals
) -> None:
    process, terminal = launch(topology, "-c", str(config))
    sent = exchange_udp(topology, "lan", "inet", FAR, port=5060, packets=500, sizes=(72,)).sent
    os.killpg(process.pid, number)

    assert process.wait(LIMIT_S) == 0
    os.close(terminal)
    report = topology.run("router", *IPSECMON, *REPORT, "-c", str(config))
    assert f"voip,out,wire,{sent.octets},{sent.packets}," in report
