"""`ipsecmon init` on routers as they are: its config passes `check`, and counts right as it stands."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.netns.agent import IPSECMON, Agent
from tests.netns.exchange import Volume, exchange_udp
from tests.netns.proposal import assert_exact, checked, init, start_as_proposed
from tests.netns.topology import FAR, LAN, QUIET_LINK, Topology

PEER = "198.51.100.7"
SECOND = "192.0.2.2"  # the far end of the second line
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


def add_second_line(topology: Topology) -> None:
    """wan1, 192.0.2.1 to 192.0.2.2, as silent as wan0."""
    topology.connect("router", "wan1", topology.far, "eth1")
    for role, interface, own in (("router", "wan1", 1), (topology.far, "eth1", 2)):
        quiet = f"link set {interface} {QUIET_LINK}\nlink set {interface} up\n"
        topology.ip(role, f"{quiet}addr add 192.0.2.{own}/24 dev {interface}\n")
    wan1, eth1 = topology.link_address("router", "wan1"), topology.link_address(topology.far, "eth1")
    topology.neighbours("router", "wan1", eth1, SECOND)
    topology.neighbours(topology.far, "eth1", wan1, "192.0.2.1")
    back = f"rule add from {SECOND} lookup 7\nroute add 10.1.0.0/24 via 192.0.2.1 table 7\n"
    topology.ip(topology.far, back)


def exchange(topology: Topology, far: str) -> dict[str, Volume]:
    """Between the lan and an address of the far side, by direction."""
    out = exchange_udp(topology, "lan", topology.far, far, packets=300)
    home = exchange_udp(topology, topology.far, "lan", LAN, packets=200, sizes=(500,), source_address=far)
    assert (out.sent, home.sent) == (out.received, home.received)
    return {"out": out.sent, "in": home.sent}


def test_the_config_of_a_plain_line_counts_right_as_it_stands(topology: Topology, agent: Agent) -> None:
    topology.ip("router", DEFAULT)
    start_as_proposed(topology, agent)
    topology.run("lan", "ping", "-q", "-c", "20", "-i", "0.01", FAR)

    assert_exact(agent, {("other", way, "wire"): Volume(20, 20 * 84) for way in ("in", "out")}, "wan0")


@pytest.mark.parametrize(
    ("routing", "line", "other"),
    [
        (f"{DEFAULT}route add default via 192.0.2.2 metric 200\n", "wan0", "wan1"),
        (f"route add default via {FAR} metric 300\nroute add default via 192.0.2.2\n", "wan1", "wan0"),
        (
            f"route add default via {FAR} table 100\nroute add default via 192.0.2.2 table 200\n"
            "rule add lookup main suppress_prefixlength 0 priority 89\n"
            "rule add from 203.0.113.1 lookup 100 priority 90\n"
            "rule add lookup 200 priority 91\n",
            "wan1",
            "wan0",
        ),
    ],
    ids=["by-metric", "by-metric-the-other", "by-policy"],
)
def test_of_two_lines_the_kernels_choice_is_counted_right_as_it_stands(
    topology: Topology, agent: Agent, routing: str, line: str, other: str
) -> None:
    add_second_line(topology)
    topology.ip("router", routing)
    text = start_as_proposed(topology, agent)
    ends = {"wan0": FAR, "wan1": SECOND}
    sent = {name: exchange(topology, end) for name, end in ends.items()}

    assert_exact(agent, {("other", way, "wire"): one for way, one in sent[line].items()}, line)
    assert f"# {other} has a default route too" in text
    assert f"ipsecmon init --line {other}\n" in text


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
    assert f"counters  ipsec-{PEER}" in checked(topology, agent, text)
    agent.config.write_text(text.replace("/var/lib/ipsecmon", str(tmp_path / "store")))
    agent.call("rules", "install")
    assert "rules stand" in agent.call("rules", "status")


def test_the_rate_that_tc_shapes_to_is_the_capacity(topology: Topology, agent: Agent) -> None:
    topology.ip("router", DEFAULT)
    topology.run(
        "router", "tc", "qdisc", "add", "dev", "wan0", "root", "handle", "1:", "htb", "default", "10"
    )
    for parent, classid in (("1:", "1:1"), ("1:1", "1:10")):
        under = ("parent", parent, "classid", classid, "htb", "rate", "1544kbit")
        topology.run("router", "tc", "class", "add", "dev", "wan0", *under)

    assert "in 1544 kbit/s, out 1544 kbit/s" in checked(topology, agent, init(topology))


def test_inside_networks_are_told_as_examples(topology: Topology) -> None:
    topology.ip("router", DEFAULT)

    assert '#   match: {local: [10.1.0.0/24, "fd01::/64"]}' in init(topology)


def test_a_user_without_rights_gets_a_config_that_says_what_was_not_seen(
    topology: Topology, agent: Agent
) -> None:
    if subprocess.run([*NOBODY, *IPSECMON, "--help"], capture_output=True, check=False).returncode:
        pytest.skip("an ordinary user may not execute this interpreter")
    topology.ip("router", DEFAULT + POLICIES)
    text = topology.run("router", *NOBODY, *IPSECMON, "init")

    assert "# Not seen: IPsec SAs: RTNETLINK answers: Operation not permitted (needs CAP_NET_ADMIN" in text
    assert "# Not seen: IPsec policies: " in text
    checked(topology, agent, text)


def test_without_a_default_route_the_line_has_to_be_named(topology: Topology) -> None:
    routes = json.loads(topology.run("router", "ip", "-j", "route", "show", "default") or "[]")
    assert routes == []
    with pytest.raises(AssertionError, match=r"name it, ipsecmon init --line INTERFACE"):
        init(topology)
