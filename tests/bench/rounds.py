"""One round of one subject: rules, program, traffic, and what its processes used for it.

CPU time is user and system time of all its processes and threads, from ready to one flush after the traffic.
Nothing is taken off or added; start and end of the program are not in it.
"""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.bench.processes import cpu_ns, tree
from tests.bench.results import Round
from tests.bench.subjects import Subject
from tests.netns.agent import in_namespace
from tests.netns.topology import Topology, topology

__all__ = ["network", "one_round"]

SENDER = (sys.executable, "-I", "-S", str(Path(__file__).with_name("sender.py")))
SETTLE_S = 1.5  # the kernel sends what it holds after 1 s, where a program asks for nothing else
SEND_WITHIN_S = 60.0


@contextlib.contextmanager
def network() -> Iterator[Topology]:
    """lan - router - inet without offloads, and neighbours that drop what is sent to them."""
    with topology() as made:
        made.neighbours("router", "wan0", made.link_address("inet", "eth0"), "203.0.113.9", "2001:db8:203::9")
        made.neighbours("router", "lan0", made.link_address("lan", "eth0"), "10.1.0.9", "fd01::9")
        yield made


def one_round(
    among: Topology, make: Callable[[Topology, Path], Subject], name: str, packets: int, rate: int
) -> Round:
    """packets: in all; rate: of them a second, at most."""
    _remove_rules(among)
    with tempfile.TemporaryDirectory(prefix="ipsecmon-bench-") as folder:
        subject = make(among, Path(folder))
        try:
            subject.start()
            processes = tree(subject.pid)
            before = cpu_ns(processes)
            _send(among, packets, rate)
            time.sleep(SETTLE_S)
            dropped = _dropped_datagrams(among)
            subject.flush()
            used_ns = cpu_ns(processes) - before
            counted = _counted(among)
            subject.stop()
            seen = subject.seen()
        finally:
            subject.end()
            _remove_rules(among)
    if seen is None and dropped == 0:
        seen = counted  # the kernel had room for each datagram, and a program that ends reads them all
    return Round("totals", name, counted, seen, used_ns)


def _send(among: Topology, packets: int, rate: int) -> None:
    """Half of it out, half of it in, at once."""
    senders = [
        among.start(
            role,
            *(*SENDER, "eth0", among.link_address("router", towards), role),
            *(str(packets // 2), str(rate // 2)),
        )
        for role, towards in (("lan", "lan0"), ("inet", "wan0"))
    ]
    for sender in senders:
        said, _ = sender.communicate(timeout=SEND_WITHIN_S)
        assert json.loads(said)["packets"] >= packets // 2


def _remove_rules(among: Topology) -> None:
    among.run("router", "nft", "-f", "-", text="add table inet ipsecmon\ndelete table inet ipsecmon\n")


def _counted(among: Topology) -> int:
    """Packets that the rules have counted; each was copied once."""
    listed = json.loads(among.run("router", "nft", "-j", "list", "counters", "table", "inet", "ipsecmon"))
    return sum(entry["counter"]["packets"] for entry in listed["nftables"] if "counter" in entry)


def _dropped_datagrams(among: Topology) -> int:
    """On all sockets of the netfilter family in the router (proc(5), net/netlink)."""
    with in_namespace(among.name("router")):
        lines = Path("/proc/thread-self/net/netlink").read_text().splitlines()[1:]
    return sum(int(fields[8]) for fields in map(str.split, lines) if fields[1] == "12")
