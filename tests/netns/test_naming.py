"""Rule sets of tunnels that share a peer or name none are taken, and stand, with each backend."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.netns.agent import Agent
from tests.netns.backends import BACKENDS
from tests.netns.topology import FAR, FAR6
from tests.netns.topology import topology as make_topology

IPSEC: dict[str, dict[str, Any]] = {
    "lan-a": {"peer": [FAR, FAR6], "subnets": {"local": "10.1.0.0/24", "remote": "10.2.0.0/24"}},
    "lan-b": {
        "peer": FAR,
        "subnets": [
            {"local": ["10.1.0.0/24", "fd01::/64"], "remote": ["10.3.0.0/24", "fd03::/64"]},
            {"local": "10.1.0.0/24", "remote": "0.0.0.0/0"},
        ],
        "reqid": [7, "4294967290-4294967295"],
    },
    "by-reqid": {"reqid": "10-25"},
    "too-many": {"reqid": "100-999"},
    "warriors": {"connection": "l2tp-psk"},
    "rest": {"peer": [FAR, FAR6]},
}
COUNTERS = [{"name": name, "ipsec": ipsec} for name, ipsec in IPSEC.items()]
DRILL_DOWN = {"name": "web-in-b", "match": {"proto": "tcp", "port": 443}, "inside_tunnel": "lan-b"}


@pytest.mark.parametrize("backend", BACKENDS)
def test_rules_of_tunnels_by_every_condition_stand(tmp_path: Path, backend: str) -> None:
    with make_topology() as topology:
        agent = Agent(topology, tmp_path, {"counters": [*COUNTERS, DRILL_DOWN], **BACKENDS[backend]})
        try:
            agent.start()
            assert agent.call("rules", "status") == "rules stand\n"
            names = {(key[0], key[2]) for key in agent.counters()}
            inner = {"lan-a", "lan-b", "by-reqid", "too-many", "rest", "inner", "web-in-b"}
            assert {name for name, observed_at in names if observed_at == "inner"} == inner
            assert {name for name, observed_at in names if observed_at == "wire"}.isdisjoint(IPSEC)
            assert ("counter too-many: no rule counts inside it" in agent.log()) == (backend != "nft")
        finally:
            agent.end()
