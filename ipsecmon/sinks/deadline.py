"""An end for HTTP requests that go on and on.

A timeout of urllib3 begins anew with each octet that comes: a server or proxy that sends one now and
then would hold a sink's thread for hours. When the time is over the socket is shut down, which the
thread that waits on it sees at once. And urllib3 takes an answer into memory however long it is, which
within the time may be gigabytes: it is cut off after MAX_ANSWER_OCTETS, and never decompressed.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import socket
import threading
import weakref
from collections.abc import Iterator
from typing import Any, Optional

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager

__all__ = ["MAX_ANSWER_OCTETS", "Deadline"]

MAX_ANSWER_OCTETS = 4 << 20  # head and body; a 400 may quote all of a request, about 1 MB


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


class _ShortResponse(http.client.HTTPResponse):
    """We ask for no encoding: a body that has one is not InfluxDB's, and may grow a thousandfold."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.fp = _ShortReader(_ShortFile(self.fp))

    def begin(self) -> None:
        super().begin()
        del self.headers["Content-Encoding"]


class _ShortFile(io.RawIOBase):
    """Ends after MAX_ANSWER_OCTETS, as if the server had closed the connection."""

    def __init__(self, whole: io.BufferedReader) -> None:
        self._whole = whole
        self._left = MAX_ANSWER_OCTETS

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = self._whole.readinto1(memoryview(buffer)[: self._left]) if self._left else 0
        self._left -= count
        return count

    def close(self) -> None:
        self._whole.close()
        super().close()


class _ShortReader(io.BufferedReader):
    """Takes no memory for as much as the head of an answer or of a chunk announces."""

    def read(self, size: Optional[int] = -1) -> bytes:
        return super().read(size if size is None else min(size, MAX_ANSWER_OCTETS))


def _watched(pool: Any, sockets: weakref.WeakSet[socket.socket]) -> Any:
    """The class of pools, but its connections leave their sockets here."""

    class Connection(pool.ConnectionCls):  # type: ignore[misc]  # the class is only known here
        response_class = _ShortResponse

        def connect(self) -> None:
            super().connect()
            sockets.add(self.sock)

    class Pool(pool):  # type: ignore[misc]
        ConnectionCls = Connection

    return Pool
