"""Dumps of qdiscs, classes and filters by rtnetlink(7)."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from typing import Optional

from ipsecmon.errors import DecodeError, SourceError
from ipsecmon.sources.rtnetlink import Dump, open_route_socket
from ipsecmon.wire.tc import TcObject, What, decode_tc, encode_tc_dump

__all__ = ["TcDumps"]

_TRIES = 3  # of a dump that was changed under way


class TcDumps:
    """One socket, opened when it is first asked."""

    def __init__(self) -> None:
        self._sequence = 0
        self._asked: Optional[socket.socket] = None

    def read(self, what: What, ifindex: int = 0, parent: int = 0) -> list[TcObject]:
        """Raises SourceError. An interface that has gone meanwhile has nothing."""
        for _ in range(_TRIES):
            try:
                return self._read_once(lambda number: encode_tc_dump(what, number, ifindex, parent))
            except InterruptedError:
                continue
            except OSError as error:
                if error.errno in (errno.ENODEV, errno.ENOENT, errno.EINVAL, errno.EOPNOTSUPP) and ifindex:
                    return []
                self.stop()
                why = error.strerror or "the kernel does not answer"
                raise SourceError(f"tc {what.value}: {why}") from error
            except DecodeError as error:
                self.stop()
                raise SourceError(f"tc {what.value}: {error}") from error
        raise SourceError(f"tc {what.value}: changed all the time while it was read")

    def _read_once(self, encode: Callable[[int], bytes]) -> list[TcObject]:
        self._sequence = (self._sequence + 1) & 0xFFFFFFFF
        if self._asked is None:
            self._asked = open_route_socket(0)
        dump = Dump(self._asked, encode(self._sequence), self._sequence)
        decoded = (decode_tc(buffer, message) for buffer, message in dump.messages())
        found = [one for one in decoded if one is not None]
        if not dump.is_whole:
            raise InterruptedError(errno.EINTR, os.strerror(errno.EINTR))
        return found

    def stop(self) -> None:
        """An answer that was not read to its end must not be taken for the next one."""
        if self._asked is not None:
            self._asked.close()
            self._asked = None
