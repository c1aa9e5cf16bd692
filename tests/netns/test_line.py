"""The partition of the line: each packet in one part, whoever sends it, through NAT, in both families."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.netns.agent import IPSECMON, Agent, volume
from tests.netns.backends import BACKENDS
from tests.netns.exchange import LINK_HEADER, Volume
from tests.netns.topology import FAR, FAR6, WAN, Topology

GUESTS = {
    "counters": [
        {"name": "guests", "match": {"local": "10.1.0.0/24"}},
        {"name": "far web", "match": {"proto": "udp", "port": 8080, "view": "wire"}},
    ]
}
MASQUERADE = """
table ip nat {
  chain out {
    type nat hook postrouting priority 100; policy accept;
    oifname "wan0" masquerade
  }
  chain in {
    type nat hook prerouting priority -100; policy accept;
    iifname "wan0" udp dport 8080 dnat to 10.1.0.2:80
  }
}
"""


# what depends on how rules are made; rules and counting are otherwise those of test_backends.py
EACH = pytest.mark.parametrize("agent", ["nft", "iptables-nft"], indirect=True)


@pytest.fixture
def agent(topology: Topology, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Agent]:
    made = Agent(topology, tmp_path, {**GUESTS, **BACKENDS[getattr(request, "param", "nft")]})
    yield made
    made.end()


def line_equals_nic(agent: Agent) -> dict[str, Volume]:
    """The parts and link headers are the NIC's octets, frame by frame; the line by direction."""
    report = agent.report()
    nic = {row["direction"]: row for row in report["interfaces"]}
    line = {row["direction"]: volume(row) for row in report["counters"] if row["name"] == "T1"}
    for direction in ("in", "out"):
        assert nic[direction]["frames"] == line[direction].packets, direction
        assert nic[direction]["octets"] == line[direction].octets + line[direction].packets * LINK_HEADER
    return line


@EACH
def test_a_masqueraded_host_is_counted_by_its_lan_address_both_ways(topology: Topology, agent: Agent) -> None:
    topology.run("router", "nft", "-f", "-", text=MASQUERADE)
    agent.start()
    topology.run("lan", "ping", "-q", "-c", "20", "-i", "0.01", FAR)

    rows = agent.counters()
    for direction in ("in", "out"):
        assert volume(rows["guests", direction, "wire"]) == Volume(20, 20 * 84)
        assert rows["other", direction, "wire"]["packets"] == 0


@EACH
def test_nat_that_comes_later_is_noticed(topology: Topology, agent: Agent) -> None:
    agent.start()
    topology.run("lan", "ping", "-q", "-c", "3", "-i", "0.01", FAR)
    topology.run("router", "nft", "-f", "-", text=MASQUERADE)
    agent.report()  # a round passes, and sees that a rule set has changed
    topology.run("lan", "ping", "-q", "-c", "20", "-i", "0.01", FAR)

    rows = agent.counters()
    assert [rows["guests", direction, "wire"]["packets"] for direction in ("in", "out")] == [23, 23]
    assert "rules did not stand" not in agent.log()  # they were whole, and counted all the time


def test_a_forwarded_port_is_seen_as_the_lan_has_it_or_as_the_wire_has_it(
    topology: Topology, tmp_path: Path
) -> None:
    topology.run("router", "nft", "-f", "-", text=MASQUERADE)
    counters = [{"name": "web", "match": {"proto": "udp", "port": 80}}]
    agent = Agent(topology, tmp_path, {"counters": counters})
    try:
        agent.start()
        server = "import socket; s = socket.socket(2, 2); s.bind(('', 80)); print('up', flush=True)\n"
        server += "while True: d, a = s.recvfrom(99); s.sendto(d, a)"
        process = topology.start("lan", "python3", "-c", server)
        assert process.stdout is not None and process.stdout.readline() == "up\n"
        client = "import socket; s = socket.socket(2, 2); s.connect(('203.0.113.1', 8080))\n"
        client += "for _ in range(50): s.send(bytes(72)); s.recv(99)"
        topology.run("inet", "python3", "-c", client)

        rows = agent.counters()
        for direction in ("in", "out"):
            assert volume(rows["web", direction, "wire"]) == Volume(50, 5000)
    finally:
        agent.end()


def test_conntrack_is_left_alone_where_nothing_translates(topology: Topology, agent: Agent) -> None:
    agent.start()

    assert " ct " not in topology.run("router", "nft", "list", "ruleset")


@EACH
def test_what_the_router_itself_sends_to_many_is_counted_once(topology: Topology, agent: Agent) -> None:
    """Broadcast, joined multicast (the kernel loops a copy back), IPv6 to all nodes."""
    agent.start()
    join = "import socket, time; s = socket.socket(2, 2); r = socket.socket(2, 2)\n"
    join += "r.setsockopt(0, 35, socket.inet_aton('224.0.0.18') + socket.inet_aton('203.0.113.1'))\n"
    join += "s.setsockopt(0, 32, socket.inet_aton('203.0.113.1')); s.setsockopt(1, 6, 1)\n"
    join += "for to in ['224.0.0.18', '203.0.113.255']:\n  for _ in range(10): s.sendto(bytes(72), (to, 9))"
    topology.run("router", "python3", "-c", join)
    topology.run("router", "sh", "-c", "ping -q -c 5 -i 0.01 -W 0.1 -I wan0 ff02::1 > /dev/null || true")

    line = line_equals_nic(agent)
    assert line["out"].packets >= 25


