"""Lives of tunnels' interfaces: what passed through each since the last time, exact through hangups.

In: dumps, news and last readings that the kernel tells, in the order in which they came; what the last agent
saved. Out: what passed, once. Birth: the kernel numbers interfaces upwards, so one with a higher number than
any before was made since, and counts from 0; one that is older and was not saved is a baseline. One that is
missing without a last reading is an unseen end: what it carried since its last reading is known to nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Optional

from ipsecmon.links import Link, LinkCounts, LinkEnd, LinkEvent, LinkNews, LinkPeer

__all__ = ["LINKS_KEPT", "LinkLives", "LinkPassed", "SavedLink", "SavedLinks"]

LINKS_KEPT = (
    16_384  # alive at once; as many sessions as a concentrator of a large site has. More are not counted
)
_NOTHING = LinkCounts()


class SavedLink(NamedTuple):
    ifindex: int
    name: str
    counts: LinkCounts


class SavedLinks(NamedTuple):
    """As the last agent left them. highest: the highest ifindex ever seen; None: nobody looked."""

    links: Sequence[SavedLink]
    highest: Optional[int]


class LinkPassed(NamedTuple):
    """peer: the other end's address inside, "" where none is known. counts: since the last time.

    is_alive: at the end. is_bridged: while no agent ran, or partly so.
    """

    link: Link
    peer: str
    counts: LinkCounts
    is_alive: bool
    is_bridged: bool


@dataclass
class _Life:
    link: Link
    booked: LinkCounts
    peer: str = ""
    is_bridged: bool = False
    has_ended: bool = False


class LinkLives:
    """dump() and event() as things are told, then settle(). dropped: interfaces beyond LINKS_KEPT;
    unseen_ends: of interfaces; both since the start."""

    def __init__(self, saved: SavedLinks) -> None:
        self._saved = {one.ifindex: one.counts for one in saved.links}
        self._highest = self._settled = saved.highest
        self._is_first = True
        self._lives: dict[int, _Life] = {}
        self._missing: set[int] = set()
        self.dropped = self.unseen_ends = 0

    def dump(self, events: Iterable[LinkEvent], is_whole: bool) -> None:
        """All that is there. is_whole: what is missing has ended."""
        there: set[int] = set()
        for event in events:
            self.event(event)
            if isinstance(event, LinkNews):
                there.add(event.link.ifindex)
        if is_whole:
            self._missing = self._lives.keys() - there

    def event(self, event: LinkEvent) -> None:
        if isinstance(event, LinkPeer):
            life = self._lives.get(event.ifindex)
            if life is not None:
                life.peer = event.address
        else:
            self._see(event.link)
            life = self._lives.get(event.link.ifindex)
            if isinstance(event, LinkEnd) and life is not None:
                life.has_ended = True

    def settle(self) -> list[LinkPassed]:
        """Of every interface that is there, or was until now."""
        for number in self._missing:
            self.unseen_ends += not self._lives[number].has_ended
            self._lives[number].has_ended = True
        self._missing = set()
        self.unseen_ends += len(self._saved)
        self._saved, self._is_first = {}, False
        found = [_passed(life) for life in self._lives.values()]
        self._lives = {number: life for number, life in self._lives.items() if not life.has_ended}
        for life in self._lives.values():
            life.booked, life.is_bridged = life.link.counts, False
        self._settled = self._highest = self._highest or 0
        return found

    def saved(self) -> SavedLinks:
        """For the next agent, right after settle()."""
        links = [SavedLink(number, life.link.name, life.booked) for number, life in self._lives.items()]
        return SavedLinks(links, self._highest)

    def _see(self, link: Link) -> None:
        life = self._lives.get(link.ifindex)
        if life is not None:
            if not life.has_ended:
                life.link = link._replace(counts=_later(life.link.counts, link.counts))
            return
        if len(self._lives) >= LINKS_KEPT:
            self.dropped += 1
            return
        was = self._saved.pop(link.ifindex, None)
        is_new = self._settled is not None and link.ifindex > self._settled
        booked = was if was is not None else _NOTHING if is_new else link.counts
        self._lives[link.ifindex] = _Life(link, booked, is_bridged=self._is_first)
        self._highest = max(self._highest or 0, link.ifindex)


def _passed(life: _Life) -> LinkPassed:
    """A counter that went back was set back, and counts from 0."""
    now, was = life.link.counts, life.booked
    differences = (new - old if new >= old else new for new, old in zip(now, was))
    return LinkPassed(life.link, life.peer, LinkCounts(*differences), not life.has_ended, life.is_bridged)


def _later(one: LinkCounts, other: LinkCounts) -> LinkCounts:
    """News that were on their way when a dump was made tell less than it."""
    return LinkCounts(*map(max, one, other))
