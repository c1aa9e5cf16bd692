"""The queues of a line in one window: which are its, in which direction, and which of them are the lowest."""

from __future__ import annotations

from collections.abc import Collection
from typing import Optional

from ipsecmon.account.queue_shares import Leaf
from ipsecmon.account.queues import way_on_line
from ipsecmon.agent.compare_bins import Bins, Volumes
from ipsecmon.config import Line
from ipsecmon.model import Direction
from ipsecmon.qos import QueueKey

__all__ = ["leaves_of", "queues_of"]

_FAIR = frozenset({"fq_codel", "fq_pie", "fq", "sfq", "cake", "drr", "qfq", "choke"})  # treat flows apart


def queues_of(line: Line, way: Direction, bins: Bins) -> dict[str, Volumes]:
    """By the name of their row. Inbound those of ifb devices, and the ingress qdisc."""
    found: dict[str, Volumes] = {}
    for key, volumes in bins.queues.items():
        if _way(key, line, bins) is way:
            name = _name(key, line)
            found[name] = _added(found[name], volumes) if name in found else volumes
    return found


def _way(key: QueueKey, line: Line, bins: Bins) -> Optional[Direction]:
    """None: not the line's. An interface is by what the config says now, an ifb by what it last was."""
    if key.interface in line.interfaces:
        return way_on_line(key.kind)
    place = bins.places.get(key)
    return place.direction if place and place.line == line.name else None


def _name(key: QueueKey, line: Line) -> str:
    """With the interface, but on the only one of a line."""
    name = f"{key.kind} {key.handle}"
    return name if [*line.interfaces] == [key.interface] else f"{key.interface} {name}"


def _added(one: Volumes, other: Volumes) -> Volumes:
    """The same queue below another parent."""
    return Volumes(one.octets + other.octets, one.packets + other.packets, one.lost + other.lost)


def leaves_of(line: Line, header: float, bins: Bins) -> list[Leaf]:
    return [
        Leaf(one.octets - header * one.packets, one.packets, one.lost, _is_fair(key, bins.queues))
        for key, one in bins.queues.items()
        if key.interface in line.interfaces and _is_leaf(key, bins.queues)
    ]


def _is_leaf(key: QueueKey, queues: Collection[QueueKey]) -> bool:
    """The lowest class, or where there is none the qdisc: a class tells all of what is below it."""
    major, _, minor = key.handle.partition(":")
    below = [one for one in queues if one.interface == key.interface and one != key and _is_class(one)]
    if minor:
        return key.kind not in _FAIR and all(one.parent != key.handle for one in below)
    is_root = key.parent == "root"
    return is_root and not any(one.kind not in _FAIR and one.handle.startswith(f"{major}:") for one in below)


def _is_fair(key: QueueKey, queues: Collection[QueueKey]) -> bool:
    """It, or the qdisc below it, keeps flows apart."""
    own = [one for one in queues if one.interface == key.interface and key.handle in (one.handle, one.parent)]
    return any(one.kind in _FAIR for one in own)


def _is_class(key: QueueKey) -> bool:
    return bool(key.handle.partition(":")[2])
