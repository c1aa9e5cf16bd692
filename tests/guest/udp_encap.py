"""Holds UDP port 4500 open for ESP in UDP (RFC 3948), as an IKE daemon does, until stdin closes.

A script for a namespace; standard library only. What is not ESP is left unread. A line `ADDRESS PORT HEX` on
stdin sends these octets from that port.
"""

from __future__ import annotations

import socket
import sys

UDP_ENCAP, UDP_ENCAP_ESPINUDP = 100, 2  # linux/udp.h


def main() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as held:
        held.setsockopt(socket.IPPROTO_UDP, UDP_ENCAP, UDP_ENCAP_ESPINUDP)
        held.bind(("0.0.0.0", 4500))
        print("ready", flush=True)
        for line in sys.stdin:
            address, port, payload = line.split()
            held.sendto(bytes.fromhex(payload), (address, int(port)))
            print("sent", flush=True)


if __name__ == "__main__":
    main()
