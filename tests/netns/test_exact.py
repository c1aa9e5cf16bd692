"""20,000 packets each way are in every place exactly as they were sent: the promise of the product."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.netns.agent import Agent, in_namespace, volume
from tests.netns.everything import COUNTERS, NOTHING, PACKETS, Key, line_of, send_everything
from tests.netns.exchange import LINK_HEADER, Volume
from tests.netns.topology import Topology
from tests.netns.topology import topology as make_topology
from tests.parts.conftest import require
from tests.parts.servers import PASSWORD, TOKEN, FrontServer, InfluxServer, make_authority

DATABASES = ("direct", "behind")


@dataclass(frozen=True)
class Lab:
    """sent: what each counter must show on the wire, by (name, direction)."""

    topology: Topology
    agent: Agent
    influxd: InfluxServer
    sent: dict[Key, Volume]
    file: Path


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Everything sent once, the agent stopped in order; each test looks in another place."""
    require("influxd", "nginx", "openssl")
    folder = tmp_path_factory.mktemp("exact")
    with make_topology() as topology, in_namespace(topology.name("router")):
        influxd, front = _servers(folder)
        agent = Agent(topology, folder, _settings(folder, influxd, front))
        try:
            agent.start()
            sent = send_everything(topology)
            agent.report()
            _wait_for_sinks(agent)
            yield Lab(topology, agent, influxd, sent, folder / "traffic.lp")
        finally:
            agent.end()
            front.stop()
            influxd.stop()


def _servers(folder: Path) -> tuple[InfluxServer, FrontServer]:
    (folder / "influxd").mkdir()
    (folder / "nginx").mkdir()
    influxd = InfluxServer(folder / "influxd")
    influxd.start()
    for name in DATABASES:
        influxd.query(f"CREATE DATABASE {name}")
    make_authority(folder / "nginx")
    front = FrontServer(folder / "nginx", influxd)
    front.start()
    return influxd, front


def _settings(folder: Path, influxd: InfluxServer, front: FrontServer) -> dict[str, object]:
    (folder / "token").write_text(TOKEN)
    (folder / "password").write_text(PASSWORD)
    login = {"username": "admin", "password_file": str(folder / "password")}
    return {
        "line": {"name": "T1", "interface": "wan0", "capacity": {"in": "16Mbit", "out": "1Mbit"}},
        "counters": COUNTERS,
        "sinks": [
            {"file": {"path": str(folder / "traffic.lp"), "format": "line-protocol"}},
            {"influxdb": {"url": influxd.url, "database": "direct", **login}},
            {
                "influxdb": {
                    "url": front.url,
                    "org": "lab",
                    "bucket": "behind",
                    "token_file": str(folder / "token"),
                }
            },
        ],
    }


def _wait_for_sinks(agent: Agent) -> None:
    agent.stop()  # flushes each sink; what is not sent stays in the spool and would fail the tests
    assert "did not end in time" not in agent.log()


def test_enough_was_sent_each_way(lab: Lab) -> None:
    for direction in ("in", "out"):
        assert lab.sent["voip", direction].packets == 2 * PACKETS
        assert lab.sent["web", direction].packets > PACKETS


def test_the_store_has_exactly_what_was_sent(lab: Lab) -> None:
    rows = lab.agent.counters(now=False)

    found = {(name, way): volume(row) for (name, way, _), row in rows.items() if row["packets"]}
    line = {("T1", way): line_of(lab.sent, way) for way in ("in", "out")}
    assert found == {**lab.sent, **line}


def test_copies_equal_the_kernel_counters_with_nothing_lost_or_pending(lab: Lab) -> None:
    for row in lab.agent.counters(now=False).values():
        assert volume(row) == volume(row, "nflog_")
        assert (row["lost_packets"], row["pending_packets"], row["bridged_packets"]) == (0, 0, 0)


def test_the_meters_are_said_to_agree_of_every_counter_and_interval(lab: Lab) -> None:
    for row in lab.agent.counters(now=False).values():
        assert row["agreement"] is None if not row["packets"] else row["agreement"]["word"] == "agree"
    assert lab.agent.call("report").splitlines()[-1] == "meters agree"

    fields = "sum(expected) AS expected, sum(seen) AS seen, min(agrees) AS agrees"
    of_the_line = "WHERE counter = 'T1' AND direction = 'in' AND pair = 'rule-nflog'"
    (total,) = lab.influxd.rows(f"SELECT {fields} FROM agreement {of_the_line}", "direct")
    line = line_of(lab.sent, "in")
    assert (total["expected"], total["seen"], total["agrees"]) == (line.octets, line.octets, 1)


def test_the_line_and_its_link_headers_are_what_the_nic_counted(lab: Lab) -> None:
    nic = {row["direction"]: row for row in lab.agent.report(now=False)["interfaces"]}

    for direction in ("in", "out"):
        line = line_of(lab.sent, direction)
        assert nic[direction]["frames"] == line.packets
        assert nic[direction]["octets"] == line.octets + line.packets * LINK_HEADER


def test_the_line_protocol_file_has_exactly_what_was_sent(lab: Lab) -> None:
    found: dict[Key, Volume] = {}
    for line in lab.file.read_text().splitlines():
        series, fields, _ = line.replace("\\ ", "\0").split(" ")
        measurement, *tags = series.split(",")
        labels = dict(tag.split("=") for tag in tags)
        told = (field.split("=") for field in fields.split(","))
        values = {name: int(value.rstrip("i")) for name, value in told if not value.startswith('"')}
        if measurement == "counter" and values["packets"]:
            key = (labels["counter"].replace("\0", " "), labels["direction"])
            before = found.get(key, NOTHING)
            found[key] = Volume(before.packets + values["packets"], before.octets + values["octets"])

    assert found == {**lab.sent, **{("T1", way): line_of(lab.sent, way) for way in ("in", "out")}}


@pytest.mark.parametrize("database", DATABASES)
def test_influxd_has_exactly_what_was_sent(lab: Lab, database: str) -> None:
    query = "SELECT sum(octets) AS octets, sum(packets) AS packets FROM counter GROUP BY counter, direction"
    rows = lab.influxd.rows(query, database)

    found = {(row["counter"], row["direction"]): volume(row) for row in rows if row["packets"]}
    assert found == {**lab.sent, **{("T1", way): line_of(lab.sent, way) for way in ("in", "out")}}


@pytest.mark.parametrize("database", DATABASES)
def test_influxd_has_the_lines_capacity_in_both_directions(lab: Lab, database: str) -> None:
    query = "SELECT min(capacity_bits_per_s), max(capacity_bits_per_s) FROM line GROUP BY line, direction"
    rows = lab.influxd.rows(query, database)

    found = {(row["line"], row["direction"]): (row["min"], row["max"]) for row in rows}
    assert found == {("T1", "in"): (16_000_000, 16_000_000), ("T1", "out"): (1_000_000, 1_000_000)}
