"""One request and its answer over a netlink socket."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from typing import Callable, Optional

from ipsecmon.wire.netlink import (
    NLM_F_DUMP_INTR,
    NLMSG_DONE,
    NLMSG_ERROR,
    Message,
    decode_error,
    pull_messages,
)
from ipsecmon.wire.nflog_config import NETLINK_NETFILTER

__all__ = ["Netlink"]

_TIMEOUT_S = 5.0
_RECEIVE = 1 << 17  # octets; the kernel's dump datagrams are at most 32 KiB


class Netlink:
    """protocol: of the socket, which is opened at first use.

    Raises OSError with the kernel's own number where it refuses, TimeoutError if it does not answer.
    """

    def __init__(self, protocol: int = NETLINK_NETFILTER) -> None:
        self._protocol = protocol
        self._sequence = 0
        self._opened: Optional[socket.socket] = None

    def ask(self, encode: Callable[[int], bytes]) -> tuple[bytes, Message]:
        """The first message that answers, or the acknowledgement. encode: of a sequence number."""
        return next(self._answers(encode))

    def dump(self, encode: Callable[[int], bytes]) -> Iterator[tuple[bytes, Message]]:
        """Every message up to the end of the dump. Raises InterruptedError there if a change came between."""
        interrupted = False
        for buffer, message in self._answers(encode):
            interrupted = interrupted or bool(message.flags & NLM_F_DUMP_INTR)
            if message.kind == NLMSG_DONE:
                if interrupted:
                    raise InterruptedError(errno.EINTR, os.strerror(errno.EINTR))
                return
            yield buffer, message

    def send(self, encode: Callable[[int], bytes]) -> socket.socket:
        """Ask, and leave the answer to be received from the socket that is returned. Where it is not received
        to its end, close()."""
        self._sequence = (self._sequence + 1) & 0xFFFFFFFF
        connection = self._socket()
        connection.send(encode(self._sequence))
        return connection

    def close(self) -> None:
        """Whatever was not received is gone; the next use opens another one."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def is_there(self, encode: Callable[[int], bytes]) -> bool:
        """Whether the kernel answers anything but that there is no such thing."""
        try:
            self.ask(encode)
        except FileNotFoundError:
            return False
        return True

    def _socket(self) -> socket.socket:
        if self._opened is None:
            kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
            self._opened = socket.socket(socket.AF_NETLINK, kind, self._protocol)
            self._opened.settimeout(_TIMEOUT_S)
            self._opened.bind((0, 0))
        return self._opened

    def _answers(self, encode: Callable[[int], bytes]) -> Iterator[tuple[bytes, Message]]:
        connection = self.send(encode)
        while True:
            buffer = connection.recv(_RECEIVE)
            for message in pull_messages(buffer):
                if message.sequence != self._sequence:
                    continue
                code = decode_error(buffer, message) if message.kind == NLMSG_ERROR else 0
                if code:
                    raise OSError(code, os.strerror(code))
                yield buffer, message
