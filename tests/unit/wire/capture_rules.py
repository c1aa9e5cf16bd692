"""Makes fixtures/log-*.hex anew: rules that log, as this kernel tells them by netlink and getsockopt(2).

`python -m tests.unit.wire.capture_rules`, as root; in a namespace of its own.
"""

from __future__ import annotations

import platform
import socket

from ipsecmon.helper.legacy_rules import read_entries
from ipsecmon.wire.nflog_config import NETLINK_NETFILTER
from ipsecmon.wire.nft_rules import encode_dump_counters, encode_dump_rules, encode_dump_tables
from tests.netns.agent import in_namespace
from tests.netns.namespaces import Namespaces
from tests.unit.wire.capture import receive, write
from tests.unit.wire.hexfiles import FIXTURES

NFT = """table inet fw {
 counter mine { packets 7 bytes 700
 }
 quota q { over 5 mbytes
 }
 chain c {
  udp dport 1 counter packets 3 bytes 300 log group 15 snaplen 64
  udp dport 2 log group 15 counter packets 4 bytes 400
  udp dport 3 counter name mine log group 16 accept
  counter packets 9 bytes 900 udp dport 4 log group 17
  udp dport 5 log group 18
  udp dport 6 log prefix "x"
  quota name q log group 19
  udp dport 7 counter packets 5 bytes 500 log group 65535 log group 20
 }
}
"""
LEGACY = """*mangle
:own - [0:0]
[2:200] -A PREROUTING -i wan0 -p udp -m udp --dport 5060 -m comment --comment "a b" -j NFLOG --nflog-group 31
[3:300] -A PREROUTING -m limit --limit 5/sec -j own
[4:400] -A own -p udp -j NFLOG --nflog-group 32 --nflog-size 64 --nflog-prefix "x"
[5:500] -A own -p udp -j NFLOG --nflog-group 32 --nflog-size 64 --nflog-prefix "x"
[6:600] -A own -j NFLOG
COMMIT
"""


def main() -> None:
    with Namespaces("router") as them:
        them.run("router", "nft", "-f", "-", text=NFT)
        them.run("router", "iptables-nft-restore", "-c", text=LEGACY)
        requests = {
            "log-rules": encode_dump_rules(1),
            "log-tables": encode_dump_tables(2),
            "log-objects": encode_dump_counters(3),
        }
        for name, request in requests.items():
            with in_namespace(them.name("router")):
                asking = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
            with asking:
                asking.bind((0, 0))
                asking.send(request)
                write(
                    name,
                    [*NFT.splitlines(), "and by iptables-nft-restore", *LEGACY.splitlines()],
                    receive(asking),
                )
        for version, program in (("4", "iptables"), ("6", "ip6tables")):
            them.run("router", f"{program}-legacy-restore", "-c", text=LEGACY)
            family, level = (socket.AF_INET, 0) if version == "4" else (socket.AF_INET6, 41)
            with in_namespace(them.name("router")):
                write_words(
                    f"log-legacy-{version}", LEGACY.splitlines(), read_entries(family, level, "mangle")
                )


def write_words(name: str, how: list[str], octets: bytes) -> None:
    """What is no netlink datagram: lines of eight words."""
    head = [
        f"Linux {platform.release()}, {platform.machine()}; made by tests/unit/wire/capture_rules.py with"
    ]
    lines = [octets[at : at + 32].hex(" ", 4) for at in range(0, len(octets), 32)]
    text = [f"# {line}" for line in (*head, *how)]
    (FIXTURES / f"{name}.hex").write_text("\n".join([*text, "", "# datagram", *lines]) + "\n")


if __name__ == "__main__":
    main()
