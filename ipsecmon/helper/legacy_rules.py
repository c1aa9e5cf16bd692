"""Rules of legacy iptables that log to an NFLOG group, by getsockopt(2).

That needs CAP_NET_ADMIN alone: no program, no lock and no CAP_NET_RAW, as iptables-save would.
"""

from __future__ import annotations

import ctypes
import os
import re
import socket
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from ipsecmon.errors import SourceError
from ipsecmon.wire.xtables import ENTRIES_START, INFO_SIZE, XtRule, decode_log_entries, decode_size

__all__ = ["legacy_rules", "loaded_tables", "read_entries"]

_GET_INFO, _GET_ENTRIES = 64, 65  # IPT_SO_GET_INFO, IPT_SO_GET_ENTRIES
_FAMILIES = ((4, socket.AF_INET, 0, "ip_tables_names"), (6, socket.AF_INET6, 41, "ip6_tables_names"))
_TABLES = ("raw", "mangle", "nat", "filter", "security")
_TRIES = 10

_libc = ctypes.CDLL(None, use_errno=True)


def legacy_rules() -> Iterator[tuple[str, XtRule]]:
    """(identity, rule); equal rules of one chain differ by their order. Raises SourceError or DecodeError."""
    for version, family, level, names in _FAMILIES:
        for table in _tables(version, Path("/proc/net") / names):
            seen: Counter[tuple[int, str]] = Counter()
            for rule in decode_log_entries(read_entries(family, level, table), version):
                nth = seen[rule.group, rule.text]
                seen[rule.group, rule.text] += 1
                yield f"legacy/{version}/{table}/{rule.group}/{rule.text}/{nth}", rule


def _tables(version: int, names: Path) -> list[str]:
    """Tables of legacy iptables that are there; to ask for another one would make it."""
    try:
        return names.read_text().split()
    except PermissionError:  # for root alone
        return loaded_tables(version, Path("/proc/modules").read_text())
    except OSError:
        return []


def loaded_tables(version: int, modules: str) -> list[str]:
    """By the modules that make them: what an ordinary user can see of tables that somebody uses."""
    pattern = rf"^{'iptable' if version == 4 else 'ip6table'}_({'|'.join(_TABLES)}) "
    return re.findall(pattern, modules, re.MULTILINE)


def read_entries(family: int, level: int, table: str) -> bytes:
    """What IPT_SO_GET_ENTRIES answers. Raises SourceError, DecodeError or OSError."""
    with socket.socket(family, socket.SOCK_DGRAM) as asking:
        for _ in range(_TRIES):
            size = decode_size(_getsockopt(asking, level, _GET_INFO, table, bytes(INFO_SIZE)))
            empty = size.to_bytes(4, sys.byteorder) + bytes(ENTRIES_START - 36 + size)
            try:
                return _getsockopt(asking, level, _GET_ENTRIES, table, bytes(32) + empty)
            except BlockingIOError:  # EAGAIN: the table has another size by now
                continue
    raise SourceError(f"table {table} changes faster than it can be read: see what reloads it")


def _getsockopt(asking: socket.socket, level: int, option: int, table: str, question: bytes) -> bytes:
    """getsockopt(2) whose buffer holds a question, which Python's own cannot ask."""
    buffer = ctypes.create_string_buffer(table.encode() + question[len(table) :], len(question))
    length = ctypes.c_uint32(len(question))
    if _libc.getsockopt(asking.fileno(), level, option, buffer, ctypes.byref(length)):
        code = ctypes.get_errno()
        raise OSError(code, f"legacy table {table}: {os.strerror(code)}")
    return buffer.raw[: length.value]
