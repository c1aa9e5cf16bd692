"""These tests make network namespaces on this machine: root, ip, nft, ethtool. CI must have them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.netns.agent import Agent
from tests.netns.doctor import TUNNEL, Doctor, beside
from tests.netns.topology import Topology
from tests.netns.topology import topology as make_topology

PROGRAMS = ("ip", "nft", "ethtool", "sysctl")


def _lacking() -> str:
    if os.geteuid() != 0:
        return "root"
    return ", ".join(program for program in PROGRAMS if shutil.which(program) is None)


@pytest.fixture(scope="session", autouse=True)
def _namespaces_can_be_made() -> None:
    lacking = _lacking()
    if lacking and os.environ.get("CI"):
        pytest.fail(f"CI must run these tests, and lacks {lacking}")
    if lacking:
        pytest.skip(f"needs {lacking}")


@pytest.fixture
def topology() -> Iterator[Topology]:
    """lan - router - inet, silent, without offloads; new for each test."""
    with make_topology() as made:
        yield made


@pytest.fixture
def doctor(topology: Topology, tmp_path: Path) -> Iterator[Doctor]:
    """Beside an agent with a tunnel."""
    yield from beside(Agent(topology, tmp_path, TUNNEL), topology)
