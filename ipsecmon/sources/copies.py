"""Header copies from as many NFLOG sockets as there are: each reload that needs groups more opens one.

A group has one owner, and only a privileged process may bind one, through the very socket it was bound with:
so a socket stays as it is, with all its groups, as long as one of them is needed. A group that is bound and
not needed costs nothing, and is the first that the next counter gets.
"""

from __future__ import annotations

import select
from collections.abc import Collection, Iterable, Sequence
from typing import Optional, Protocol

from ipsecmon.errors import SourceError
from ipsecmon.packets import Packets

__all__ = ["MAX_SOCKETS", "Copies", "CopySocket"]

MAX_SOCKETS = (
    32  # each holds a decoder's buffer; so many reloads, all with counters more, are a restart's worth
)


class CopySocket(Protocol):
    @property
    def was_empty(self) -> bool: ...
    def fileno(self) -> int: ...
    def poll(self) -> list[Packets]: ...
    def dropped_datagrams(self) -> int: ...
    def fullness(self) -> float: ...
    @property
    def receive_buffer(self) -> int: ...
    @property
    def port(self) -> int: ...
    def tell_esp(self, groups: Collection[int]) -> None: ...
    def stop(self) -> None: ...


class Copies:
    """One source made of all sockets: readable when one of them is, drained when each was."""

    def __init__(self) -> None:
        self._sockets: list[tuple[CopySocket, frozenset[int]]] = []
        self._ready = select.epoll()
        self._dropped_before = 0
        self._esp_groups: Collection[int] = ()
        self.was_empty = False  # each of them, at some moment of the last poll

    def fileno(self) -> int:
        return self._ready.fileno()

    def unbound(self, groups: Iterable[int]) -> list[int]:
        """Those of them that no socket has, in order. Raises SourceError when there are sockets enough."""
        bound = {group for _, groups in self._sockets for group in groups}
        missing = [group for group in groups if group not in bound]
        if missing and len(self._sockets) >= MAX_SOCKETS:
            raise SourceError("too many reloads have added counters: restart needed")
        return missing

    def add(self, socket: CopySocket, groups: Sequence[int]) -> None:
        socket.tell_esp(self._esp_groups)
        self._sockets.append((socket, frozenset(groups)))
        self._ready.register(socket.fileno(), select.EPOLLIN)

    def tell_esp(self, groups: Collection[int]) -> None:
        """Of these groups, whatever socket has them, packets come with what tells their SA."""
        self._esp_groups = groups
        for socket, _ in self._sockets:
            socket.tell_esp(groups)

    def keep(self, needed: Collection[int]) -> None:
        """Close every socket none of whose groups is needed."""
        for socket, groups in list(self._sockets):
            if groups.isdisjoint(needed):
                self._sockets.remove((socket, groups))
                self._dropped_before += socket.dropped_datagrams()
                self._ready.unregister(socket.fileno())
                socket.stop()

    def poll(self) -> list[Packets]:
        """What is there now, at most one buffer full from each."""
        batches: list[Packets] = []
        self.was_empty = True
        for socket, _ in self._sockets:
            batches += socket.poll()
            self.was_empty = self.was_empty and socket.was_empty
        return batches

    def fullness(self) -> float:
        """Of the fullest of them: share of its receive buffer that is in use."""
        return max((socket.fullness() for socket, _ in self._sockets), default=0.0)

    def receive_buffer(self) -> Optional[int]:
        """Octets that the smallest of them has; None without any."""
        return min((socket.receive_buffer for socket, _ in self._sockets), default=None)

    def ports(self) -> list[int]:
        """By which the kernel tells whose group is whose."""
        return [socket.port for socket, _ in self._sockets]

    def dropped_datagrams(self) -> int:
        """Dropped by the kernel at all of them, since counting began."""
        return self._dropped_before + sum(socket.dropped_datagrams() for socket, _ in self._sockets)

    def stop(self) -> None:
        self.keep(())
        self._ready.close()
