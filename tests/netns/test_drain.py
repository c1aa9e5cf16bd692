"""A running agent sends what waited for a real InfluxDB while traffic passes, and that costs nothing.

The server is frozen until traffic flows, and traffic flows until all that waited is there.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from ipsecmon.clock import Moment
from ipsecmon.model import Batch
from ipsecmon.store import Store
from tests.netns.agent import Agent, in_namespace, volume
from tests.netns.books import Traffic, counter
from tests.netns.exchange import Volume, carried
from tests.netns.topology import FAR, LAN, Topology
from tests.netns.topology import topology as make_topology
from tests.parts.batches import STEP_NS, batch, total_octets
from tests.parts.conftest import require
from tests.parts.servers import PASSWORD, USER, InfluxServer
from tests.unit.store.store_cases import number_in

PORTS = (5060, 5061, 5062)
RATE = 1000  # packets a second on each port, each way: 6,000 copies, in six NFLOG groups
LASTS_S = 25
COUNTERS, INTERVALS = 500, 200  # that wait: 100,000 points
GRID_NS = 2 * 10**9  # the agent's interval
Key = tuple[str, str, str]


@dataclass(frozen=True)
class Lab:
    """before_ns, after_ns: when the drain began and had ended, by the wall clock. passed: packets on the line
    in between, of the quieter direction. line: what its NIC carried in and out, in all.
    """

    influxd: InfluxServer
    waited: tuple[Batch, ...]
    waiting_at_first: int
    before_ns: int
    after_ns: int
    passed: int
    sent: Mapping[Key, Volume]
    line: tuple[Volume, Volume]
    rows: Mapping[Key, Mapping[str, Any]]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Everything happens once; each test looks in another place."""
    require("influxd")
    folder = tmp_path_factory.mktemp("drain")
    with make_topology() as topology, in_namespace(topology.name("router")):
        (folder / "influxd").mkdir()
        influxd = InfluxServer(folder / "influxd")
        influxd.start()
        influxd.query("CREATE DATABASE traffic")
        agent = Agent(topology, folder, settings(folder, influxd))
        waited = let_wait(agent.store)
        try:
            yield run(topology, agent, influxd, waited)
        finally:
            agent.end()
            influxd.stop()


def settings(folder: Path, influxd: InfluxServer) -> dict[str, Any]:
    (folder / "password").write_text(PASSWORD)
    login = {"username": USER, "password_file": str(folder / "password")}
    # the frozen server has the first request: it is to be answered, and not to be tried again a minute later
    sink = {"url": influxd.url, "database": "traffic", "timeout": "60s", **login}
    counters = [counter(port) for port in PORTS]
    return {"interval": f"{GRID_NS // 10**9}s", "counters": counters, "sinks": [{"influxdb": sink}]}


def let_wait(folder: Path) -> tuple[Batch, ...]:
    """Into the spool of a store that no agent has: as if an outage had begun a day ago."""
    now_ns = time.time_ns()
    first_ns = now_ns // STEP_NS * STEP_NS - 86400 * 10**9
    starts = [first_ns + number * STEP_NS for number in range(INTERVALS)]
    waiting = tuple(
        replace(batch(number, COUNTERS), start_ns=start_ns, end_ns=start_ns + STEP_NS)
        for number, start_ns in enumerate(starts)
    )
    store = Store(folder, 10, 400 * 86400)
    store.start(Moment(now_ns, 0))
    for one in waiting:
        store.commit(one, [], ["influxdb"], Moment(now_ns, 0))
    store.stop()
    return waiting


def run(topology: Topology, agent: Agent, influxd: InfluxServer, waited: tuple[Batch, ...]) -> Lab:
    influxd.signal(signal.SIGSTOP)
    at_first = topology.nic("router", "wan0")
    agent.start()
    traffic = start_traffic(topology)
    waiting_at_first = waiting(agent, waited)
    before, before_ns = topology.nic("router", "wan0"), time.time_ns()
    influxd.signal(signal.SIGCONT)
    while waiting(agent, waited):
        assert all(one.goes_on() for one in traffic.values()), "the drain outlasts the traffic"
        time.sleep(0.1)
    after_ns, passed = time.time_ns(), topology.nic("router", "wan0").since(before)
    sent = {key: one.sent() for key, one in traffic.items()}
    assert agent.stop() == 0 and "did not end in time" not in agent.log()
    return Lab(
        influxd,
        waited,
        waiting_at_first,
        before_ns,
        after_ns,
        min(passed.in_packets, passed.out_packets),
        sent,
        carried(topology.nic("router", "wan0").since(at_first)),
        agent.counters(now=False),
    )


def start_traffic(topology: Topology) -> dict[Key, Traffic]:
    """Flowing: the starts of its processes, which take the CPUs, are over."""
    traffic = {
        (f"port {port}", way, "wire"): Traffic(topology, [port], RATE, role, to, LASTS_S)
        for port in PORTS
        for way, role, to in (("out", "lan", FAR), ("in", "inet", LAN))
    }
    for one in traffic.values():
        one.keep_up()
    while topology.nic("router", "wan0").in_packets < len(PORTS) * RATE:
        assert all(one.goes_on() for one in traffic.values())
        time.sleep(0.05)
    return traffic


def waiting(agent: Agent, waited: tuple[Batch, ...]) -> int:
    """Of the batches that waited, and of their hours, those that no server has."""
    newest_ns = waited[-1].start_ns
    return number_in(agent.store, f"SELECT count(*) FROM payload WHERE start_ns <= {newest_ns}")


def test_all_that_waited_went_while_traffic_passed(lab: Lab) -> None:
    seconds = (lab.after_ns - lab.before_ns) / 10**9
    print(f"{COUNTERS * INTERVALS} points in {seconds:.1f} s, and {lab.passed} packets each way")
    assert lab.waiting_at_first >= INTERVALS
    assert lab.passed > len(PORTS) * RATE


def test_every_octet_was_counted(lab: Lab) -> None:
    assert {key: volume(lab.rows[key]) for key in lab.sent} == lab.sent
    assert (volume(lab.rows["T1", "in", "wire"]), volume(lab.rows["T1", "out", "wire"])) == lab.line


def test_no_header_copy_was_lost(lab: Lab) -> None:
    for row in lab.rows.values():
        assert volume(row) == volume(row, "nflog_")
        assert (row["lost_packets"], row["pending_packets"], row["bridged_packets"]) == (0, 0, 0)


def test_no_interval_is_missing_or_was_closed_late(lab: Lab) -> None:
    """One that is closed late ends late, and the next one begins off the grid."""
    for name, way, _ in lab.sent:
        of_it = f"router = 'lab' AND counter = '{name}' AND direction = '{way}'"
        rows = lab.influxd.rows(f"SELECT octets FROM counter WHERE {of_it}", "traffic")
        assert sum(row["octets"] for row in rows) == lab.sent[name, way, "wire"].octets
        found = [row["time"] for row in rows if row["time"] > lab.before_ns]
        due = range(lab.before_ns // GRID_NS + 1, found[-1] // GRID_NS + 1)
        assert found == [number * GRID_NS for number in due]
        assert found[-1] > lab.after_ns


def test_every_point_that_waited_is_in_influxdb_once(lab: Lab) -> None:
    of_it = f"router = '{lab.waited[0].router}'"
    query = f"SELECT count(octets), sum(octets) FROM counter WHERE {of_it}"
    (row,) = lab.influxd.rows(query, "traffic")
    assert (row["count"], row["sum"]) == (INTERVALS * COUNTERS, total_octets(*lab.waited))
