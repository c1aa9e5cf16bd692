"""The helper's netlink sockets: NFLOG groups to hand over, and named counters to read."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from typing import NamedTuple

from ipsecmon.errors import DecodeError, SourceError
from ipsecmon.wire.netlink import (
    NLM_F_DUMP_INTR,
    NLMSG_DONE,
    NLMSG_ERROR,
    Message,
    decode_error,
    pull_messages,
)
from ipsecmon.wire.nflog_config import NETLINK_NETFILTER, encode_bind
from ipsecmon.wire.nftables import (
    NamedCounter,
    decode_counter,
    decode_generation,
    decode_table_handle,
    encode_counter_dump,
    encode_generation_request,
    encode_table_request,
)

__all__ = ["CounterDump", "CounterReader", "open_nflog"]

SO_RCVBUFFORCE = 33
SOL_NETLINK = 270
NETLINK_NO_ENOBUFS = 5
_ENOENT = 2
_DUMP_TRIES = 10  # a dump that a rule change interrupted is begun again this often
_TIMEOUT_S = 5.0
_RECEIVE = 1 << 17  # octets; the kernel's dump datagrams are at most 32 KiB


def open_nflog(groups: Iterable[int], receive_buffer: int) -> socket.socket:
    """A socket with all groups requested. The kernel's acknowledgements are on it, unread: copies may
    already stand between them, and only the final reader may take those. Request n has sequence n."""
    nflog = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_NETFILTER)
    try:
        nflog.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, receive_buffer)
        # one overflow must not make the kernel drop everything until the queue is empty
        nflog.setsockopt(SOL_NETLINK, NETLINK_NO_ENOBUFS, 1)
        nflog.bind((0, 0))
        for sequence, group in enumerate(groups, 1):
            nflog.send(encode_bind(group, sequence))
    except OSError:
        nflog.close()
        raise
    return nflog


class CounterDump(NamedTuple):
    """table: the handle of this life of the table, 0 if there is none. generation: changes with every
    change of any rule set in this network namespace. reloadable: whoever saves the rules with their
    counters can bring this very life back with old values."""

    table: int
    generation: int
    counters: list[NamedCounter]
    reloadable: bool = False


class CounterReader:
    """Reads all named counters of one table; never resets one."""

    def __init__(self, table: str) -> None:
        self._table = table
        self._sequence = 0
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_NETFILTER
        )
        self._socket.settimeout(_TIMEOUT_S)
        self._socket.bind((0, 0))

    def read(self) -> CounterDump:
        """Raises SourceError if the kernel refuses, OSError if it does not answer."""
        for _ in range(_DUMP_TRIES):
            before = self._generation()
            table = self._table_handle()
            if not table:
                return CounterDump(0, before, [])
            counters = self._dump()
            if counters is not None and self._generation() == before:
                return CounterDump(table, before, counters)
        raise SourceError("rule sets change faster than counters can be read: see what reloads them")

    def _generation(self) -> int:
        buffer, message = self._ask(encode_generation_request(self._next()))
        return decode_generation(buffer, message)

    def _table_handle(self) -> int:
        try:
            buffer, message = self._ask(encode_table_request(self._table, self._next()))
        except FileNotFoundError:
            return 0
        return decode_table_handle(buffer, message)

    def _next(self) -> int:
        self._sequence = (self._sequence + 1) & 0xFFFFFFFF
        return self._sequence

    def _ask(self, request: bytes) -> tuple[bytes, Message]:
        self._socket.send(request)
        while True:
            buffer = self._socket.recv(_RECEIVE)
            for message in pull_messages(buffer):
                if message.sequence == self._sequence:
                    _raise_error(buffer, message)
                    return buffer, message

    def _dump(self) -> list[NamedCounter] | None:
        """None: the dump was interrupted by a change of rules."""
        self._socket.send(encode_counter_dump(self._table, self._next()))
        counters: list[NamedCounter] = []
        interrupted = False
        while True:
            buffer = self._socket.recv(_RECEIVE)
            for message in pull_messages(buffer):
                if message.sequence != self._sequence:
                    continue
                interrupted = interrupted or bool(message.flags & NLM_F_DUMP_INTR)
                if message.kind == NLMSG_DONE:
                    return None if interrupted else counters
                _raise_error(buffer, message)
                counters.append(decode_counter(buffer, message))


def _raise_error(buffer: bytes, message: Message) -> None:
    if message.kind == NLMSG_ERROR:
        code = decode_error(buffer, message)
        if code == _ENOENT:
            raise FileNotFoundError
        raise SourceError(f"the kernel refused to read counters: {os.strerror(code)}")
    if message.kind == NLMSG_DONE:
        raise DecodeError("answer without its value", message.start)
