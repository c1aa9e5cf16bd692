"""Kills, stalls and rule reloads cost nothing: totals stay exact, and what copies missed is said."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.netns.agent import Agent, volume
from tests.netns.backends import BACKENDS
from tests.netns.exchange import TRAFFIC, Volume, exchange_udp
from tests.netns.topology import FAR, FAR6, LAN, Topology

VOIP = {"counters": [{"name": "voip", "match": {"proto": "udp", "port": 5060}}]}
OUT = ("voip", "out", "wire")
IN = ("voip", "in", "wire")
NOBODY = 65534


SOME = pytest.mark.parametrize("agent", ["nft", "iptables-nft-no-nfacct"], indirect=True)
EACH = pytest.mark.parametrize("agent", list(BACKENDS), indirect=True)


@pytest.fixture
def agent(topology: Topology, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Agent]:
    made = Agent(topology, tmp_path, {**VOIP, **BACKENDS[getattr(request, "param", "nft")]})
    yield made
    made.end()


def send(topology: Topology, packets: int, rate: int = 20_000) -> Volume:
    """lan to inet, to the port that voip counts."""
    sizes = (12, 472, 1372)
    done = exchange_udp(topology, "lan", "inet", FAR, port=5060, packets=packets, sizes=sizes, rate=rate)
    assert done.sent == done.received
    return done.sent


def start_sending(topology: Topology, packets: int, rate: int, to: str = FAR) -> subprocess.Popen[str]:
    """The same without waiting for its end, and with nobody at the far end's port."""
    amount = ("--packets", str(packets), "--rate", str(rate), "--sizes", "12,472,1372")
    return topology.start("lan", *TRAFFIC, "send", to, "5060", *amount)


def flush(topology: Topology, agent: Agent) -> None:
    """As firewall scripts do it."""
    topology.run("router", "nft", "flush", "ruleset")
    if agent.settings["backend"].startswith("iptables-legacy"):
        for program in ("iptables-legacy", "ip6tables-legacy"):
            topology.run("router", program, "-t", "mangle", "-F")
            topology.run("router", program, "-t", "mangle", "-X")


def both(first: Volume, second: Volume) -> Volume:
    return Volume(first.packets + second.packets, first.octets + second.octets)


def test_totals_are_exact_after_kill_9_and_five_seconds_of_traffic(topology: Topology, agent: Agent) -> None:
    agent.start()
    before = send(topology, 5000)
    agent.kill()
    meanwhile = send(topology, 10_000, rate=2000)  # five seconds
    agent.start()
    after = send(topology, 3000)

    row = agent.counters()[OUT]
    assert volume(row) == both(both(before, meanwhile), after)
    assert row["lost_packets"] == row["pending_packets"] == 0
    assert row["packets"] == row["nflog_packets"] + row["bridged_packets"]
    assert meanwhile.packets <= row["bridged_packets"] <= before.packets + meanwhile.packets


@SOME
def test_totals_are_exact_when_it_is_killed_and_started_under_traffic(
    topology: Topology, agent: Agent
) -> None:
    agent.start()
    sender = start_sending(topology, 30_000, rate=4000)
    for _ in range(3):
        time.sleep(1.3)  # somewhere inside an interval
        agent.kill()
        agent.start()
    sent, _ = sender.communicate(timeout=60)

    row = agent.counters()[OUT]
    assert row["packets"] == 30_000
    assert f'"octets": {row["octets"]}' in sent
    assert row["lost_packets"] == row["pending_packets"] == 0
    assert row["packets"] == row["nflog_packets"] + row["bridged_packets"]


def test_an_orderly_restart_goes_on_from_the_same_totals(topology: Topology, agent: Agent) -> None:
    agent.start()
    before = send(topology, 1000)
    began = time.monotonic()
    assert agent.stop() == 0
    assert time.monotonic() - began < 2
    agent.start()
    after = send(topology, 1000)

    row = agent.counters()[OUT]
    assert volume(row) == volume(row, "nflog_") == both(before, after)


def test_a_stalled_reader_costs_no_octet_and_the_loss_is_the_truth(
    topology: Topology, tmp_path: Path
) -> None:
    settings = {**VOIP, "nflog": {"receive_buffer": "128KiB"}}
    agent = Agent(topology, tmp_path, settings)
    try:
        agent.start()
        agent.signal(signal.SIGSTOP)
        sent = send(topology, 60_000, rate=15_000)
        agent.signal(signal.SIGCONT)
        time.sleep(1.5)  # an interval passes: what was stopped is read and booked

        row = agent.counters()[OUT]
        assert volume(row) == sent
        assert row["nflog_packets"] < sent.packets
        assert row["lost_packets"] == sent.packets - row["nflog_packets"]
        assert row["pending_packets"] == row["bridged_packets"] == 0
    finally:
        agent.end()


