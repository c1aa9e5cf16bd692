"""One agent for a table of rules in a network namespace, or two would replace each other's rules for ever.

The claim is an abstract UNIX socket (unix(7)): such names belong to a network namespace, as rules do, and the
kernel takes them back however the agent ends. Anybody may take a name, so the owner's user decides whether it
is believed (SO_PEERCRED): another one's claim keeps no agent from starting.
"""

from __future__ import annotations

import errno
import logging
import os
import pwd
import socket
import struct
from typing import Optional

from ipsecmon.agent.loop import Loop
from ipsecmon.errors import SourceError

__all__ = ["Claim"]

SERVICE_USER = "ipsecmon"  # of packaging/systemd
_BACKLOG = 8  # who asks leaves at once, and the loop takes them off
_CREDENTIALS = struct.Struct("3i")  # struct ucred of socket(7): pid, uid, gid

_logger = logging.getLogger(__name__)


class Claim:
    """Held between start() and stop()."""

    def __init__(self, table: str, loop: Loop) -> None:
        self._name = f"\0ipsecmon/{table}"
        self._loop = loop
        self._socket: Optional[socket.socket] = None

    def start(self) -> None:
        """Raises SourceError if another agent has it."""
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            claim.bind(self._name)
            claim.listen(_BACKLOG)
        except OSError as error:
            claim.close()
            if error.errno != errno.EADDRINUSE:
                raise SourceError(f"the rules cannot be claimed: {error.strerror}") from error
            self._judge(_owner(self._name))
            return
        self._socket = claim
        self._loop.watch(claim, self._answer)

    def stop(self) -> None:
        if self._socket is not None:
            self._loop.unwatch(self._socket)
            self._socket.close()
            self._socket = None

    def _answer(self) -> None:
        assert self._socket is not None
        self._socket.accept()[0].close()

    def _judge(self, owner: Optional[tuple[int, int]]) -> None:
        pid, user = owner or (0, -1)
        if user in _believed():
            raise SourceError(
                f"another ipsecmon agent (pid {pid}) keeps the rules of this network namespace: stop it, or"
                " let one config count for both"
            )
        _logger.warning("another user's process has our claim to the rules, which is ignored pid=%d", pid)


def _believed() -> set[int]:
    users = {0, os.geteuid()}
    try:
        users.add(pwd.getpwnam(SERVICE_USER).pw_uid)
    except KeyError:
        pass  # not installed as a service
    return users


def _owner(name: str) -> Optional[tuple[int, int]]:
    """Pid and user of who listens there; None if nobody does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.setblocking(False)
        try:
            asking.connect(name)
        except OSError:
            return None
        pid, user, _ = _CREDENTIALS.unpack(
            asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        )
        return pid, user
