"""`top` and ranges of `report` beside a running agent, as a person has them: on a terminal, and piped."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import pty
import select
import signal
import subprocess
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.netns.agent import IPSECMON, Agent
from tests.netns.exchange import TRAFFIC, exchange_udp
from tests.netns.topology import FAR, Topology

SETTINGS = {
    "interval": "1min",  # so that what top shows was read for top
    "line": {"name": "T1", "interface": "wan0", "capacity": {"in": "10Mbit", "out": "1544kbit"}},
    "counters": [{"name": "voip", "match": {"proto": "udp", "port": 5060}}],
}
RATE, SIZE = 100, 172  # packets a second and octets of payload
BITS_PER_S = RATE * (SIZE + 28) * 8
LIMIT_S = 30.0
ALTERNATE_SCREEN, USUAL_SCREEN = b"\x1b[?1049h", b"\x1b[?1049l"


@pytest.fixture
def agent(topology: Topology, tmp_path: Path) -> Iterator[Agent]:
    made = Agent(topology, tmp_path, SETTINGS)
    made.start()
    yield made
    made.end()


class Screen:
    """top on a pseudo-terminal; text is all that it wrote so far."""

    def __init__(self, topology: Topology, agent: Agent) -> None:
        self._hand, self.terminal = pty.openpty()
        self.text = b""
        self.modes = termios.tcgetattr(self.terminal)
        inside = ["ip", "netns", "exec", topology.name("router")]
        self.process = subprocess.Popen(
            [*inside, *IPSECMON, "top", "-c", str(agent.config)],
            stdin=self.terminal,
            stdout=self.terminal,
            stderr=self.terminal,
            env={**os.environ, "TERM": "xterm-256color", "LANG": "C.UTF-8", "COLUMNS": "100", "LINES": "30"},
        )

    def wait_for(self, wanted: bytes) -> None:
        deadline = time.monotonic() + LIMIT_S
        while wanted not in self.text:
            assert time.monotonic() < deadline, self.text.decode(errors="replace")
            self._read(0.1)

    def type(self, keys: bytes) -> None:
        os.write(self._hand, keys)

    def ended(self) -> int:
        """Its exit status, having read all it wrote."""
        deadline = time.monotonic() + LIMIT_S
        while self.process.poll() is None and time.monotonic() < deadline:
            self._read(0.05)
        self._read(0.05)
        return self.process.wait(0.1)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._hand)
        os.close(self.terminal)

    def _read(self, within_s: float) -> None:
        while select.select([self._hand], [], [], within_s)[0]:
            self.text += os.read(self._hand, 65536)
            within_s = 0


@pytest.fixture
def screen(topology: Topology, agent: Agent) -> Iterator[Screen]:
    made = Screen(topology, agent)
    yield made
    made.close()


@contextlib.contextmanager
def calls(topology: Topology) -> Iterator[None]:
    """So much traffic as long as it is needed."""
    amount = ("--packets", str(RATE * 120), "--rate", str(RATE), "--sizes", str(SIZE))
    process = topology.start("lan", *TRAFFIC, "send", FAR, "5060", *amount)
    yield
    process.kill()


def test_a_second_of_top_is_the_rate_that_was_sent(topology: Topology, agent: Agent) -> None:
    with calls(topology):
        time.sleep(0.5)
        answer: dict[str, Any] = json.loads(agent.call("top", "--json"))
    rows = {
        (row["name"], row["direction"]): row for row in answer["counters"] if row["observed_at"] == "wire"
    }

    assert rows["voip", "out"]["bits_per_s"] == pytest.approx(BITS_PER_S, rel=0.25)
    assert rows["T1", "out"]["utilization"] == pytest.approx(BITS_PER_S / 1_544_000, rel=0.25)
    assert rows["voip", "in"]["bits_per_s"] == 0


def test_once_prints_and_ends(agent: Agent) -> None:
    printed = agent.call("top", "--once")

    assert "T1 wan0" in printed and "voip" in printed and "share of the line's capacity" in printed
    assert "\x1b" not in printed


def test_q_quits_and_the_terminal_is_as_it_was(topology: Topology, screen: Screen) -> None:
    with calls(topology):
        screen.wait_for(b"voip")
        assert termios.tcgetattr(screen.terminal) != screen.modes
        screen.type(b"q")
        assert screen.ended() == 0

    assert termios.tcgetattr(screen.terminal) == screen.modes
    assert screen.text.index(ALTERNATE_SCREEN) < screen.text.index(USUAL_SCREEN)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 0), (signal.SIGTERM, 128 + signal.SIGTERM)])
def test_a_signal_leaves_the_terminal_as_it_was(screen: Screen, number: signal.Signals, status: int) -> None:
    screen.wait_for(b"voip")
    screen.process.send_signal(number)

    assert screen.ended() == status
    assert termios.tcgetattr(screen.terminal) == screen.modes
    assert USUAL_SCREEN in screen.text and b"Traceback" not in screen.text


def test_top_waits_for_an_agent_that_is_started_again(agent: Agent, screen: Screen) -> None:
    screen.wait_for(b"voip")
    agent.kill()
    screen.wait_for(b"waiting for it")
    screen.text = b""
    agent.start()
    screen.wait_for(b"rates over the last second")
    screen.type(b"q")
    assert screen.ended() == 0


def test_today_and_this_month_have_what_was_just_sent(topology: Topology, agent: Agent) -> None:
    sent = exchange_udp(topology, "lan", "inet", FAR, port=5060, packets=500, sizes=(72,)).sent
    for option in ("--day", "--month", "--from=2026-01-01"):
        rows = csv.DictReader(agent.call("report", option, "--now", "--csv").splitlines())
        voip = [row for row in rows if (row["counter"], row["direction"]) == ("voip", "out")]

        assert [(int(row["packets"]), int(row["octets"])) for row in voip] == [(sent.packets, sent.octets)]
