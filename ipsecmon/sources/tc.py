"""Qdiscs and classes of the line's interfaces, and of the ifb devices that what comes in is redirected to.

By rtnetlink(7), tc(8): dumps, and the news of the group RTNLGRP_TC. Neither needs a capability. Out: what
each qdisc and class counted, with the last words of those that end, and how all of it is configured.

Own codec and not pyroute2's: a digest needs options as the kernel wrote them, whatever their form, and
news of a deletion its counters.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple, Optional

from ipsecmon.errors import DecodeError, SourceError
from ipsecmon.qos import QueueConfig, QueueKey, QueueReading
from ipsecmon.sources.rtnetlink import RECEIVE, open_route_socket
from ipsecmon.sources.rule_counters import boot
from ipsecmon.sources.tc_dumps import TcDumps
from ipsecmon.sources.tc_tree import describe_tree
from ipsecmon.wire.netlink import pull_messages
from ipsecmon.wire.tc import (
    CLSACT,
    EGRESS,
    INGRESS,
    ROOT,
    RTMGRP_TC,
    TcObject,
    What,
    decode_tc,
    is_deletion,
    render_handle,
    render_parent,
)
from ipsecmon.wire.tc_stats import TcStats

__all__ = ["MAX_IFBS", "IngressQueue", "RootQueue", "TcNews", "TcSource", "TcState"]

MAX_IFBS = 8  # that one line's ingress is redirected to
MAX_FILTER_PARENTS = 64  # qdiscs and classes that are asked for their filters
_CLASSFUL = frozenset(
    {"cbq", "drr", "ets", "hfsc", "htb", "qfq"}
)  # others' classes are flows, bands or queues
_NOTHING = "noqueue"
_NEWS_BUFFER = 1 << 20  # octets; thousands of classes made by one script
_NEWS_READS = 4096  # in one go; the rest is read with the next


class RootQueue(NamedTuple):
    """drops: packets, of all queues below it too. backlog_*: what waits now."""

    kind: str
    handle: int
    drops: int
    backlog_octets: int
    backlog_packets: int


class IngressQueue(NamedTuple):
    """What stands between an interface and the rules: its ingress qdisc, and the roots of the ifb devices
    that this leads to. life: which these are. drops, backlog_*: of all of them.
    """

    life: str = ""
    drops: int = 0
    backlog_octets: int = 0
    backlog_packets: int = 0


@dataclass(frozen=True)
class TcState:
    """interfaces: those that are there, with the ifb devices. roots, ingress: by interface.

    origins: of each ifb device, the interfaces whose ingress leads to it.
    """

    readings: Sequence[QueueReading]
    interfaces: Sequence[str]
    roots: Mapping[str, RootQueue]
    origins: Mapping[str, Collection[str]] = field(default_factory=dict)
    ingress: Mapping[str, IngressQueue] = field(default_factory=dict)


@dataclass(frozen=True)
class TcNews:
    """ends: last words. has_any: something about tc was told. has_missed: the kernel had no room for all."""

    ends: Sequence[QueueReading] = ()
    has_any: bool = False
    has_missed: bool = False


class TcSource:
    """last: what poll() found; None where it failed, and then error says why."""

    def __init__(self) -> None:
        self._boot = boot()
        self._dumps = TcDumps()
        self._news: Optional[socket.socket] = None
        self._names: dict[int, str] = {}
        self._origins: dict[str, frozenset[str]] = {}
        self.last: Optional[TcState] = None
        self.error = ""

    def start(self) -> None:
        """Begin to listen. Raises SourceError."""
        try:
            self._news = open_route_socket(RTMGRP_TC)
            self._news.setblocking(False)
            with suppress(OSError):
                self._news.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _NEWS_BUFFER)
        except OSError as error:
            raise SourceError(f"changes of queueing disciplines cannot be heard: {error.strerror}") from error

    def fileno(self) -> int:
        assert self._news is not None
        return self._news.fileno()

    def stop(self) -> None:
        self._dumps.stop()
        if self._news is not None:
            self._news.close()
            self._news = None

    def poll(self, names: Sequence[str]) -> Mapping[str, RootQueue]:
        """Read everything; the root qdiscs of what is there. Never raises: last and error tell."""
        try:
            self.last = self._state(names)
            self.error = ""
        except SourceError as error:
            self.last, self.error = None, str(error)
        return self.last.roots if self.last else {}

    def hear(self) -> TcNews:
        """Everything that was told since the last time."""
        ends: list[QueueReading] = []
        has_any = has_missed = False
        for _ in range(_NEWS_READS):
            try:
                assert self._news is not None
                datagram = self._news.recv(RECEIVE)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise SourceError(f"changes of queueing disciplines: {error.strerror}") from error
                has_missed = True
                continue
            has_any = True
            try:
                ends += self._ends(datagram)
            except DecodeError:
                has_missed = True
        return TcNews(ends, has_any, has_missed)

    def configuration(self, names: Sequence[str]) -> dict[str, list[QueueConfig]]:
        """By interface, of those that are there. Learns which ifb devices are theirs. Raises SourceError."""
        found = self._configured(names)
        self._origins = _origins(found)
        found.update(self._configured(list(self._origins)))
        return {name: describe_tree(objects) for name, objects in found.items()}

    def _configured(self, names: Sequence[str]) -> dict[str, list[TcObject]]:
        indices = _indices(names)
        found: dict[str, list[TcObject]] = {name: [] for name in indices}
        for one in self._objects(indices):
            found[self._names[one.ifindex]].append(one)
        for name, index in indices.items():
            for parent in _filter_parents(found[name]):
                found[name] += self._dumps.read(What.FILTER, index, parent)
        return found

    def _state(self, names: Sequence[str]) -> TcState:
        indices = _indices([*names, *(one for one in self._origins if one not in names)])
        objects = [one for one in self._objects(indices) if one.kind != _NOTHING]
        roots = {
            self._names[one.ifindex]: _root(one.kind, one.handle, one.stats)
            for one in objects
            if one.what is What.QDISC and one.parent == ROOT and one.stats
        }
        readings = [reading for one in objects if (reading := self._reading(one)) is not None]
        ingress = {name: self._ingress(name, objects) for name in names}
        return TcState(readings, list(indices), roots, self._origins, ingress)

    def _ingress(self, name: str, objects: Sequence[TcObject]) -> IngressQueue:
        """A policer drops at the ingress qdisc, a shaper at the root of an ifb."""
        stands = {origin: ROOT for origin, fed in self._origins.items() if name in fed}
        stands[name] = CLSACT
        found = IngressQueue()
        for one in objects:
            if one.what is What.QDISC and one.stats and stands.get(self._names[one.ifindex]) == one.parent:
                found = IngressQueue(
                    f"{found.life}/{one.ifindex}.{one.kind}.{one.handle:x}",
                    found.drops + one.stats.drops,
                    found.backlog_octets + one.stats.backlog_octets,
                    found.backlog_packets + one.stats.backlog_packets,
                )
        return found

    def _objects(self, indices: Mapping[str, int]) -> list[TcObject]:
        """Qdiscs of these interfaces, and classes where there are any that count."""
        self._names.update((index, name) for name, index in indices.items())
        wanted = set(indices.values())
        qdiscs = [one for one in self._dumps.read(What.QDISC) if one.ifindex in wanted]
        classful = dict.fromkeys(one.ifindex for one in qdiscs if one.kind in _CLASSFUL)
        return qdiscs + [
            one for index in classful for one in self._dumps.read(What.CLASS, index) if one.kind in _CLASSFUL
        ]

    def _reading(self, one: TcObject) -> Optional[QueueReading]:
        name, stats = self._names.get(one.ifindex), one.stats
        if name is None or stats is None:
            return None
        key = QueueKey(name, one.kind, render_handle(one.handle, one.what), render_parent(one.parent))
        numbers = {
            "octets": stats.octets,
            "packets": stats.packets,
            "drops": stats.drops,
            "overlimits": stats.overlimits,
            "requeues": stats.requeues,
            **stats.extras,
        }
        life = f"{self._boot}/{one.ifindex}"
        return QueueReading(key, life, numbers, stats.backlog_octets, stats.backlog_packets)

    def _ends(self, datagram: bytes) -> Iterator[QueueReading]:
        for message in pull_messages(datagram):
            one = decode_tc(datagram, message)
            if one is None or not is_deletion(message) or one.kind == _NOTHING:
                continue
            if one.what is What.QDISC or (one.what is What.CLASS and one.kind in _CLASSFUL):
                reading = self._reading(one)
                if reading is not None:
                    yield reading


def _root(kind: str, handle: int, stats: TcStats) -> RootQueue:
    return RootQueue(kind, handle, stats.drops, stats.backlog_octets, stats.backlog_packets)


def _indices(names: Sequence[str]) -> dict[str, int]:
    """Of the interfaces that are there."""
    found = {}
    for name in names:
        with suppress(OSError):
            found[name] = socket.if_nametoindex(name)
    return found


def _origins(found: Mapping[str, Sequence[TcObject]]) -> dict[str, frozenset[str]]:
    """Of the first devices that ingress filters lead to, and that are none of these interfaces."""
    fed: dict[int, set[str]] = {}
    for origin, objects in found.items():
        for one in objects:
            if one.what is What.FILTER and one.config.redirect and one.parent in (INGRESS, 0xFFFF0000):
                fed.setdefault(one.config.redirect, set()).add(origin)
    names = {}
    for index in sorted(fed):
        with suppress(OSError):
            names[socket.if_indextoname(index)] = frozenset(fed[index])
    return dict([one for one in names.items() if one[0] not in found][:MAX_IFBS])


def _filter_parents(objects: Sequence[TcObject]) -> list[int]:
    """Where filters may stand: qdiscs and classes that have a number, and both sides of clsact."""
    parents: dict[int, None] = {}
    for one in objects:
        if one.parent == CLSACT:
            parents[INGRESS] = None
            if one.kind == "clsact":
                parents[EGRESS] = None
        elif one.kind in _CLASSFUL or (one.what is What.QDISC and one.handle):
            parents[one.handle] = None
    return list(parents)[:MAX_FILTER_PARENTS]
