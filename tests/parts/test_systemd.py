"""The unit files judged by systemd's own tools, and the unit's command line under the unit's limits."""

from __future__ import annotations

import os
import re
import select
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ipsecmon.agent.observe import watchdog_period_ns
from tests.netns.agent import IPSECMON, START_WITHIN_S, Agent, volume
from tests.netns.exchange import Volume, exchange_udp
from tests.netns.test_restart import NOBODY, OPEN_ROOT
from tests.netns.topology import FAR, topology

ROOT = Path(__file__).resolve().parents[2]
UNITS = ROOT / "packaging/systemd"
NAMES = ("ipsecmon.service", "ipsecmon-rules.service")
INSTALLED = "/etc/ipsecmon/ipsecmon.yaml"
LIMIT = 2.0  # of systemd's 0 (nothing is allowed) to 10 (everything is)
VOIP = {"counters": [{"name": "voip", "match": {"proto": "udp", "port": 5060}}]}


def need(reason: str) -> None:
    """Skip on a laptop, fail in CI."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture
def _systemds_tools() -> None:
    if not shutil.which("systemd-analyze") or not shutil.which("systemd-sysusers"):
        need("not installed: apt-get install systemd")


def settings(unit: str) -> dict[str, list[str]]:
    """Every value of each key, in order."""
    found: dict[str, list[str]] = {}
    for key, value in re.findall(r"^(\w+)=(.*)$", (UNITS / unit).read_text(), re.MULTILINE):
        found.setdefault(key, []).append(value)
    return found


def tool(*command: str) -> str:
    """Its stdout and stderr."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.usefixtures("_systemds_tools")
def test_systemd_finds_no_fault_in_the_units(tmp_path: Path) -> None:
    """It ends with 0 on a key that it does not know: only silence is a pass."""
    program = Path(sys.executable).parent / "ipsecmon"
    for name in NAMES:
        text = (UNITS / name).read_text().replace("=ipsecmon ", f"={program} ")
        (tmp_path / name).write_text(text)

    assert tool("systemd-analyze", "verify", *(str(tmp_path / name) for name in NAMES)) == ""


@pytest.mark.usefixtures("_systemds_tools")
def test_a_misspelled_key_would_be_found(tmp_path: Path) -> None:
    unit = tmp_path / "ipsecmon.service"
    unit.write_text((UNITS / "ipsecmon.service").read_text().replace("ProtectHome=", "ProtectHomes="))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False
    )

    assert "ProtectHomes" in done.stderr


@pytest.mark.usefixtures("_systemds_tools")
@pytest.mark.parametrize("name", NAMES)
def test_the_exposure_is_low(name: str) -> None:
    said = tool("systemd-analyze", "security", "--offline=true", "--no-pager", str(UNITS / name))
    exposure = re.search(r"exposure level for \S+: ([\d.]+)", said)

    assert exposure and float(exposure[1]) <= LIMIT
    if name == "ipsecmon.service":
        assert f"says {exposure[1]} " in (ROOT / "docs/systemd.md").read_text()


@pytest.mark.usefixtures("_systemds_tools")
def test_the_user_is_made_without_shell_or_password(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    tool("systemd-sysusers", f"--root={tmp_path}", str(UNITS / "sysusers.d/ipsecmon.conf"))

    made = (tmp_path / "etc/passwd").read_text().strip().split(":")
    assert made[0] == "ipsecmon" and made[5] == "/var/lib/ipsecmon" and made[6].endswith("/nologin")
    assert (tmp_path / "etc/shadow").read_text().split(":")[1].startswith("!")


def test_both_units_have_the_same_limits() -> None:
    agent, rules = (settings(name) for name in NAMES)
    limits = re.compile(
        "Protect|Restrict|Private|Capab|NoNew|Ambient|SystemCall|Memory|Lock|User|Group|UMask"
    )

    assert {key: agent[key] for key in agent if limits.match(key)} == {
        key: rules[key] for key in rules if limits.match(key)
    }


def test_no_program_that_takes_cores_is_run() -> None:
    assert [settings(name)["LimitCORE"] for name in NAMES] == [["1"], ["1"]]


@pytest.mark.parametrize(
    ("environment", "period_ns"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "180000000"}, 90 * 10**9),
        ({"WATCHDOG_USEC": "180000000", "WATCHDOG_PID": str(os.getpid())}, 90 * 10**9),
        ({"WATCHDOG_USEC": "180000000", "WATCHDOG_PID": "1"}, None),
    ],
)
def test_a_sign_of_life_is_due_after_half_of_systemds_limit(
    environment: dict[str, str], period_ns: int | None
) -> None:
    assert watchdog_period_ns(environment) == period_ns


