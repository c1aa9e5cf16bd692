"""Writes fixtures/tc-NAME.hex from the kernel that it runs on: python -m tests.unit.wire.capture_tc NAME.

NAME is `htb` or, where the kernel has it, `fq-codel`. Datagrams: a dump of qdiscs, of classes, of filters at
ingress and at 1:, and what RTNLGRP_TC told of the root's end. As root, in a network namespace of its own.
"""

from __future__ import annotations

import ctypes
import platform
import socket
import subprocess
import sys
from pathlib import Path

from ipsecmon.wire.netlink import NLMSG_DONE, pull_messages
from ipsecmon.wire.tc import INGRESS, RTMGRP_TC, What, encode_tc_dump
from tests.unit.wire.hexfiles import FIXTURES, render

_CLONE_NEWNET = 0x40000000
_LINK = """link set lo up
link add d0 type veth peer name d1
link set d0 arp off multicast off addrgenmode none
link set d0 up
link set d1 up
addr add 192.0.2.1/24 dev d0
neigh add 192.0.2.2 lladdr 02:00:00:00:00:02 dev d0
"""
_TREES = {
    "htb": "qdisc add dev d0 root handle 1: htb default 20\n"
    "class add dev d0 parent 1: classid 1:10 htb rate 1544kbit ceil 10mbit\n"
    "class add dev d0 parent 1: classid 1:20 htb rate 5mbit\n"
    "qdisc add dev d0 parent 1:10 tbf rate 1544kbit burst 10kb limit 50kb\n"
    "filter add dev d0 parent 1: protocol ip prio 1 u32 match ip dport 7000 0xffff flowid 1:10\n"
    "qdisc add dev d0 handle ffff: ingress\n"
    "filter add dev d0 parent ffff: protocol ip prio 1 u32 match u32 0 0"
    " action mirred egress redirect dev lo\n",
    "fq-codel": "qdisc add dev d0 root handle 1: fq_codel limit 600 flows 32 memory_limit 1mb ecn\n",
}


def main(name: str) -> None:
    assert ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET) == 0
    _run("ip", _LINK)
    with _opened(0) as asked, _opened(RTMGRP_TC) as news:
        _run("tc", _TREES[name])
        _send(5)
        news.setblocking(False)
        while _told(news):
            pass
        index = socket.if_nametoindex("d0")
        found = _dump(asked, encode_tc_dump(What.QDISC, 1))
        found += _dump(asked, encode_tc_dump(What.CLASS, 2, index))
        if name == "htb":
            found += _dump(asked, encode_tc_dump(What.FILTER, 3, index, INGRESS))
            found += _dump(asked, encode_tc_dump(What.FILTER, 4, index, 1 << 16))
        _run("tc", "qdisc del dev d0 root\n")
        found.append(_told(news))
    head = [f"Linux {platform.release()}, {platform.machine()}; capture_tc.py {name}: after 5 packets"]
    (Path(sys.argv[2]) if len(sys.argv) > 2 else FIXTURES).joinpath(f"tc-{name}.hex").write_text(
        render(head, found)
    )


def _run(program: str, script: str) -> None:
    subprocess.run([program, "-batch", "-"], input=script, text=True, check=True)


def _opened(groups: int) -> socket.socket:
    opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
    opened.bind((0, groups))
    return opened


def _send(packets: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        for _ in range(packets):
            out.sendto(bytes(100), ("192.0.2.2", 7000))


def _told(news: socket.socket) -> bytes:
    try:
        return news.recv(1 << 17)
    except BlockingIOError:
        return b""


def _dump(asked: socket.socket, request: bytes) -> list[bytes]:
    asked.send(request)
    found = []
    while True:
        found.append(asked.recv(1 << 17))
        if any(message.kind == NLMSG_DONE for message in pull_messages(found[-1])):
            return found


if __name__ == "__main__":
    main(sys.argv[1])
