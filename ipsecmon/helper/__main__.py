"""Started by helper.client with a descriptor's number as argument.

Standard input: the plan on one line, and on a second one the ranges of the NFLOG groups that later plans may
use besides the plan's own.
"""

from __future__ import annotations

import socket
import sys

from ipsecmon.helper.backends import prepare
from ipsecmon.helper.bounds import Bounds
from ipsecmon.helper.server import Server
from ipsecmon.helper.supervisor import supervise
from ipsecmon.ruleset.model import Plan


def main() -> None:
    plan = Plan.decode(sys.stdin.readline())
    bounds = Bounds.of(plan, sys.stdin.readline())
    with socket.socket(fileno=int(sys.argv[1])) as control:
        sys.exit(supervise(control, lambda connection: Server(connection, plan, bounds).run(), prepare(plan)))


if __name__ == "__main__":
    main()