class UnitAgent(Agent):
    """Every `run` is a unit's own command line, but for the program's and the config's place."""

    def _command(self, *arguments: str) -> list[str]:
        unit = {"run": "ipsecmon.service", "rules": "ipsecmon-rules.service"}[arguments[0]]
        program, *rest = shlex.split(settings(unit)["ExecStart"][0])
        assert program == "ipsecmon"
        rest = [str(self.config) if word == INSTALLED else word for word in rest]
        inside = ["ip", "netns", "exec", self._among.name(self._role)]
        return [*inside, *self._before, *IPSECMON, *rest]

    def install_rules(self) -> None:
        subprocess.run(self._command("rules"), timeout=START_WITHIN_S, check=True)


@pytest.fixture
def folder() -> Iterator[Path]:
    """With a store as StateDirectory= makes it: the user's; not below pytest's own private folder."""
    with tempfile.TemporaryDirectory() as name:
        path, store = Path(name), Path(name, "store")
        store.mkdir(mode=0o750)
        for one in (path, store):
            os.chown(one, NOBODY, NOBODY)
        path.chmod(0o750)
        yield path


@pytest.fixture
def systemd(folder: Path) -> Iterator[socket.socket]:
    """The far side of NOTIFY_SOCKET."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(folder / "notify"))
        (folder / "notify").chmod(0o777)
        yield listening


def limits(mounts: str, notify: Path) -> list[str]:
    """What the unit's settings come to for setpriv(1); without system call filters."""
    unit = settings("ipsecmon.service")
    assert unit["AmbientCapabilities"] == unit["CapabilityBoundingSet"] == ["CAP_NET_ADMIN"]
    become = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs"]
    become += ["--inh-caps=-all,+net_admin", "--ambient-caps=+net_admin", "--bounding-set=-all,+net_admin"]
    clean = ["env", "-i", f"PATH={os.environ['PATH']}", f"PYTHONPATH={ROOT}"]
    clean += [f"NOTIFY_SOCKET={notify}", "WATCHDOG_USEC=2000000"]
    return ["unshare", "-m", "sh", "-c", OPEN_ROOT, mounts, *become, *clean]


def is_told(systemd: socket.socket, wanted: str) -> bool:
    """Whether this is said to systemd, within ten seconds."""
    while select.select([systemd], [], [], 10)[0]:
        if systemd.recv(4096).decode() == wanted:
            return True
    return False


@pytest.mark.skipif(os.geteuid() != 0 and not os.environ.get("CI"), reason="needs root")
def test_the_units_command_lines_work_under_the_units_limits(folder: Path, systemd: socket.socket) -> None:
    with topology() as network, tempfile.TemporaryDirectory() as mounts:
        agent = UnitAgent(network, folder, VOIP, before=limits(mounts, folder / "notify"))
        try:
            agent.install_rules()
            early = exchange_udp(network, "lan", "inet", FAR, port=5060, packets=50)
            agent.start()
            assert is_told(systemd, "READY=1")
            later = exchange_udp(network, "lan", "inet", FAR, port=5060, packets=70)
            row = agent.counters()["voip", "out", "wire"]
            assert is_told(systemd, "WATCHDOG=1")
            status = Path(f"/proc/{agent.pid}/status").read_text()
            assert f"Uid:\t{NOBODY}\t{NOBODY}" in status and "NoNewPrivs:\t1" in status
            assert "CapEff:\t0000000000000000" in status and "CapPrm:\t0000000000000000" in status
            assert "CapBnd:\t0000000000001000" in Path(f"/proc/{agent.helper_pid}/status").read_text()
            assert agent.stop() == 0
            assert is_told(systemd, "STOPPING=1")
        finally:
            agent.end()
    assert volume(row) == Volume(120, early.sent.octets + later.sent.octets)
    assert row["bridged_packets"] == 50 and row["nflog_packets"] == 70


@pytest.mark.skipif(os.geteuid() != 0 and not os.environ.get("CI"), reason="needs root")
def test_signs_of_life_come_more_often_than_intervals_end(folder: Path, systemd: socket.socket) -> None:
    with topology() as network, tempfile.TemporaryDirectory() as mounts:
        hour = {**VOIP, "interval": "1h"}
        agent = UnitAgent(network, folder, hour, before=limits(mounts, folder / "notify"))
        try:
            agent.start()
            systemd.settimeout(10)
            said = [systemd.recv(4096) for _ in range(4)]
            assert said == [b"READY=1", b"WATCHDOG=1", b"WATCHDOG=1", b"WATCHDOG=1"]
        finally:
            agent.end()
