"""An end for HTTP requests that go on and on.

A timeout of urllib3 begins anew with each octet that comes: a server or proxy that sends one now and
then would hold a sink's thread for hours. When the time is over the socket is shut down, which the
thread that waits on it sees at once.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import weakref
from collections.abc import Iterator
from typing import Any

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager

__all__ = ["Deadline"]


class Deadline:
    """For one manager, whose connections it sees from now on, and one request at a time."""

    def __init__(self, manager: PoolManager, limit_s: float) -> None:
        self._limit_s = limit_s
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self.is_over = False
        manager.pool_classes_by_scheme = {
            "http": _watched(HTTPConnectionPool, self._sockets),
            "https": _watched(HTTPSConnectionPool, self._sockets),
        }

    @contextlib.contextmanager
    def enforced(self) -> Iterator[None]:
        """Around one request; is_over tells afterwards whether it was ended."""
        self.is_over = False
        timer = threading.Timer(self._limit_s, self._end)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _end(self) -> None:
        self.is_over = True
        for one in list(self._sockets):
            with contextlib.suppress(OSError):
                socket.socket.shutdown(one, socket.SHUT_RDWR)  # not ssl's own, which is for its thread only


def _watched(pool: Any, sockets: weakref.WeakSet[socket.socket]) -> Any:
    """The class of pools, but its connections leave their sockets here."""

    class Connection(pool.ConnectionCls):  # type: ignore[misc]  # the class is only known here
        def connect(self) -> None:
            super().connect()
            sockets.add(self.sock)

    class Pool(pool):  # type: ignore[misc]
        ConnectionCls = Connection

    return Pool
