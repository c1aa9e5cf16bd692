"""The helper and its supervisor are confined for good, and so is a helper that comes after a kill."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.netns.agent import Agent
from tests.netns.topology import Topology

WITHIN_S = 10.0
CONFINED = {"NoNewPrivs": "1", "Seccomp": "2", "CapEff": "0000000000001000", "CapBnd": "0000000000001000"}


@pytest.fixture
def agent(topology: Topology, tmp_path: Path) -> Iterator[Agent]:
    made = Agent(topology, tmp_path, {})
    made.start()
    yield made
    made.end()


def confinement(pid: int) -> dict[str, str]:
    """What the kernel says of a process (proc(5))."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    said = dict(line.split(":\t", 1) for line in lines)
    return {name: said[name] for name in CONFINED}


def next_helper(agent: Agent, before: int) -> int:
    """The one that the supervisor starts when the last has ended."""
    deadline = time.monotonic() + WITHIN_S
    while time.monotonic() < deadline:
        try:
            if agent.helper_pid != before:
                return agent.helper_pid
        except IndexError:  # it has no child at the moment
            pass
        time.sleep(0.02)
    raise AssertionError(agent.log())


def test_both_privileged_processes_are_confined_and_so_is_the_next_helper(
    agent: Agent,
) -> None:
    first = agent.helper_pid
    assert confinement(agent.supervisor_pid) == confinement(first) == CONFINED
    os.kill(first, signal.SIGKILL)
    assert confinement(next_helper(agent, first)) == CONFINED


def test_neither_leaves_a_core(agent: Agent) -> None:
    for pid in (agent.supervisor_pid, agent.helper_pid):
        limits = Path(f"/proc/{pid}/limits").read_text().splitlines()
        soft, hard = next(line.split()[4:6] for line in limits if line.startswith("Max core file size"))
        assert (soft, hard) in (("0", "0"), ("1", "1"))


def test_confining_costs_the_log_no_line(agent: Agent) -> None:
    assert "the helper process:" not in agent.log()
