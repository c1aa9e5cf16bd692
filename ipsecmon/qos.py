"""The nouns of queueing: what qdiscs and classes of this router counted, and events that changed something.

A queue is a qdisc or a class of one. What is said of a parent is said of its children too: never added up.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import NamedTuple, Optional

from ipsecmon.direction import Direction

__all__ = [
    "MAX_EVENT_TEXT",
    "NOWHERE",
    "QUEUE_CUMULATIVE",
    "QUEUE_EXTRAS",
    "QUEUE_LEVELS",
    "QUEUE_SUMS",
    "Event",
    "EventKind",
    "QueueConfig",
    "QueueIncrement",
    "QueueKey",
    "QueuePlace",
    "QueueReading",
    "event_text",
]

MAX_EVENT_TEXT = 400  # characters: what a dashboard shows in an annotation


class QueueKey(NamedTuple):
    """A qdisc or class of an interface; handle and parent as tc(8) prints them: '1:10', 'root'."""

    interface: str
    kind: str
    handle: str
    parent: str


class QueuePlace(NamedTuple):
    """The line whose packets it gets, empty where it is not those of one line, and which of them.

    IN: of an ifb that the line's ingress is redirected to, too.
    """

    line: str = ""
    direction: Direction = Direction.UNKNOWN


NOWHERE = QueuePlace()


@dataclass(frozen=True)
class QueueIncrement:
    """What happened in one qdisc or class in one interval, by its own counters.

    octets, packets: sent, link headers included. bridged_*: of these, while no agent ran.
    QUEUE_EXTRAS: None where its kind does not count that. ecn_marks: packets marked. new_flows: times that
    a flow began anew. memory_drops: for want of memory. lends, borrows: packets of an HTB class within its
    rate, and beyond it.
    Levels, at the interval's end: backlog_octets, backlog_packets.
    """

    key: QueueKey
    octets: int = 0
    packets: int = 0
    drops: int = 0
    overlimits: int = 0
    requeues: int = 0
    bridged_octets: int = 0
    bridged_packets: int = 0
    bridged_drops: int = 0
    ecn_marks: Optional[int] = None
    new_flows: Optional[int] = None
    memory_drops: Optional[int] = None
    lends: Optional[int] = None
    borrows: Optional[int] = None
    backlog_octets: int = 0
    backlog_packets: int = 0
    place: QueuePlace = NOWHERE


@dataclass(frozen=True)
class QueueReading:
    """What a queue said. numbers: by name, QUEUE_CUMULATIVE and those extras that its kind has.

    life: of its interface: what counted in another one is another queue.
    """

    key: QueueKey
    life: str
    numbers: Mapping[str, int]
    backlog_octets: int = 0
    backlog_packets: int = 0


QUEUE_CUMULATIVE = ("octets", "packets", "drops", "overlimits", "requeues")
QUEUE_LEVELS = ("backlog_octets", "backlog_packets")
QUEUE_EXTRAS = ("ecn_marks", "new_flows", "memory_drops", "lends", "borrows")
_NOT_SUMS = ("key", "place", *QUEUE_EXTRAS, *QUEUE_LEVELS)
QUEUE_SUMS = tuple(one.name for one in fields(QueueIncrement) if one.name not in _NOT_SUMS)


class QueueConfig(NamedTuple):
    """How one qdisc, class or filter is configured. what: 'qdisc', 'class' or 'filter'.

    place: where it is in the tree, whatever numbers the kernel gave it. digest: of its options. words: what
    people look for in them, by name. handle is empty for a filter.
    """

    what: str
    kind: str
    handle: str
    parent: str
    place: str
    digest: str
    words: Mapping[str, str]


class EventKind(str, enum.Enum):
    """What changed on this router, or was said of it. What happens to SAs is no such event."""

    QDISC_CHANGED = "qdisc-changed"
    RULES_CHANGED = "rules-changed"
    RULES_REPAIRED = "rules-repaired"
    MARK = "mark"


@dataclass(frozen=True)
class Event:
    """start_ns, end_ns: wall clock; equal for a moment. interface: of qdiscs, empty for others.

    count: how many things changed. text: one sentence, without control characters.
    """

    kind: EventKind
    start_ns: int
    end_ns: int
    text: str
    interface: str = ""
    count: int = 1


def event_text(said: str) -> str:
    """One line of at most MAX_EVENT_TEXT characters that a terminal can show."""
    plain = " ".join("".join(one if one.isprintable() else " " for one in said).split())
    return plain if len(plain) <= MAX_EVENT_TEXT else plain[: MAX_EVENT_TEXT - 1] + "…"
