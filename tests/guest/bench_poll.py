"""What a whole poll costs, helper and main together: dump, decoding, records, transfer, settling.

Part of bench_xfrm.py. Every SA is outbound and has a policy of its own, so that one small packet to its host
changes it. The guest has one CPU and nothing else to do, and no process of either waits for anything but the
other: so CPU is the time it takes, in ms, the least of ROUNDS, ip(8)'s start included. What this kernel says
of processor time it samples by ticks of 10 ms, too coarse for either.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator

from ipsecmon.account.tunnel_match import TunnelMatcher, TunnelRule
from ipsecmon.account.tunnels import Tunnels
from ipsecmon.agent.observe import Counters
from ipsecmon.helper.client import Helper
from ipsecmon.sources.xfrm import XfrmSource
from tests.netns.agent import in_namespace
from tests.netns.topology import FAR, WAN, Topology
from tests.unit.ruleset.plans import small_plan

__all__ = ["bench_polls"]

ROUNDS = 20
IP_ROUNDS = 10
LIST = ("ip", "-s", "xfrm", "state", "list", "nokeys")
IP = {  # with a time zone it looks for no /etc/localtime at each of its dates
    "ip -s xfrm state list nokeys": {},
    "TZ=UTC0 ip -s xfrm state ...": {"TZ": "UTC0"},
}
GCM = "aead rfc4106(gcm(aes)) 0x{:040x} 128"


def bench_polls(topology: Topology, sas: int) -> Iterator[tuple[str, float]]:
    """(what, ms) of each row."""
    add_sas(topology, sas)
    with in_namespace(topology.name("router")):
        helper = Helper(small_plan("ipsecmon_bench"))
        helper.start()
        sending = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    source = XfrmSource(helper, "netlink", Counters())
    poll = Poll(source)
    costs: dict[str, float] = {}
    try:
        for name, hosts in (
            ("nothing changed", range(0)),
            ("1 % changed", range(0, sas, 100)),
            ("all changed", range(sas)),
        ):
            spent = []
            for _ in range(ROUNDS):
                for host in hosts:
                    sending.sendto(b"", (host_of(host), 9))
                spent.append(poll.run())
            costs[f"poll, {name}"] = min(map(sum, spent))
            yield f"poll, {name}", min(map(sum, spent))
            for part, ms in zip(("asking for the dump", "asking for events", "settling"), zip(*spent)):
                yield f"  {part}", min(ms)
        for how, environment in IP.items():
            ip = ip_cost_ms(topology, **environment)
            yield how, ip
            for name, cost in costs.items():
                yield f"  its ratio to {name}", ip / cost
    finally:
        sending.close()
        helper.stop()
        topology.ip("router", "xfrm policy flush\nxfrm state flush\n")


class Poll:
    """What an agent does in each interval."""

    def __init__(self, source: XfrmSource) -> None:
        self._source = source
        self._matcher = TunnelMatcher([TunnelRule("VPN-to-parent", peers=frozenset((FAR,)))])
        self._tunnels = Tunnels(self._matcher)
        source.start()
        self.run()

    def run(self) -> tuple[float, float, float]:
        """ms of: the dump, all that has to do with the helper; events; settling."""
        began = time.perf_counter()
        sas, policies = self._source.dump()
        if policies is not None:
            self._matcher.learn(policies, (WAN,))
        dumped = time.perf_counter()
        for event in self._source.hear().events:
            self._tunnels.event(event)
        heard = time.perf_counter()
        self._tunnels.dump(sas, 1)
        self._tunnels.settle({}, 2)
        settled = time.perf_counter()
        return (dumped - began) * 1000, (heard - dumped) * 1000, (settled - heard) * 1000


def add_sas(topology: Topology, sas: int) -> None:
    topology.ip("router", f"route replace 10.64.0.0/16 via {FAR}\n")
    ends = f"src {WAN} dst {FAR} proto esp"
    topology.ip(
        "router",
        "".join(
            f"xfrm state add {ends} spi {0x1000 + number:#x} reqid {number + 1} mode tunnel "
            f"replay-window 32 {GCM.format(number + 1)}\n"
            f"xfrm policy add src {WAN}/32 dst {host_of(number)}/32 dir out "
            f"tmpl {ends} reqid {number + 1} mode tunnel\n"
            for number in range(sas)
        ),
    )


def host_of(number: int) -> str:
    return f"10.64.{number // 250}.{number % 250 + 1}"


def ip_cost_ms(topology: Topology, **environment: str) -> float:
    """The least of some, with nobody reading what it says."""
    spent = []
    with in_namespace(topology.name("router")):
        for _ in range(IP_ROUNDS):
            began = time.perf_counter()
            subprocess.run(LIST, stdout=subprocess.DEVNULL, check=True, env={**os.environ, **environment})
            spent.append(time.perf_counter() - began)
    return min(spent) * 1000
