"""Nothing that the unprivileged process writes, or holds in its memory, is a key; it never has a capability.

Keys are planted, and a pre-shared key for IKE; strongSwan's own are asked of the kernel. All of them go
through the helper: in dumps, in the events of what is added and deleted.
"""

from __future__ import annotations

import ctypes
import os
import re
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.guest.conversation import converse
from tests.guest.ike import PSK, ike_connection
from tests.guest.memory import found_in_files, found_in_memory, is_powerless
from tests.guest.rekeys import rekeying
from tests.guest.routers import wait_until
from tests.guest.sites import Sites
from tests.guest.topology import EspTunnel, add_esp_tunnel
from tests.guest.tunnel_meter import TunnelMeter
from tests.guest.tunnel_modes import COUNTERS
from tests.netns.agent import Agent

PIDFD_GETFD = 438
TUNNELS = {
    cipher: EspTunnel(cipher=cipher, spi=spi, secret=int.from_bytes(os.urandom(16), "big") | 1 << 127)
    for cipher, spi in (("gcm", 0x100), ("cbc", 0x1000))
}
libc = ctypes.CDLL(None, use_errno=True)


class DebuggingAgent(Agent):
    """`run --debug`."""

    def _command(self, *arguments: str) -> list[str]:
        return super()._command(*arguments, *(["--debug"] if "run" in arguments else []))


@pytest.fixture
def agent(sites: Sites, tmp_path: Path) -> Iterator[Agent]:
    sinks = [{"file": {"path": str(tmp_path / "points"), "format": "line-protocol"}}]
    made = DebuggingAgent(sites, tmp_path, {"interval": "10s", "counters": COUNTERS, "sinks": sinks})
    made.start()
    yield made
    made.end()
    made.call("rules", "remove")


def kernels_keys(sites: Sites) -> dict[str, bytes]:
    """Of all SAs of the router; the salt of an AEAD cipher is no secret of its own."""
    text = sites.run("router", "ip", "xfrm", "state", "list")
    return {key: bytes.fromhex(key)[:16] for key in re.findall(r" 0x([0-9a-f]{32,})\b", text)}


def live_with_keys(sites: Sites, agent: Agent, folder: Path) -> dict[str, bytes]:
    """Everything that brings a key before the helper; the keys."""
    meter, secrets = TunnelMeter(agent), {"PSK": PSK.encode()}
    for cipher, tunnel in TUNNELS.items():
        secrets[cipher] = tunnel.secret.to_bytes(16, "big")
        add_esp_tunnel(sites, replace(tunnel, reqid=tunnel.spi))
        meter.rows()
        with rekeying(sites, tunnel) as rekeyer, converse(sites):
            for _ in range(5):
                rekeyer.add()
                rekeyer.delete_oldest()
        meter.rows()
        sites.ip("router", "xfrm policy flush\nxfrm state flush\n")
        sites.ip("parent", "xfrm policy flush\nxfrm state flush\n")
    with ike_connection(sites, folder) as charon, converse(sites):
        for _ in range(2):
            secrets.update(kernels_keys(sites))
            charon.rekey()
            meter.rows()
        secrets.update(kernels_keys(sites))
    meter.rows()
    assert len(secrets) >= 3 + 3 * 2
    return secrets


def send_in_its_name(pid: int, text: bytes) -> None:
    """An answer of the helper to main that it did not give."""
    pidfd = os.pidfd_open(pid)
    for link in Path(f"/proc/{pid}/fd").iterdir():
        if str(link.readlink()).startswith("socket:"):
            with socket.socket(fileno=libc.syscall(PIDFD_GETFD, pidfd, int(link.name), 0)) as one:
                if one.family == socket.AF_UNIX:
                    one.send(text)
    os.close(pidfd)


def test_no_key_is_anywhere_but_in_the_helper(sites: Sites, agent: Agent, tmp_path: Path) -> None:
    is_without = [is_powerless(agent.pid)]
    (tmp_path / "ike").mkdir()
    secrets = live_with_keys(sites, agent, tmp_path / "ike")
    is_without.append(is_powerless(agent.pid))

    assert found_in_memory(secrets, os.getpid()) == set(secrets), "they would be found"
    assert found_in_memory(secrets, agent.pid) == set()
    planted = secrets["gcm"]
    for answer in (b"\xff" + planted.replace(b"\n", b"") + b"\n", b'{"sas": "%s\n' % planted.hex().encode()):
        helper = agent.helper_pid
        send_in_its_name(helper, answer)
        TunnelMeter(agent).rows()
    is_without.append(is_powerless(agent.pid))
    wait_until(lambda: (tmp_path / "points").exists())

    (tmp_path / "ike").rename(tmp_path.with_name("ike"))
    assert "DEBUG" in agent.log() or "debug" in agent.log()
    assert found_in_files(secrets, tmp_path) == set()
    assert is_without == [True] * 3
