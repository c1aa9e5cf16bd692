"""strongSwan's names of SAs, by its vici protocol: `list-sas`, which changes nothing.

The `vici` package knows the protocol; it lets a daemon take any time and any memory. Here both have a limit.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import struct
import time
from collections.abc import Mapping
from typing import Any

import vici.exception

from ipsecmon.errors import SourceError
from ipsecmon.ipsec import IkeNames

__all__ = ["read_strongswan"]

MAX_PACKET = 512 << 10  # octets, as vici's own
MAX_READ = 16 << 20  # octets in all; one IKE SA with one CHILD_SA takes about 1 KB

_BROKEN = (
    vici.exception.DeserializationException,
    vici.exception.SessionException,
    vici.exception.CommandException,
    vici.exception.EventUnknownException,
    struct.error,
    ValueError,
    KeyError,
    AttributeError,  # a value where a section should be
)


def read_strongswan(path: str, deadline: float) -> IkeNames:
    """path: of the socket. deadline: by the monotonic clock, in seconds. Raises OSError and SourceError."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(max(0.001, deadline - time.monotonic()))
        connection.connect(path)
        session = vici.Session(_InTime(connection, deadline))
        by_spi: dict[tuple[str, int], frozenset[str]] = {}
        by_reqid: dict[int, frozenset[str]] = {}
        try:
            with contextlib.closing(session.list_sas()) as answers:
                for answer in answers:
                    for ike, section in answer.items():
                        _add(str(ike), section, by_spi, by_reqid)
        except _BROKEN as error:
            raise SourceError(f"{path} does not speak vici: {error!r:.100}") from error
    return IkeNames(by_spi, by_reqid)


class _InTime:
    """A socket as vici's Transport uses one: by itself, vici waits for the rest of a packet without end."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self._connection = connection
        self._deadline = deadline
        self._left = MAX_READ

    def sendall(self, octets: bytes) -> None:
        self._limit()
        self._connection.sendall(octets)

    def recv(self, count: int) -> bytes:
        self._limit()
        if count > min(MAX_PACKET, self._left):
            raise SourceError(f"the answer of {self._connection.getpeername()} is too long")
        received = self._connection.recv(count)
        self._left -= len(received)
        return received

    def gettimeout(self) -> None:
        return None

    def settimeout(self, timeout: object) -> None:
        pass

    def _limit(self) -> None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise socket.timeout("timed out")
        self._connection.settimeout(left)


def _add(
    ike: str,
    section: Any,
    by_spi: dict[tuple[str, int], frozenset[str]],
    by_reqid: dict[int, frozenset[str]],
) -> None:
    """The children of one IKE_SA."""
    for label, child in section.get("child-sas", {}).items():
        names = frozenset((ike, _text(child, "name") or label))
        for end, spi in (("local-host", "spi-in"), ("remote-host", "spi-out")):
            number = int(_text(child, spi) or "0", 16)
            if number:
                by_spi[str(ipaddress.ip_address(_text(section, end))), number] = names
        reqid = int(_text(child, "reqid") or "0")
        if reqid:
            by_reqid[reqid] = by_reqid.get(reqid, frozenset()) | names


def _text(section: Mapping[str, Any], key: str) -> str:
    value = section.get(key, b"")
    return value.decode() if isinstance(value, bytes) else ""
