"""What cannot work is said in one line, with what to do; nothing is left behind and no traceback shown."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ipsecmon.helper.netfilter import open_nflog
from tests.netns.agent import Agent, in_namespace, volume
from tests.netns.exchange import exchange_udp
from tests.netns.topology import FAR, Topology

GROUP = 5600


@pytest.fixture
def agent(topology: Topology, tmp_path: Path) -> Iterator[Agent]:
    made = Agent(topology, tmp_path, {})
    yield made
    made.end()


def one_line(said: str) -> str:
    lines = [line for line in said.splitlines() if line.startswith("ipsecmon: ")]
    assert len(lines) == 1 and "Traceback" not in said, said
    return lines[0]


def rewritten(agent: Agent, old: str, new: str) -> Agent:
    text = agent.config.read_text()
    assert old in text
    agent.config.write_text(text.replace(old, new))
    return agent


def test_an_interface_that_is_not_there(agent: Agent) -> None:
    said = one_line(rewritten(agent, "wan0", "wan7").fails())

    assert "no such interface: wan7" in said and "wan0" in said


def test_a_group_that_another_program_owns(topology: Topology, agent: Agent) -> None:
    with in_namespace(topology.name("router")):
        owner = open_nflog([GROUP], 1 << 20)
    with owner:
        said = one_line(agent.fails())

    assert f"NFLOG group {GROUP} is in use by process {os.getpid()}" in said
    assert "ipsecmon" not in topology.run("router", "nft", "list", "tables")


def test_a_second_agent_on_the_same_store(agent: Agent) -> None:
    agent.start()

    assert "another ipsecmon agent" in one_line(agent.fails())


def test_a_second_agent_whose_rules_would_take_the_place_of_the_first_ones(
    topology: Topology, agent: Agent, tmp_path: Path
) -> None:
    (tmp_path / "second").mkdir()
    agent.start()
    rules = topology.run("router", "nft", "-s", "list", "ruleset")
    settings = {"nflog": {"groups": "100-200"}, "line": {"name": "LAN", "interface": "lan0"}}
    second = Agent(topology, tmp_path / "second", settings)
    said = one_line(second.fails())

    assert f"another ipsecmon agent (pid {agent.pid}) keeps the rules of this network namespace" in said
    assert topology.run("router", "nft", "-s", "list", "ruleset") == rules


def test_a_claim_by_anybody_keeps_no_agent_from_starting(topology: Topology, agent: Agent) -> None:
    program = "import socket; s = socket.socket(socket.AF_UNIX); s.bind('\\0ipsecmon/ipsecmon'); s.listen()"
    program += "; print('there', flush=True); input()"
    nobody = ("setpriv", "--reuid", "65534", "--clear-groups", "/usr/bin/python3", "-c", program)
    process = topology.start("router", *nobody)
    assert process.stdout is not None and process.stdout.readline() == "there\n"
    agent.start()

    assert (
        f"another user's process has our claim to the rules, which is ignored pid={process.pid}"
        in agent.log()
    )


def test_no_capability(agent: Agent) -> None:
    command = ["setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-all", "--"]
    command += [sys.executable, "-m", "ipsecmon", "run", "-c", str(agent.config)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)

    assert done.returncode == 1
    assert "CAP_NET_ADMIN is missing" in one_line(done.stderr)


def without(programs: str) -> list[str]:
    """Before a command: nothing stands where these programs are, for it only (its own mount namespace)."""
    hide = f"for p in {programs}; do [ -e $p ] && mount --bind /dev/null $p; done"
    return ["unshare", "-m", "sh", "-c", f'{hide}; exec "$@"', "sh"]


def test_neither_nft_nor_iptables_is_there(topology: Topology, agent: Agent) -> None:
    inside = ["ip", "netns", "exec", topology.name("router"), *without("/usr/sbin/nft /usr/sbin/xtables-*")]
    command = [*inside, sys.executable, "-m", "ipsecmon", "run", "-c", str(agent.config)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)

    assert done.returncode == 1
    assert "install the package nftables" in one_line(done.stderr)


def test_where_nft_is_missing_iptables_does_it(topology: Topology, tmp_path: Path) -> None:
    agent = Agent(topology, tmp_path, {}, before=without("/usr/sbin/nft"))
    try:
        agent.start()
        sent = exchange_udp(topology, "lan", "inet", FAR, packets=100).sent
        assert volume(agent.counters()["other", "out", "wire"]) == sent
        assert "-j NFLOG" in topology.run("router", "iptables-nft-save", "-t", "mangle")
    finally:
        agent.end()


def test_a_store_of_a_newer_version(agent: Agent, tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    with sqlite3.connect(tmp_path / "store" / "ipsecmon.sqlite") as newer:
        newer.execute("PRAGMA user_version = 99")
    newer.close()

    assert "newer" in one_line(agent.fails())


def test_a_corrupt_store_is_moved_aside_and_begun_afresh(
    topology: Topology, agent: Agent, tmp_path: Path
) -> None:
    agent.start()
    agent.stop()
    store = tmp_path / "store" / "ipsecmon.sqlite"
    store.write_bytes(b"this was a database" * 1000)
    agent.start()
    sent = exchange_udp(topology, "lan", "inet", FAR, packets=100).sent

    assert volume(agent.counters()["other", "out", "wire"]) == sent
    assert list((tmp_path / "store").glob("ipsecmon.sqlite.corrupt-*"))
    assert "store was corrupt" in agent.log()


def test_influxdb_that_cannot_be_reached_at_start_does_not_stop_counting(
    topology: Topology, tmp_path: Path
) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        agent = Agent(topology, tmp_path, {"sinks": [{"influxdb": {"url": url, "database": "x"}}]})
        try:
            agent.start()
            sent = exchange_udp(topology, "lan", "inet", FAR, packets=100).sent
            assert volume(agent.counters()["other", "out", "wire"]) == sent
            assert "sink unavailable sink=influxdb" in agent.log()
        finally:
            agent.end()


def test_an_agent_that_finds_its_groups_taken_leaves_the_rules_that_stand_alone(
    topology: Topology, tmp_path: Path
) -> None:
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        folder.mkdir()
    first = Agent(
        topology, folders[0], {"counters": [{"name": "voip", "match": {"proto": "udp", "port": 5060}}]}
    )
    second = Agent(topology, folders[1], {})
    try:
        first.start()
        first.stop()
        before = topology.run("router", "nft", "-s", "list", "ruleset")
        with in_namespace(topology.name("router")):
            owner = open_nflog([GROUP], 1 << 20)
        with owner:
            assert f"NFLOG group {GROUP} is in use" in one_line(second.fails())
        assert topology.run("router", "nft", "-s", "list", "ruleset") == before
    finally:
        first.end()


def test_killed_with_its_supervisor_the_helper_ends_the_agent_with_one_line_and_costs_no_count(
    topology: Topology, agent: Agent
) -> None:
    agent.start()
    helper = agent.helper_pid
    os.kill(agent.supervisor_pid, signal.SIGKILL)
    os.kill(helper, signal.SIGKILL)
    assert agent.wait() == 1
    assert "Traceback" not in agent.log()
    sent = exchange_udp(topology, "lan", "inet", FAR, packets=100).sent
    agent.start()

    assert volume(agent.counters()["other", "out", "wire"]) == sent
