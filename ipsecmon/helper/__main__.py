"""Started by helper.client with a descriptor's number as argument, and the plan on standard input."""

from __future__ import annotations

import socket
import sys

from ipsecmon.helper.server import Server
from ipsecmon.ruleset.model import Plan


def main() -> None:
    with socket.socket(fileno=int(sys.argv[1])) as connection:
        Server(connection, Plan.decode(sys.stdin.read())).run()


if __name__ == "__main__":
    main()
