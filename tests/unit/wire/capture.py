"""Makes fixtures/*.hex anew from this machine's kernel: `python -m tests.unit.wire.capture`, as root.

Two namespaces and a veth pair; what is sent is in each file's head, next to the rules that copied it.
"""

from __future__ import annotations

import platform
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from ipsecmon.helper.netfilter import open_nflog
from ipsecmon.wire.nflog_config import NETLINK_NETFILTER
from ipsecmon.wire.nftables import encode_counter_dump, encode_generation_request, encode_table_request
from tests.netns.agent import in_namespace
from tests.netns.namespaces import Namespaces
from tests.unit.wire.hexfiles import FIXTURES, render

NEAR, FAR = "203.0.113.1", "203.0.113.2"
NEAR6, FAR6 = "2001:db8::1", "2001:db8::2"
SIZES = (12, 100, 1001)
FLUSHED_S = 0.3  # three times the kernel's own flush time
LINK = (
    "addr add {0}/24 dev wan0\naddr add {1}/64 dev wan0 nodad\nlink set lo up\nlink set wan0 up\n"
    "link set wan0 address 02:00:00:00:00:0{2}\nlink set wan0 addrgenmode none\n"
)
COPY = "log group {} snaplen {} queue-threshold 512"
BOTH_WAYS = """table inet capture {{
 chain inc {{
  type filter hook prerouting priority -99;
  iifname wan0 udp dport 7001 meta mark set 0x00010000
  iifname wan0 udp dport 7000-7003 {}
 }}
 chain outc {{
  type filter hook postrouting priority 300;
  oifname wan0 udp dport 7001 meta mark set 0x00020000
  oifname wan0 udp dport 7000-7003 {}
 }}
}}
"""
TAGGED = """table bridge capture {{
 chain inc {{
  type filter hook prerouting priority -300;
  iifname port0 {}
 }}
}}
"""
COUNTERS = """table inet capture {
 counter out_other { packets 5 bytes 4294967296
 }
 counter in_inner { packets 0 bytes 0
 }
 counter in_web { packets 1 bytes 20
 }
}
"""


def main() -> None:
    with Namespaces("router", "far") as them:
        them.connect("router", "wan0", "far", "wan0")
        them.ip("router", LINK.format(NEAR, NEAR6, 1))
        them.ip("far", LINK.format(FAR, FAR6, 2))
        capture_copies(them)
        capture_tagged(them)
        capture_answers(them)


def capture_copies(them: Namespaces) -> None:
    """Datagrams of NFULNL_MSG_PACKET."""
    one = COPY.format(10, 28)
    with captured(them, "mixed", BOTH_WAYS.format(one, one), [10]):
        exchange(them, (7000, 7001))
    with captured(them, "single", BOTH_WAYS.format(one, one), [10]):
        send(them, "far", NEAR, 7000, (100,))
    with captured(them, "groups", BOTH_WAYS.format(one, COPY.format(11, 48)), [10, 11]):
        exchange(them, (7000, 7001))
    odd = COPY.format(10, 30)
    with captured(them, "snaplen-30", BOTH_WAYS.format(odd, odd), [10]):
        exchange(them, (7000,))
    prefixed = 'log prefix "in: " group 65535 snaplen 64 queue-threshold 512'
    with captured(them, "prefix", BOTH_WAYS.format(prefixed, prefixed), [65535]):
        exchange(them, (7000,))


def capture_tagged(them: Namespaces) -> None:
    """A bridge port sees frames with an 802.1Q tag, which the kernel has taken off or left on."""
    them.connect("router", "port0", "far", "port1")
    them.ip(
        "router", "link add br0 type bridge\nlink set port0 master br0\nlink set port0 up\nlink set br0 up\n"
    )
    them.ip("far", "link set port1 up\n")
    ip4 = bytes.fromhex("4500001c00010000401100000a0000010a00000207d007d000080000")
    frames = [
        tag + ip4
        for tag in (b"\x08\x00", b"\x81\x00\x00\x05\x08\x00", b"\x88\xa8\x00\x06\x81\x00\x40\x05\x08\x00")
    ]
    with captured(them, "tagged", TAGGED.format(COPY.format(10, 32)), [10]):
        with in_namespace(them.name("far")):
            link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        link.bind(("port1", 0))
        for frame in frames:
            link.send(b"\x02\0\0\0\0\x01\x02\0\0\0\0\x02" + frame)
        link.close()


def capture_answers(them: Namespaces) -> None:
    """Answers to configuration and to requests for counters."""
    with in_namespace(them.name("router")), open_nflog([10, 11], 1 << 20) as owner:
        write("bound", ["encode_bind(10, 1), encode_bind(11, 2)"], receive(owner))
        with open_nflog([10], 1 << 20) as second:
            write("in-use", ["encode_bind(10, 1) while another socket has the group"], receive(second))
    them.run("router", "nft", "-f", "-", text=COUNTERS)
    requests = {
        "counters": encode_counter_dump("capture", 1),
        "table": encode_table_request("capture", 2),
        "no-table": encode_table_request("missing", 3),
        "generation": encode_generation_request(4),
    }
    for name, request in requests.items():
        with in_namespace(them.name("router")):
            asking = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
        with asking:
            asking.bind((0, 0))
            asking.send(request)
            write(name, COUNTERS.splitlines(), receive(asking))


@contextmanager
def captured(them: Namespaces, name: str, rules: str, groups: list[int]) -> Iterator[None]:
    """Write what the rules copy in the with block."""
    with in_namespace(them.name("router")):
        nflog = open_nflog(groups, 8 << 20)
    with nflog:
        for _ in groups:
            nflog.recv(1 << 17)  # its acknowledgement
        them.run("router", "nft", "-f", "-", text=rules)
        yield
        write(name, rules.splitlines(), receive(nflog))
    them.run("router", "nft", "delete", "table", *rules.split()[1:3])


def exchange(them: Namespaces, ports: Iterable[int]) -> None:
    """Each port and family, both ways, SIZES octets of UDP payload."""
    for port in ports:
        for role, address, address6 in (("far", NEAR, NEAR6), ("router", FAR, FAR6)):
            send(them, role, address, port, SIZES)
            send(them, role, address6, port, SIZES)


def send(them: Namespaces, role: str, address: str, port: int, sizes: Iterable[int]) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with in_namespace(them.name(role)):
        out = socket.socket(family, socket.SOCK_DGRAM)
    with out:
        for size in sizes:
            out.sendto(bytes(size), (address, port))


def receive(opened: socket.socket) -> list[bytes]:
    datagrams = []
    opened.settimeout(FLUSHED_S)
    try:
        while True:
            datagrams.append(opened.recv(1 << 17))
    except OSError:  # no more within that time
        return datagrams


def write(name: str, how: list[str], datagrams: list[bytes]) -> None:
    head = [
        f"Linux {platform.release()}, {platform.machine()}; made by tests/unit/wire/capture.py with",
        *how,
    ]
    (FIXTURES / f"{name}.hex").write_text(render(head, datagrams))


if __name__ == "__main__":
    main()
