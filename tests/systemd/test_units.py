"""Started at boot, reloaded, restarted, stopped and removed by systemd itself."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.systemd.conftest import SETTINGS
from tests.systemd.manager import AGENT, CONFIG, RULES, UNITS, Manager, documented, own_files

STORE, LOGS = Path("/var/lib/ipsecmon"), Path("/var/log/ipsecmon")


def send(systemd: Manager, packets: int) -> None:
    """Out of the line, to nobody."""
    systemd.sh(f"ping -q -c {packets} -i 0.01 -W 0.1 203.0.113.2 || true")


def sent(systemd: Manager) -> dict[str, int]:
    rows = json.loads(systemd.sh("ipsecmon report --json --now"))["counters"]
    found: dict[str, int] = next(row for row in rows if (row["name"], row["direction"]) == ("T1", "out"))
    return found


def write_config(systemd: Manager, settings: str) -> None:
    """Beside systemd: the guest's own file."""
    systemd.sh(f"cat > {CONFIG} <<'END'\n{settings}\nEND")


def table_stands() -> bool:
    command = ["nft", "list", "table", "inet", "ipsecmon"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_the_rules_stand_before_the_network_and_the_agent_runs_after(systemd: Manager) -> None:
    assert systemd.state(RULES) == systemd.state(AGENT) == "active", systemd.log()
    rules, network, agent = (
        int(systemd.show(unit, "ActiveEnterTimestampMonotonic"))
        for unit in (RULES, "network-pre.target", AGENT)
    )
    assert 0 < rules <= network <= agent
    assert table_stands()


def test_systemd_says_nothing_against_our_units(systemd: Manager) -> None:
    """Unknown keys, ordering cycles and settings that it had to ignore are lines that name the unit."""
    assert not systemd.complaints


def test_the_agent_is_an_ordinary_user_without_a_capability(agent: Manager) -> None:
    pid = agent.main_pid()
    status = agent.sh(f"cat /proc/{pid}/status")
    for line in ("CapEff:\t0000000000000000", "CapPrm:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"):
        assert line in status
    supervisor = agent.sh(f"cat /proc/{pid}/task/{pid}/children").split()[0]
    children = f"/proc/{supervisor}/task/{supervisor}/children"
    helper = agent.sh(f"cat /proc/$(cut -d' ' -f1 {children})/status")
    assert "CapEff:\t0000000000001000" in helper and "CapBnd:\t0000000000001000" in helper
    assert agent.sh(f"stat -c %U:%G:%a /proc/{pid} {STORE} {LOGS}").split() == [
        "ipsecmon:ipsecmon:555",
        "ipsecmon:ipsecmon:750",
        "ipsecmon:ipsecmon:750",
    ]


def test_it_counts_and_delivers_under_the_units_limits(agent: Manager) -> None:
    before = sent(agent)
    send(agent, 30)
    now = sent(agent)

    assert now["packets"] - before["packets"] == now["nflog_packets"] - before["nflog_packets"] == 30
    agent.until(lambda: "T1" in (LOGS / "all.csv").read_text(), "a file sink's file")
    assert not [line for line in agent.log().splitlines() if " ERROR " in line or "Traceback" in line]


def test_a_reload_opens_files_anew(agent: Manager) -> None:
    pid = agent.main_pid()
    agent.until((LOGS / "all.csv").exists, "a file sink's file")
    (LOGS / "all.csv").rename(LOGS / "all.csv.1")
    agent.sh(f"systemctl reload {AGENT}")

    agent.until((LOGS / "all.csv").exists, "a new file")
    assert agent.state(AGENT) == "active" and agent.main_pid() == pid


def test_a_reload_takes_a_changed_config_and_misses_nothing(agent: Manager) -> None:
    pid, before = agent.main_pid(), sent(agent)
    write_config(agent, SETTINGS.replace("sinks:", "counters: [{name: pings, match: {proto: icmp}}]\nsinks:"))
    agent.sh(f"systemctl reload {AGENT}")
    send(agent, 15)

    rows = json.loads(agent.sh("ipsecmon report --json --now"))["counters"]
    pings = next(row for row in rows if (row["name"], row["direction"]) == ("pings", "out"))
    assert pings["packets"] == pings["nflog_packets"] == 15
    assert sent(agent)["packets"] == before["packets"] + 15
    assert "counter pings added" in agent.log() and agent.main_pid() == pid


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        (SETTINGS.replace("interval", "intervall"), "did you mean interval?"),
        (
            SETTINGS.replace("lab", "other"),
            "router is lab in the running agent and other in the file: restart",
        ),
    ],
)
def test_a_config_that_cannot_be_taken_fails_the_reload_and_the_agent_goes_on(
    agent: Manager, settings: str, why: str
) -> None:
    pid = agent.main_pid()
    write_config(agent, settings)
    with pytest.raises(AssertionError, match=f"Job for {AGENT} failed"):
        agent.sh(f"systemctl reload {AGENT}")
    write_config(agent, SETTINGS)

    assert why in agent.log()
    assert agent.state(AGENT) == "active" and agent.main_pid() == pid
    agent.sh(f"systemctl reload {AGENT}")


def test_a_killed_helper_is_followed_by_another(agent: Manager) -> None:
    pid, before = agent.main_pid(), sent(agent)
    supervisor = agent.sh(f"cat /proc/{pid}/task/{pid}/children").split()[0]
    helper = agent.sh(f"cat /proc/{supervisor}/task/{supervisor}/children").split()[0]
    agent.sh(f"kill -KILL {helper}")
    send(agent, 10)

    now = sent(agent)
    assert now["packets"] - before["packets"] == now["nflog_packets"] - before["nflog_packets"] == 10
    assert agent.state(AGENT) == "active" and agent.main_pid() == pid


def test_a_killed_agent_is_started_again_and_misses_nothing(agent: Manager) -> None:
    before = sent(agent)
    restarts = int(agent.show(AGENT, "NRestarts"))
    agent.sh(f"kill -KILL {agent.main_pid()}")
    send(agent, 20)
    agent.until(lambda: int(agent.show(AGENT, "NRestarts")) > restarts, "a restart")
    agent.until(lambda: agent.state(AGENT) == "active", "the agent")

    assert sent(agent)["packets"] == before["packets"] + 20


def test_an_agent_without_a_sign_of_life_is_started_again(agent: Manager) -> None:
    restarts = int(agent.show(AGENT, "NRestarts"))
    agent.sh(f"kill -STOP {agent.main_pid()}")

    agent.until(lambda: int(agent.show(AGENT, "NRestarts")) > restarts, "a restart")
    agent.until(lambda: agent.state(AGENT) == "active", "the agent")


def test_rules_stay_on_stop_and_the_next_start_bridges_the_gap(agent: Manager) -> None:
    before = sent(agent)
    agent.sh(f"systemctl stop {AGENT}")
    assert agent.show(AGENT, "Result") == "success" and agent.state(RULES) == "active"
    send(agent, 10)
    agent.sh(f"systemctl start {AGENT}")

    now = sent(agent)
    assert now["packets"] - before["packets"] == now["bridged_packets"] - before["bridged_packets"] == 10


def test_uninstalled_nothing_is_left_but_the_history(agent: Manager) -> None:
    agent.sh(documented("Uninstall"))

    assert not table_stands()
    assert agent.show(AGENT, "LoadState") == agent.show(RULES, "LoadState") == "not-found"
    left = {str(path) for path in own_files() - agent.before if UNITS not in path.parents}
    assert {path for path in left if not path.startswith(("/etc/ipsecmon", str(STORE), str(LOGS)))} == set()
    assert any(STORE.iterdir())
