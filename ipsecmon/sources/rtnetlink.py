"""Sockets of rtnetlink(7), and dumps by them. No capability is needed."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

from ipsecmon.wire.netlink import (
    NLM_F_DUMP_INTR,
    NLMSG_DONE,
    NLMSG_ERROR,
    Message,
    decode_error,
    pull_messages,
)

__all__ = ["RECEIVE", "Dump", "open_route_socket"]

RECEIVE = 1 << 17  # octets; the kernel's dump datagrams are at most 32 KiB
_TIMEOUT_S = 5.0


def open_route_socket(groups: int) -> socket.socket:
    """groups: of news, RTMGRP_* (linux/rtnetlink.h); 0 to ask. Raises OSError."""
    made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
    try:
        made.settimeout(_TIMEOUT_S)
        made.bind((0, groups))
    except BaseException:
        made.close()
        raise
    return made


class Dump:
    """One answer. is_whole, at its end: nothing changed under way."""

    def __init__(self, connection: socket.socket, request: bytes, sequence: int) -> None:
        connection.send(request)
        self._connection = connection
        self._sequence = sequence
        self.is_whole = True

    def messages(self) -> Iterator[tuple[bytes, Message]]:
        """Up to the end of the dump. Raises OSError with the kernel's own number, and DecodeError."""
        while True:
            buffer = self._connection.recv(RECEIVE)
            for message in pull_messages(buffer):
                if message.sequence != self._sequence:
                    continue
                self.is_whole = self.is_whole and not message.flags & NLM_F_DUMP_INTR
                code = decode_error(buffer, message) if message.kind == NLMSG_ERROR else 0
                if code:
                    raise OSError(code, os.strerror(code))
                if message.kind == NLMSG_DONE:
                    return
                yield buffer, message
