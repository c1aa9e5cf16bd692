"""`ipsecmon doctor` of a router in a namespace, as a user runs it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

from tests.netns.agent import IPSECMON, Agent
from tests.netns.topology import FAR, Topology

__all__ = ["TUNNEL", "Doctor", "beside"]

TUNNEL = {"counters": [{"name": "vpn", "ipsec": {"peer": FAR}}]}
LIMIT_S = 60  # the guest is slow


class Doctor:
    """The running agent of a router, and what the doctor says of it."""

    def __init__(self, topology: Topology, agent: Agent) -> None:
        self.topology = topology
        self.agent = agent

    def ask(self) -> tuple[int, dict[str, dict[str, Any]]]:
        """Exit status, and the worst finding of each kind that is more than a note."""
        status, findings = self._told()
        worse = [one for one in findings if one["severity"] != "note" and one["kind"] != "clock"]
        return status, {one["kind"]: one for one in reversed(worse)}

    def notes(self) -> dict[str, str]:
        """What each kind that is a note says."""
        return {one["kind"]: one["what"] for one in self._told()[1] if one["severity"] == "note"}

    def _told(self) -> tuple[int, list[dict[str, Any]]]:
        name = self.topology.name("router")
        argv = ["ip", "netns", "exec", name, *IPSECMON, "doctor", "--json", "-c", str(self.agent.config)]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=LIMIT_S, check=False)
        told = json.loads(done.stdout)
        assert told["router"] == "lab", done.stderr
        return done.returncode, told["findings"]

    def kinds(self) -> dict[str, str]:
        """Kind and severity; the clock is this machine's and nobody's to set."""
        return {kind: one["severity"] for kind, one in self.ask()[1].items()}

    def nft(self, text: str) -> None:
        self.topology.run("router", "nft", "-f", "-", text=text)


def beside(agent: Agent, topology: Topology) -> Iterator[Doctor]:
    """While the agent runs."""
    try:
        agent.start()
        yield Doctor(topology, agent)
    finally:
        agent.end()
