"""Interfaces of tunnels with their counters, and what happens to them (rtnetlink(7)); and who is in L2TP.

No capability is needed for any of it. The kernel tells of an interface that goes with its last counters, so a
session that ended between two dumps is whole. Own codec: pyroute2 takes a millisecond for each interface,
and a concentrator has a thousand.
"""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Callable, NamedTuple, Optional

from ipsecmon.errors import DecodeError, SourceError
from ipsecmon.links import LinkEvent
from ipsecmon.model import Counts
from ipsecmon.sources.rtnetlink import RECEIVE, Dump, open_route_socket
from ipsecmon.sources.rule_counters import boot
from ipsecmon.wire.l2tp_text import decode_pppol2tp, decode_udp_peers
from ipsecmon.wire.links import (
    RTMGRP,
    decode_link_event,
    decode_link_events,
    encode_address_dump,
    encode_link_dump,
)

__all__ = ["L2tp", "LinkDump", "LinkHeard", "LinkSource", "read_l2tp"]

_BUFFER = 4 << 20  # asked for; rmem_max may allow less. News of one interface takes 4 KiB of it
_TRIES = 3  # of a dump that was interrupted by a change
_MOST_NEWS = 20_000  # of one hear(); what still comes waits for the next one
_PROC = Path("/proc/net")
_RUN = Path("/run")
_MOST_TEXT = 16 << 20  # octets; of /proc/net/udp at a hundred thousand sockets


class LinkDump(NamedTuple):
    """is_whole: nothing changed under way; else one that is missing may be there all the same."""

    events: list[LinkEvent]
    is_whole: bool


class LinkHeard(NamedTuple):
    """has_missed: events were lost."""

    events: list[LinkEvent]
    has_missed: bool


class L2tp(NamedTuple):
    """interfaces: of the kernel's L2TP sessions; None where it has no such table. gateways: the other ends of
    its L2TP tunnels, outside; those of a daemon that keeps data to itself are not known."""

    interfaces: Optional[frozenset[str]]
    gateways: frozenset[str]


class LinkSource:
    """Everything raises SourceError."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        self._news: Optional[socket.socket] = None
        self._sequence = 0
        self.boot = ""

    def start(self) -> None:
        """What happens from now on is heard."""
        with _translated():
            self.boot = boot()
            self._news = open_route_socket(RTMGRP)
            self._news.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
            self._news.setblocking(False)

    def stop(self) -> None:
        if self._news is not None:
            self._news.close()
            self._news = None

    def dump(self) -> LinkDump:
        """All interfaces, and the other ends of their addresses."""
        with _translated(), open_route_socket(0) as connection:
            for _ in range(_TRIES):
                links, is_whole = self._ask(connection, encode_link_dump)
                if is_whole:
                    break
            peers, _ = self._ask(connection, encode_address_dump)
            return LinkDump([*links, *peers], is_whole)

    def hear(self) -> LinkHeard:
        """All that came since the last call."""
        assert self._news is not None
        events: list[LinkEvent] = []
        has_missed = False
        with _translated():
            while len(events) < _MOST_NEWS:
                try:
                    events += decode_link_events(self._news.recv(RECEIVE))
                except BlockingIOError:
                    break
                except OSError as error:
                    if error.errno != errno.ENOBUFS:
                        raise
                    has_missed = True
                    self._counts.add("links", "missed-events")
        return LinkHeard(events, has_missed)

    def _ask(self, connection: socket.socket, encode: Callable[[int], bytes]) -> tuple[list[LinkEvent], bool]:
        self._sequence += 1
        dump = Dump(connection, encode(self._sequence), self._sequence)
        decoded = (decode_link_event(buffer, message) for buffer, message in dump.messages())
        return [event for event in decoded if event is not None], dump.is_whole


def read_l2tp(proc: Path = _PROC) -> L2tp:
    """What an unprivileged process sees of L2TP. Raises SourceError."""
    with _translated():
        table = _text(proc / "pppol2tp")
        sockets = [text for text in (_text(proc / name) for name in ("udp", "udp6")) if text is not None]
        peers = frozenset(peer for text in sockets for peer in decode_udp_peers(text))
        return L2tp(None if table is None else decode_pppol2tp(table), peers)


def is_pppoe(name: str, run: Path = _RUN, proc: Path = Path("/proc")) -> bool:
    """Whether the pppd of an interface says that it does PPPoE. False too where nothing can be read of it."""
    try:
        number = int((run / f"{name}.pid").read_bytes()[:16].split()[0])
        return b"pppoe" in (proc / str(number) / "cmdline").read_bytes()[:65536]
    except (OSError, ValueError, IndexError):
        return False


def _text(file: Path) -> Optional[str]:
    """None where there is no such file."""
    try:
        with file.open("rb") as opened:
            return opened.read(_MOST_TEXT).decode("ascii", "replace")
    except FileNotFoundError:
        return None


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (OSError, DecodeError) as error:
        raise SourceError(f"interfaces of tunnels cannot be read: {error}") from error
