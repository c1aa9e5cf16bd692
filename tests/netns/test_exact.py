"""20,000 packets each way are in every place exactly as they were sent: the promise of the product."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.netns.agent import Agent, in_namespace, volume
from tests.netns.exchange import LINK_HEADER, Volume, carried, exchange_tcp, exchange_udp
from tests.netns.topology import FAR, FAR6, LAN, LAN6, Topology
from tests.netns.topology import topology as make_topology
from tests.parts.conftest import require
from tests.parts.servers import PASSWORD, TOKEN, FrontServer, InfluxServer, make_authority

PACKETS = 20_000
SIZES = (12, 100, 472, 1000, 1372)
NOTHING = Volume(0, 0)
DATABASES = ("direct", "behind")

Key = tuple[str, str]


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
            sent = _send_everything(topology)
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
        "counters": [
            {"name": "web", "match": {"proto": "tcp", "port": [80, 443]}},
            {"name": "voip", "match": {"proto": "udp", "port": 5060}},
            {"name": "lan host", "match": {"proto": "udp", "local": [LAN, LAN6], "port": 7000}},
        ],
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


def _send_everything(topology: Topology) -> dict[Key, Volume]:
    """Both families, both ways; TCP's packets and octets are what the quiet NICs counted meanwhile."""
    sent: dict[Key, Volume] = {}

    def add(name: str, direction: str, more: Volume) -> None:
        before = sent.get((name, direction), NOTHING)
        sent[name, direction] = Volume(before.packets + more.packets, before.octets + more.octets)

    for far, lan in ((FAR, LAN), (FAR6, LAN6)):
        for name, port in (("voip", 5060), ("lan host", 7000), ("other", 9999)):
            packets = PACKETS if name == "voip" else 1000
            out = exchange_udp(topology, "lan", "inet", far, port=port, packets=packets, sizes=SIZES)
            back = exchange_udp(topology, "inet", "lan", lan, port=port, packets=packets, sizes=SIZES)
            assert out.sent == out.received and back.sent == back.received
            add(name, "out", out.sent)
            add(name, "in", back.sent)
        for source, target, to in (("lan", "inet", far), ("inet", "lan", lan)):
            before = topology.nic("router", "wan0")
            exchange_tcp(topology, source, target, to, port=443, source_port=0, octets=14_000_000)
            carried_in, carried_out = carried(topology.nic("router", "wan0").since(before))
            add("web", "in", carried_in)
            add("web", "out", carried_out)
    return sent


def _wait_for_sinks(agent: Agent) -> None:
    agent.stop()  # flushes each sink; what is not sent stays in the spool and would fail the tests
    assert "did not end in time" not in agent.log()


def _line(sent: dict[Key, Volume], direction: str) -> Volume:
    volumes = [volume for (_, way), volume in sent.items() if way == direction]
    return Volume(sum(one.packets for one in volumes), sum(one.octets for one in volumes))


def test_enough_was_sent_each_way(lab: Lab) -> None:
    for direction in ("in", "out"):
        assert lab.sent["voip", direction].packets == 2 * PACKETS
        assert lab.sent["web", direction].packets > PACKETS


def test_the_store_has_exactly_what_was_sent(lab: Lab) -> None:
    rows = lab.agent.counters(now=False)

    found = {(name, way): volume(row) for (name, way, _), row in rows.items() if row["packets"]}
    line = {("T1", way): _line(lab.sent, way) for way in ("in", "out")}
    assert found == {**lab.sent, **line}


def test_copies_equal_the_kernel_counters_with_nothing_lost_or_pending(lab: Lab) -> None:
    for row in lab.agent.counters(now=False).values():
        assert volume(row) == volume(row, "nflog_")
        assert (row["lost_packets"], row["pending_packets"], row["bridged_packets"]) == (0, 0, 0)


def test_the_line_and_its_link_headers_are_what_the_nic_counted(lab: Lab) -> None:
    nic = {row["direction"]: row for row in lab.agent.report(now=False)["interfaces"]}

    for direction in ("in", "out"):
        line = _line(lab.sent, direction)
        assert nic[direction]["frames"] == line.packets
        assert nic[direction]["octets"] == line.octets + line.packets * LINK_HEADER


def test_the_line_protocol_file_has_exactly_what_was_sent(lab: Lab) -> None:
    found: dict[Key, Volume] = {}
    for line in lab.file.read_text().splitlines():
        series, fields, _ = line.replace("\\ ", "\0").split(" ")
        measurement, *tags = series.split(",")
        labels = dict(tag.split("=") for tag in tags)
        values = {name: int(value.rstrip("i")) for name, value in (f.split("=") for f in fields.split(","))}
        if measurement == "counter" and values["packets"]:
            key = (labels["counter"].replace("\0", " "), labels["direction"])
            before = found.get(key, NOTHING)
            found[key] = Volume(before.packets + values["packets"], before.octets + values["octets"])

    assert found == {**lab.sent, **{("T1", way): _line(lab.sent, way) for way in ("in", "out")}}


@pytest.mark.parametrize("database", DATABASES)
def test_influxd_has_exactly_what_was_sent(lab: Lab, database: str) -> None:
    query = "SELECT sum(octets) AS octets, sum(packets) AS packets FROM counter GROUP BY counter, direction"
    rows = lab.influxd.rows(query, database)

    found = {(row["counter"], row["direction"]): volume(row) for row in rows if row["packets"]}
    assert found == {**lab.sent, **{("T1", way): _line(lab.sent, way) for way in ("in", "out")}}
