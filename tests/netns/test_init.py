"""`ipsecmon init` on routers as they are: its config passes `check`, and counts right as it stands."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.netns.agent import IPSECMON, Agent, volume
from tests.netns.exchange import Volume
from tests.netns.topology import FAR, Topology

LINK_HEADER = 14
PEER = "198.51.100.7"
DEFAULT = f"route add default via {FAR}\n"
POLICIES = "".join(
    f"xfrm policy add src {source} dst {destination} dir {way} "
    f"tmpl src {ends[0]} dst {ends[1]} proto esp reqid 10 mode tunnel\n"
    for way, source, destination, ends in (
        ("out", "10.1.0.0/24", "10.9.0.0/24", ("203.0.113.1", PEER)),
        ("in", "10.9.0.0/24", "10.1.0.0/24", (PEER, "203.0.113.1")),
    )
)
NOBODY = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--inh-caps=-all")


@pytest.fixture
def agent(topology: Topology, tmp_path: Path) -> Iterator[Agent]:
    made = Agent(topology, tmp_path, {})
    yield made
    made.end()


def init(topology: Topology, *arguments: str) -> str:
    return topology.run("router", *IPSECMON, "init", *arguments)


def checked(topology: Topology, folder: Path, text: str) -> str:
    """What `ipsecmon check` says about a text; it fails where the text does not pass."""
    file = folder / "proposed.yaml"
    file.write_text(text)
    return topology.run("router", *IPSECMON, "check", str(file))


def test_the_config_of_a_plain_line_counts_right_as_it_stands(topology: Topology, agent: Agent) -> None:
    topology.ip("router", DEFAULT)
    text = init(topology)
    store = agent.config.parent / "store"
    agent.config.write_text(text.replace("/var/lib/ipsecmon", str(store)))  # this machine may have its own
    agent.start()
    topology.run("lan", "ping", "-q", "-c", "20", "-i", "0.01", FAR)

    report = agent.report()
    rows = {(row["name"], row["direction"], row["observed_at"]): row for row in report["counters"]}
    for direction in ("in", "out"):
        nic = next(row for row in report["interfaces"] if row["direction"] == direction)
        assert volume(rows["internet", direction, "wire"]) == Volume(20, 20 * 84)
        assert volume(rows["other", direction, "wire"]) == Volume(20, 20 * 84)
        assert (nic["name"], nic["frames"]) == ("wan0", 20)
        assert nic["octets"] == 20 * (84 + LINK_HEADER)


def test_nothing_on_the_machine_is_changed(topology: Topology) -> None:
    topology.ip("router", DEFAULT + POLICIES)
    looks = (("nft", "list", "ruleset"), ("ip", "route"), ("ip", "xfrm", "policy"), ("tc", "qdisc"))
    before = [topology.run("router", *look) for look in looks]
    init(topology)

    assert [topology.run("router", *look) for look in looks] == before


def test_peers_of_policies_are_counters_and_their_rules_can_be_installed(
    topology: Topology, agent: Agent, tmp_path: Path
) -> None:
    topology.ip("router", DEFAULT + POLICIES)
    text = init(topology)

    assert yaml.safe_load(text)["counters"] == [{"name": f"ipsec-{PEER}", "ipsec": {"peer": PEER}}]
    assert f"counters  ipsec-{PEER}" in checked(topology, tmp_path, text)
    agent.config.write_text(text.replace("/var/lib/ipsecmon", str(tmp_path / "store")))
    agent.call("rules", "install")
    assert "rules stand" in agent.call("rules", "status")


def test_of_two_lines_the_first_is_taken_and_the_other_told(topology: Topology, tmp_path: Path) -> None:
    topology.connect("router", "wan1", topology.far, "eth1")
    topology.ip("router", "addr add 192.0.2.1/24 dev wan1\nlink set wan1 up\n")
    topology.ip("router", f"{DEFAULT}route add default via 192.0.2.2 metric 200\n")
    text = init(topology)

    assert "line      internet on wan0" in checked(topology, tmp_path, text)
    assert "# a default route leaves by wan1 too: several lines are not yet supported" in text
    assert "line      internet on wan1" in checked(topology, tmp_path, init(topology, "--line", "wan1"))


def test_the_rate_that_tc_shapes_to_is_the_capacity(topology: Topology, tmp_path: Path) -> None:
    topology.ip("router", DEFAULT)
    topology.run(
        "router", "tc", "qdisc", "add", "dev", "wan0", "root", "handle", "1:", "htb", "default", "10"
    )
    for parent, classid in (("1:", "1:1"), ("1:1", "1:10")):
        under = ("parent", parent, "classid", classid, "htb", "rate", "1544kbit")
        topology.run("router", "tc", "class", "add", "dev", "wan0", *under)

    assert "in 1.5 Mbit/s, out 1.5 Mbit/s" in checked(topology, tmp_path, init(topology))


def test_inside_networks_are_told_as_examples(topology: Topology) -> None:
    topology.ip("router", DEFAULT)

    assert '#   match: {local: [10.1.0.0/24, "fd01::/64"]}' in init(topology)


def test_a_user_without_rights_gets_a_config_that_says_what_was_not_seen(
    topology: Topology, tmp_path: Path
) -> None:
    topology.ip("router", DEFAULT + POLICIES)
    text = topology.run("router", *NOBODY, *IPSECMON, "init")

    assert "# Not seen: IPsec SAs: RTNETLINK answers: Operation not permitted (needs CAP_NET_ADMIN" in text
    assert "# Not seen: IPsec policies: " in text
    checked(topology, tmp_path, text)


def test_without_a_default_route_the_line_has_to_be_named(topology: Topology) -> None:
    routes = json.loads(topology.run("router", "ip", "-j", "route", "show", "default") or "[]")
    assert routes == []
    with pytest.raises(AssertionError, match=r"name it, ipsecmon init --line INTERFACE"):
        init(topology)