@EACH
def test_a_router_that_talks_on_its_own_adds_up_to_its_nic(topology: Topology, agent: Agent) -> None:
    """Duplicate address detection, MLD, router solicitations: some of it from the address ::."""
    agent.start()
    topology.sysctl(
        "router", net__ipv6__conf__wan0__router_solicitations=3, net__ipv6__conf__wan0__accept_dad=1
    )
    topology.ip(
        "router",
        "link set wan0 down\nlink set wan0 arp on multicast on addrgenmode eui64\nlink set wan0 up\n",
    )
    topology.run("router", "sleep", "4")

    line = line_equals_nic(agent)
    assert line["out"].packets >= 3


@EACH
def test_unknown_protocols_and_fragments_have_their_place(topology: Topology, agent: Agent) -> None:
    agent.start()
    odd = "import socket\nfor p in [99, 132, 47]:\n  s = socket.socket(2, 3, p)\n"
    odd += "  for n in [0, 1, 20, 500]: s.sendto(bytes(n), ('203.0.113.1', 0))"
    topology.run("inet", "python3", "-c", odd)
    topology.run("inet", "ping", "-q", "-c", "3", "-i", "0.01", "-s", "4000", WAN)

    rows = agent.counters()
    line_equals_nic_packets = volume(rows["T1", "in", "wire"])
    assert line_equals_nic_packets.packets >= 12 + 3
    assert rows["T1", "in", "wire"]["lost_packets"] == 0
    for row in rows.values():
        assert volume(row) == volume(row, "nflog_")


@EACH
@pytest.mark.parametrize("to", [FAR, FAR6])
def test_esp_and_ike_in_the_clear_kernel_are_told_by_their_numbers(
    topology: Topology, agent: Agent, to: str
) -> None:
    """No SA is needed to send IP protocol 50 or UDP 500/4500."""
    agent.start()
    family = 10 if ":" in to else 2
    send = f"import socket\nto = '{to}'\ns = socket.socket({family}, 3, 50)\n"
    send += "for _ in range(7): s.sendto(bytes(80), (to, 0))\n"
    send += "natt = [bytes(50), b'\\xff', b'\\1' * 60, b'\\2' * 70]\n"
    send += "for port, payloads in [(500, [bytes(99)] * 3), (4500, natt)]:\n"
    send += f"  u = socket.socket({family}, 2); u.bind(('', port))\n"
    send += "  for p in payloads: u.sendto(p, (to, port))"
    topology.run("router", "python3", "-c", send)

    rows = agent.counters()
    found = {name: rows[name, "out", "wire"]["packets"] for name in ("esp", "ike", "nat-t", "other")}
    assert found == {"esp": 7, "ike": 5, "nat-t": 2, "other": 0}


def test_removing_the_rules_leaves_what_was_there_before(topology: Topology, agent: Agent) -> None:
    topology.run("router", "nft", "-f", "-", text=MASQUERADE)
    before = topology.run("router", "nft", "list", "ruleset")
    agent.call("rules", "install")
    agent.call("rules", "install")
    assert "rules stand" in agent.call("rules", "status")
    agent.call("rules", "remove")
    agent.call("rules", "remove")

    assert topology.run("router", "nft", "list", "ruleset") == before


def test_the_installed_ruleset_can_be_saved_and_loaded_again(topology: Topology, agent: Agent) -> None:
    topology.run("router", "nft", "-f", "-", text=MASQUERADE)
    agent.call("rules", "install")
    saved = topology.run("router", "nft", "list", "ruleset")
    topology.run("router", "nft", "flush", "ruleset")
    topology.run("router", "nft", "-f", "-", text=saved)

    assert "rules stand" in agent.call("rules", "status")


@pytest.mark.parametrize("agent", ["iptables-nft", "iptables-legacy-no-nfacct"], indirect=True)
def test_iptables_rules_can_be_saved_and_loaded_again(topology: Topology, agent: Agent) -> None:
    agent.call("rules", "install")
    for program in ("iptables", "ip6tables"):
        flavour = agent.settings["backend"].partition("-")[2]
        saved = topology.run("router", f"{program}-{flavour}-save")
        topology.run("router", f"{program}-{flavour}", "-t", "mangle", "-F")
        topology.run("router", f"{program}-{flavour}-restore", text=saved)

    assert "rules stand" in agent.call("rules", "status")


def test_a_run_without_a_config_counts_the_default_route_and_leaves_nothing(topology: Topology) -> None:
    before = topology.run("lan", "nft", "list", "ruleset")
    inside = ["ip", "netns", "exec", topology.name("lan"), "timeout", "-s", "INT", "6"]
    process = subprocess.Popen(
        [*inside, *IPSECMON, "run"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    assert process.stderr.readline() == "ready\n"
    assert "ipsecmon_live" in topology.run("lan", "nft", "list", "tables")
    topology.run("lan", "ping", "-q", "-c", "5", "-i", "0.01", "10.1.0.1")
    process.communicate(timeout=30)

    assert topology.run("lan", "nft", "list", "ruleset") == before