def test_main_has_no_capability_and_the_helper_has_one(topology: Topology, agent: Agent) -> None:
    agent.start()
    send(topology, 1000)

    for task in Path(f"/proc/{agent.pid}/task").iterdir():
        status = (task / "status").read_text()
        for name in ("CapEff", "CapPrm", "CapInh", "CapAmb", "CapBnd"):
            assert f"{name}:\t0000000000000000" in status
    assert "CapEff:\t0000000000001000" in Path(f"/proc/{agent.helper_pid}/status").read_text()
    send(topology, 1000)
    assert agent.counters()[OUT]["packets"] == 2000


# Lets anybody pass through /root, where the interpreter may live: in this process's own mounts only.
OPEN_ROOT = """
mount -t tmpfs none "$0" && mkdir "$0/up" "$0/work" &&
mount -t overlay none -o "lowerdir=/root,upperdir=$0/up,workdir=$0/work" /root && chmod 755 /root && exec "$@"
"""


@pytest.mark.parametrize("backend", ["nft", "iptables-nft"])
def test_an_ordinary_user_with_the_ambient_capability_is_enough(topology: Topology, backend: str) -> None:
    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryDirectory() as mounts:
        folder = Path(name)
        os.chown(folder, NOBODY, NOBODY)
        become = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        become += ["--inh-caps=+net_admin", "--ambient-caps=+net_admin"]
        agent = Agent(
            topology,
            folder,
            {**VOIP, **BACKENDS[backend]},
            before=["unshare", "-m", "sh", "-c", OPEN_ROOT, mounts, *become],
        )
        try:
            agent.start()
            sent = send(topology, 1000)
            status = Path(f"/proc/{agent.pid}/status").read_text()
            assert f"Uid:\t{NOBODY}\t{NOBODY}" in status
            assert "CapEff:\t0000000000000000" in status and "CapPrm:\t0000000000000000" in status
            assert volume(agent.counters()[OUT]) == sent
            assert agent.stop() == 0
        finally:
            agent.end()


def test_an_ordinary_user_is_told_that_legacy_iptables_needs_root(topology: Topology, tmp_path: Path) -> None:
    become = ["setpriv", "--inh-caps=-all,+net_admin", "--bounding-set=-all,+net_admin"]
    agent = Agent(topology, tmp_path, {**VOIP, **BACKENDS["iptables-legacy"]}, before=become)

    said = agent.fails()
    assert said.startswith("ipsecmon: iptables-legacy needs CAP_NET_RAW") and len(said.splitlines()) == 1


