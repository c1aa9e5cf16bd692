"""Links that need the guest's kernel: GRE, PPPoE, L2TP, by the programs that routers use; IPsec for them.

Links are silent once they are up: no LCP echo, no L2TP hello within a test's time, no IPv6.
"""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Callable, Optional

from tests.guest.topology import CIPHERS, EspTunnel
from tests.netns.namespaces import Namespaces
from tests.netns.topology import FAR, WAN, Topology

__all__ = [
    "GRE_HEADER",
    "L2TP_HEADERS",
    "Transport",
    "gre_link",
    "l2tp_session",
    "pppoe_session",
    "wait_until",
]

GRE_HEADER = 20 + 4  # the outer IP header; RFC 2784 without options
L2TP_HEADERS = 20 + 8 + 6 + 4  # IP, UDP, data message (RFC 2661 3.1), PPP with address and control
WITHIN_S = 20.0
PPPOE_SESSION = 7
PPP_OPTIONS = "noauth\nnoipv6\nnoccp\nlcp-echo-interval 0\nlcp-restart 1\nmtu {mtu}\nmru {mtu}\n"


@dataclass(frozen=True)
class Transport:
    """A pair of SAs in transport mode with their policies. spi: outbound; the inbound one has spi + 1.

    away, home: what the selectors say beside the two addresses, such as `proto gre`.
    far: the role of the far end, the topology's own by default.
    """

    spi: int
    away: str
    home: str
    router: str = WAN
    parent: str = FAR
    far: str = ""
    cipher: str = "gcm"

    def add(self, topology: Topology) -> None:
        algorithms = CIPHERS[self.cipher].algorithms.format(self.spi)
        for role in ("router", self.far or topology.far):
            rows = []
            for number, (source, to, selector) in enumerate(
                ((self.router, self.parent, self.away), (self.parent, self.router, self.home))
            ):
                way = "out" if (role == "router") is (number == 0) else "in"
                rest = f"proto esp reqid {self.spi} mode transport"
                rows += [
                    f"xfrm state add src {source} dst {to} spi {self.spi + number:#x} {rest} {algorithms}",
                    f"xfrm policy add src {source} dst {to} {selector} dir {way} tmpl {rest}",
                ]
            topology.ip(role, "\n".join([*rows, ""]))

    @staticmethod
    def esp_octets(inner: int) -> int:
        """On the wire, of an IPv4 packet that goes as it is but for its payload (RFC 4303 3.1.1)."""
        return EspTunnel().esp_octets(inner - 20)


def wait_until(is_so: Callable[[], bool], folder: Optional[Path] = None) -> None:
    """It fails with the logs of folder after WITHIN_S."""
    deadline = time.monotonic() + WITHIN_S
    while not is_so():
        said = "\n".join(log.read_text() for log in sorted(folder.glob("*.log"))) if folder else ""
        assert time.monotonic() < deadline, f"still not so: {said}"
        time.sleep(0.1)


@contextlib.contextmanager
def gre_link(topology: Topology, name: str, local: str, remote: str, far: str = "") -> Iterator[None]:
    """GRE between the router's local and the far side's remote address, under one name at both."""
    far = far or topology.far
    quiet = f"link set {name} multicast off addrgenmode none\nlink set {name} up\n"
    try:
        topology.ip("router", f"link add {name} type gre local {local} remote {remote}\n{quiet}")
        topology.ip(far, f"link add {name} type gre local {remote} remote {local}\n{quiet}")
        yield
    finally:
        for role in ("router", far):
            topology.ip(role, f"link del {name}\n")


@contextlib.contextmanager
def pppoe_session(topology: Topology, folder: Path, local: str, remote: str) -> Iterator[None]:
    """ppp0 at both sides, by the kernel's PPPoE on wan0 and eth0, in a session that needs no discovery."""
    _modprobe("pppoe")
    options = _written(folder / "pppoe.options", PPP_OPTIONS.format(mtu=1492))
    wan, eth = topology.link_address("router", "wan0"), topology.link_address(topology.far, "eth0")
    commands = []
    for role, interface, peer, rest in (
        (topology.far, "eth0", wan, (f"{remote}:{local}",)),
        ("router", "wan0", eth, ("noipdefault", "defaultroute")),
    ):
        session = (f"nic-{interface}", "rp_pppoe_sess", f"{PPPOE_SESSION}:{peer}")
        commands.append((role, "pppd", "plugin", "rp-pppoe.so", *session, "file", options, "nodetach", *rest))
    with _running(topology, folder, *commands):
        _wait_for_ppp0(topology, folder, topology.far)
        yield


@contextlib.contextmanager
def l2tp_session(
    topology: Topology, folder: Path, local: str, remote: str, caller: tuple[str, str] = ("", FAR)
) -> Iterator[None]:
    """ppp0 at both sides by xl2tpd: the router is called (LNS), the caller calls (LAC).

    caller: role, the topology's far one by default, and address.
    """
    far = caller[0] or topology.far
    _modprobe("l2tp_ppp")
    options = _written(folder / "l2tp.options", PPP_OPTIONS.format(mtu=1400))
    called = f"[lns default]\nip range = {remote}-{remote}\nlocal ip = {local}\n"
    calling = f"[lac hq]\nlns = {WAN}\nautodial = yes\n"
    commands = []
    for role, address, section in (("router", WAN, called), (far, caller[1], calling)):
        rest = f"require authentication = no\npppoptfile = {options}\n"
        config = _written(folder / f"{role}.l2tp", f"[global]\nlisten-addr = {address}\n{section}{rest}")
        files = ("-p", f"{config}.pid", "-C", f"{config}.control")
        commands.append((role, "xl2tpd", "-D", "-c", config, *files))
    with _running(topology, folder, *commands):
        _wait_for_ppp0(topology, folder, far)
        yield


@contextlib.contextmanager
def _running(among: Namespaces, folder: Path, *commands: Sequence[str]) -> Iterator[None]:
    """Processes, each in its role's namespace; the last one ends first, and takes its children along."""
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for role, *command in commands:
            with (folder / f"{command[0]}-{role}.log").open("wb") as log:
                inside = ["ip", "netns", "exec", among.name(role), *command]
                processes.append(subprocess.Popen(inside, stdin=subprocess.DEVNULL, stdout=log, stderr=log))
            time.sleep(0.3)  # the one that is called listens before the other calls, once
        yield
    finally:
        for process in reversed(processes):
            process.terminate()
            process.wait(WITHIN_S)
        for role, *_ in commands:  # pppd, their child, may end later
            wait_until(partial(_lacks_ppp, among, role), folder)


def _wait_for_ppp0(topology: Topology, folder: Path, far: str) -> None:
    """Until it has its IPv4 address at both ends."""
    for role in ("router", far):
        wait_until(partial(_has_ppp0, topology, role), folder)


def _has_ppp0(among: Namespaces, role: str) -> bool:
    """With its IPv4 address."""
    return " ppp0 " in among.run(role, "ip", "-4", "-o", "addr", "show")


def _lacks_ppp(among: Namespaces, role: str) -> bool:
    return " ppp" not in among.run(role, "ip", "-o", "link", "show")


def _modprobe(name: str) -> None:
    subprocess.run(["modprobe", name], check=True)


def _written(file: Path, text: str) -> str:
    file.write_text(text)
    return str(file)
