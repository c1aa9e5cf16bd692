"""A real helper, started by the real client, in a network namespace of its own."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from ipsecmon.helper.client import Helper
from ipsecmon.ruleset.model import Plan
from tests.unit.helper.conftest import require_root

__all__ = ["in_namespace_of", "namespaced", "send_leaving"]

# Without IPv6, whose kernel speaks by itself.
WAN = """
echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6
ip link set lo up
ip link add wan0 type veth peer name far0
ip link set far0 up
ip addr add 203.0.113.2/24 dev wan0
ip link set wan0 up
ip neigh add 203.0.113.9 lladdr 02:00:00:00:00:09 dev wan0
"""


@contextlib.contextmanager
def namespaced(folder: Path, plan: Plan, beside: int = 0, options: str = "") -> Iterator[Helper]:
    """beside: a process in whose namespace it shall be; else a new one. options: for its interpreter."""
    require_root("unshare", "nsenter", "nft", "ip")
    enter = f"nsenter --net=/proc/{beside}/ns/net" if beside else "unshare --net"
    wrapper = folder / f"python-{len(list(folder.iterdir()))}"
    wrapper.write_text(f'#!/bin/sh\nexec {enter} {sys.executable} {options} "$@"\n')
    wrapper.chmod(0o755)
    helper = Helper(plan)
    before, sys.executable = sys.executable, str(wrapper)
    try:
        helper.start()
    finally:
        sys.executable = before
    try:
        yield helper
    finally:
        helper.stop()


def in_namespace_of(helper: Helper, script: str) -> str:
    """The stdout of a shell script beside the helper, which must have answered once by now."""
    argv = ["nsenter", f"--net=/proc/{helper.pid}/ns/net", "sh", "-ec", script]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def send_leaving(helper: Helper, port: int, number: int) -> None:
    """UDP packets of 100 octets with their headers, from this router to the far end of wan0."""
    program = (
        "import socket; sending = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        f'for _ in range({number}): sending.sendto(bytes(72), ("203.0.113.9", {port}))'
    )
    in_namespace_of(helper, f"{sys.executable} -I -S -c '{program}'")
