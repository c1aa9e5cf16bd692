"""The helper's netlink sockets: NFLOG groups to hand over, and named counters to read."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterable
from functools import partial
from typing import NamedTuple

from ipsecmon.errors import SourceError
from ipsecmon.helper.netlink import Netlink
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
_DUMP_TRIES = 10  # a dump that a rule change interrupted is begun again this often


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
        self._netfilter = Netlink()

    def read(self) -> CounterDump:
        """Raises SourceError if the kernel refuses, OSError if it does not answer."""
        try:
            return self._read()
        except OSError as error:
            if error.errno is None:  # it did not answer
                raise
            raise SourceError(f"the kernel refused to read counters: {error.strerror}") from error

    def _read(self) -> CounterDump:
        for _ in range(_DUMP_TRIES):
            before = self._generation()
            table = self._table_handle()
            if not table:
                return CounterDump(0, before, [])
            with contextlib.suppress(InterruptedError):
                counters = self._counters()
                if self._generation() == before:
                    return CounterDump(table, before, counters)
        raise SourceError("rule sets change faster than counters can be read: see what reloads them")

    def _generation(self) -> int:
        return decode_generation(*self._netfilter.ask(encode_generation_request))

    def _table_handle(self) -> int:
        try:
            return decode_table_handle(*self._netfilter.ask(partial(encode_table_request, self._table)))
        except FileNotFoundError:
            return 0

    def _counters(self) -> list[NamedCounter]:
        answers = self._netfilter.dump(partial(encode_counter_dump, self._table))
        return [decode_counter(buffer, message) for buffer, message in answers]