def test_the_helper_ends_with_main_and_the_groups_are_free(topology: Topology, agent: Agent) -> None:
    agent.start()
    helper = agent.helper_pid
    agent.kill()

    deadline = time.monotonic() + 5
    while Path(f"/proc/{helper}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    agent.start()


def test_a_helper_that_is_away_for_intervals_costs_no_count_and_no_copy(
    topology: Topology, agent: Agent
) -> None:
    agent.start()
    before = send(topology, 500)
    helper, supervisor = agent.helper_pid, agent.supervisor_pid
    os.kill(supervisor, signal.SIGSTOP)
    os.kill(helper, signal.SIGKILL)
    meanwhile = send(topology, 5000, rate=1000)
    os.kill(supervisor, signal.SIGCONT)
    after = send(topology, 500)

    row = agent.counters()[OUT]
    assert volume(row) == volume(row, "nflog_") == both(both(before, meanwhile), after)
    assert row["lost_packets"] == row["pending_packets"] == row["bridged_packets"] == 0
    assert agent.log().count("counters cannot be read error=the helper process has ended") == 1
    assert agent.log().count("the helper process had ended and was started again") == 1


@SOME
def test_counters_keep_their_values_when_the_rules_are_installed_again(
    topology: Topology, agent: Agent
) -> None:
    agent.start()
    first = send(topology, 500)
    agent.call("rules", "install")
    second = send(topology, 500)

    row = agent.counters()[OUT]
    assert volume(row) == volume(row, "nflog_") == both(first, second)


@EACH
def test_rules_that_somebody_flushed_are_put_back_within_an_interval(
    topology: Topology, agent: Agent
) -> None:
    agent.start()
    first = send(topology, 500)
    agent.report()
    flush(topology, agent)
    time.sleep(1.5)  # one interval
    second = send(topology, 700)

    row = agent.counters()[OUT]
    assert volume(row) == both(first, second)
    assert row["lost_packets"] == row["pending_packets"] == 0
    assert "our rules were changed or removed, put back" in agent.log()


def test_a_rule_set_that_was_dumped_and_loaded_again_counts_nothing_twice(
    topology: Topology, agent: Agent
) -> None:
    """nft(8) dumps our counters with their values: `systemctl restart nftables` does this."""
    agent.start()
    first = send(topology, 500)
    agent.report()
    dumped = topology.run("router", "nft", "list", "ruleset")
    topology.run("router", "nft", "-f", "-", text=f"flush ruleset\n{dumped}")
    agent.report()
    second = send(topology, 300)

    row = agent.counters()[OUT]
    assert volume(row) == volume(row, "nflog_") == both(first, second)
    assert row["lost_packets"] == row["pending_packets"] == 0
    agent.kill()
    topology.run("router", "nft", "-f", "-", text=f"flush ruleset\n{dumped}")
    agent.start()
    assert volume(agent.counters()[OUT]) == both(first, second)


@pytest.mark.parametrize("agent", ["iptables-nft-no-nfacct", "iptables-legacy-no-nfacct"], indirect=True)
def test_iptables_rules_that_were_dumped_and_loaded_with_counters_count_nothing_twice(
    topology: Topology, agent: Agent
) -> None:
    agent.start()
    first = send(topology, 500)
    agent.report()
    programs = [f"{name}-{agent.settings['backend'].partition('-')[2]}" for name in ("iptables", "ip6tables")]
    dumped = {program: topology.run("router", f"{program}-save", "-c") for program in programs}
    second = send(topology, 300)
    agent.report()
    for program, text in dumped.items():
        topology.run("router", f"{program}-restore", "-c", text=text)
    time.sleep(1.5)  # one interval
    third = send(topology, 200)

    row = agent.counters()[OUT]
    assert volume(row) == volume(row, "nflog_") == both(both(first, second), third)
    agent.kill()
    for program, text in dumped.items():
        topology.run("router", f"{program}-restore", "-c", text=text)
    agent.start()
    assert volume(agent.counters()[OUT]) == both(both(first, second), third)


@pytest.mark.parametrize("agent", ["iptables-nft-no-nfacct", "iptables-legacy-no-nfacct"], indirect=True)
def test_rules_are_replaced_under_traffic_without_missing_a_packet(topology: Topology, agent: Agent) -> None:
    agent.start()
    senders = [start_sending(topology, 10_000, rate=2000, to=to) for to in (FAR, FAR6)]
    for _ in range(3):
        agent.call("rules", "install")
    sent = [json.loads(sender.communicate(timeout=60)[0])["octets"] for sender in senders]

    row = agent.counters()[OUT]
    assert row["packets"] == row["nflog_packets"] == 20_000
    assert row["octets"] == sum(sent)


def test_another_backend_takes_over_and_nothing_is_counted_or_copied_twice(
    topology: Topology, tmp_path: Path
) -> None:
    sent = []
    for backend in ("nft", "iptables-nft", "iptables-legacy", "iptables-nft-no-nfacct", "nft"):
        agent = Agent(topology, tmp_path, {**VOIP, **BACKENDS[backend]})
        try:
            agent.start()
            sent.append(send(topology, 100))
            row = agent.counters()[OUT]
            assert row["packets"] == row["nflog_packets"] == 100 * len(sent), backend
            assert agent.stop() == 0
        finally:
            agent.end()


def test_a_counter_that_left_the_config_is_counted_to_its_end(topology: Topology, tmp_path: Path) -> None:
    old = Agent(topology, tmp_path, VOIP)
    try:
        old.start()
        send(topology, 100)
        old.kill()
        last = send(topology, 100)
    finally:
        old.end()
    new = Agent(topology, tmp_path, {"counters": [{"name": "sip", "match": {"proto": "udp", "port": 5060}}]})
    try:
        new.start()
        sent = send(topology, 50)
        rows = new.counters()
        assert rows[OUT]["packets"] == 100 + last.packets
        assert volume(rows["sip", "out", "wire"]) == sent
        assert rows["T1", "out", "wire"]["packets"] == 250
    finally:
        new.end()


def test_a_full_disk_costs_no_count(topology: Topology, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small)], check=True)
    agent = Agent(topology, tmp_path, {**VOIP, "store": {"path": str(small / "store")}})
    try:
        agent.start()
        (small / "filler").write_bytes(bytes(700_000))
        filler = small / "rest"
        with filler.open("wb", buffering=0) as rest:
            try:
                while rest.write(bytes(512)):
                    pass
            except OSError:
                pass
        sent = send(topology, 5000, rate=2500)
        assert "counting goes on and is kept in memory" in agent.log()
        filler.unlink()
        (small / "filler").unlink()
        assert volume(agent.counters()[OUT]) == sent
    finally:
        agent.end()
        subprocess.run(["umount", str(small)], check=True)


def test_inbound_counts_too(topology: Topology, agent: Agent) -> None:
    agent.start()
    done = exchange_udp(topology, "inet", "lan", LAN, port=5060, packets=100)

    assert volume(agent.counters()[IN]) == done.sent
