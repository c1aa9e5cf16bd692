"""Starts a helper whenever there is none, as long as main is there.

It reads nothing: not one octet from main, and nothing from the kernel but that its child has ended. Main
gets the pid of each new helper and its end of a connection to it; that main has gone shows as the end of
`control`.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import time
import traceback
from typing import Callable

from ipsecmon.helper.capabilities import keep_net_admin
from ipsecmon.helper.confinement import confine

__all__ = ["PAUSE_S", "supervise"]

CALM_S = 1.0  # a helper that lived longer is followed by the next one at once
_MAINS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # reach a whole group, as by Ctrl-C: main decides
PAUSE_S = 0.5  # before the next one otherwise: a helper that cannot live must not take a processor


def supervise(
    control: socket.socket, serve: Callable[[socket.socket], None], net_raw_too: bool = False
) -> int:
    """Until main has gone; the exit status of the last helper. net_raw_too: legacy iptables will be used."""
    for number in _MAINS:
        signal.signal(number, signal.SIG_IGN)
    keep_net_admin(net_raw_too)
    confine(net_raw_too)
    while True:
        began = time.monotonic()
        _, status = os.waitpid(_start(control, serve), 0)
        calm = time.monotonic() - began > CALM_S
        if select.select([control], [], [], 0 if calm else PAUSE_S)[0]:
            return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 1


def _start(control: socket.socket, serve: Callable[[socket.socket], None]) -> int:
    """The helper's pid."""
    mains, helpers = socket.socketpair()
    with mains, helpers:
        child = os.fork()
        if child == 0:
            control.close()
            mains.close()
            _be_helper(helpers, serve)
        try:
            socket.send_fds(control, [b"%d\n" % child], [mains.fileno()])
        except OSError:
            pass  # main has gone, and with its end closed the helper will be too
        return child


def _be_helper(connection: socket.socket, serve: Callable[[socket.socket], None]) -> None:
    status = 1
    try:
        serve(connection)
        status = 0
    except BaseException:  # noqa: BLE001  # nothing of the supervisor's may run in this process
        traceback.print_exc()
    finally:
        os._exit(status)
