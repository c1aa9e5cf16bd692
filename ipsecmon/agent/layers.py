"""Inside tunnels layer by layer: from their interfaces to increments that wait for their batch.

A poll is: all interfaces, then every event that came until after them, then the arithmetic, as with SAs. The
readings of interfaces go into the store with the increments, so that a restart of the agent loses nothing.
Without a counter with `inside` nothing is opened and nothing is read.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Callable, NamedTuple, Optional, Protocol

from ipsecmon.account.carried import Carried
from ipsecmon.account.layers import Layers, LinkFacts
from ipsecmon.account.link_lives import LinkLives, SavedLink, SavedLinks
from ipsecmon.config import Config
from ipsecmon.errors import IpsecmonError
from ipsecmon.links import PPP, LinkCounts, LinkEvent, LinkNews
from ipsecmon.model import Batch, CounterKey, Counts, Direction, Layer, ObservationPoint, Reading

__all__ = ["LINK_READINGS", "LayerMeter", "Told", "inside_of", "saved_links"]

_logger = logging.getLogger(__name__)
_HIGHEST = ""  # the name of the reading that holds the highest ifindex: no interface has it
LINK_READINGS = ObservationPoint.IP


class _Dump(Protocol):
    @property
    def events(self) -> list[LinkEvent]: ...
    @property
    def is_whole(self) -> bool: ...


class _Heard(Protocol):
    @property
    def events(self) -> list[LinkEvent]: ...


class _L2tp(Protocol):
    @property
    def interfaces(self) -> Optional[frozenset[str]]: ...
    @property
    def gateways(self) -> frozenset[str]: ...


class _Source(Protocol):
    boot: str

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def dump(self) -> _Dump: ...
    def hear(self) -> _Heard: ...


class _Saved(Protocol):
    @property
    def octets(self) -> int: ...
    @property
    def packets(self) -> int: ...
    @property
    def birth(self) -> str: ...
    @property
    def at_ns(self) -> int: ...


class Told(NamedTuple):
    """What is asked besides the interfaces: of L2TP, names of road warriors, which interfaces are PPPoE.

    lines: interfaces of the config's lines, which are no tunnel's inside.
    """

    l2tp: Callable[[], _L2tp]
    names: Callable[[], Mapping[str, str]]
    is_pppoe: Callable[[str], bool]
    lines: Collection[str] = ()


class LayerMeter:
    """start() once, then read() for each batch, complete() it, close() when the store has it."""

    def __init__(self, source: _Source, inside: Mapping[str, Layer], told: Told, counts: Counts) -> None:
        self._source = source
        self._inside = inside
        self._told = told
        self._counts = counts
        self._layers = Layers(inside)
        self._lives: Optional[LinkLives] = None
        self._saved: list[Reading] = []
        self._strangers: dict[str, bool] = {}
        self._trouble = ""

    @property
    def is_wanted(self) -> bool:
        return bool(self._inside)

    def start(self, saved: Mapping[CounterKey, _Saved]) -> None:
        """Go on where the last agent stopped. What cannot be read is said, and tried with each read()."""
        if not self._inside:
            return
        try:
            self._source.start()
        except IpsecmonError as error:
            self._complain(error)
            return
        self._lives = LinkLives(saved_links(saved, self._source.boot))

    def stop(self) -> None:
        self._source.stop()

    def change(self, inside: Mapping[str, Layer], told: Told) -> None:
        """Other tunnels, files and lines from now on."""
        self._inside, self._told = inside, told
        self._layers.change(inside)

    def hear(self) -> None:
        """Take in what happened to interfaces since the last time: the kernel's buffer must not fill."""
        if self._lives is None:
            return
        try:
            self._take_in(self._lives, self._source.hear().events)
        except IpsecmonError as error:
            self._complain(error)

    def read(self, carried: Carried) -> None:
        """All interfaces, and all that happened to them until now. carried: by the SAs at this moment."""
        if not self._inside:
            return
        if self._lives is None:
            self.start({})
        lives = self._lives
        if lives is None:
            return
        try:
            dump = self._source.dump()
            facts = self._facts(carried, dump.events)
            heard = self._source.hear()
        except (IpsecmonError, OSError) as error:
            self._complain(error)
            return
        self._trouble = ""
        missed = lives.unseen_ends, lives.dropped
        lives.dump(dump.events, dump.is_whole)
        self._take_in(lives, heard.events)
        self._layers.book(lives.settle(), facts)
        self._count(lives.unseen_ends - missed[0], lives.dropped - missed[1])
        self._saved = list(_readings(lives.saved(), self._source.boot))

    def complete(self, batch: Batch) -> Batch:
        """With the layers of its tunnels."""
        return self._layers.batch(batch) if self._inside else batch

    def saved(self) -> list[Reading]:
        """For the store, with the increments: as they were when these were booked."""
        return self._saved

    def close(self) -> None:
        """The store has all that was told."""
        self._layers.close()

    def describe(self) -> dict[str, Any]:
        return {
            "inside": {name: layer.value for name, layer in self._inside.items()},
            "unclaimed": list(self._layers.unclaimed),
            "shared": {name: list(tunnels) for name, tunnels in self._layers.shared.items()},
            "error": self._trouble,
        }

    def _take_in(self, lives: LinkLives, events: Iterable[LinkEvent]) -> None:
        for event in events:
            lives.event(event)

    def _facts(self, carried: Carried, links: Iterable[LinkEvent]) -> LinkFacts:
        """What is of PPP alone is not asked where nobody wants it."""
        if Layer.L2TP not in self._inside.values():
            return LinkFacts(carried)
        told = self._told.l2tp()
        sessions = [one.link.name for one in links if isinstance(one, LinkNews) and one.link.kind == PPP]
        self._strangers = {
            name: self._strangers[name] if name in self._strangers else self._told.is_pppoe(name)
            for name in sessions
        }
        pppoe = {name for name, is_pppoe in self._strangers.items() if is_pppoe}
        return LinkFacts(
            carried, told.interfaces, told.gateways, pppoe.union(self._told.lines), self._told.names()
        )

    def _count(self, unseen_ends: int, dropped: int) -> None:
        if unseen_ends:
            self._counts.add("links", "unseen-ends", unseen_ends)
        if dropped:
            self._counts.add("links", "uncounted", dropped)

    def _complain(self, error: Exception) -> None:
        self._counts.add("links", "failed-reads")
        if str(error) != self._trouble:
            _logger.error("layers inside tunnels cannot be read, counters bridge it error=%s", error)
        self._trouble = str(error)


def inside_of(config: Config) -> dict[str, Layer]:
    """What the SAs of each tunnel carry, of those that say it."""
    return {counter.name: Layer(counter.inside) for counter in config.counters if counter.inside}


def saved_links(saved: Mapping[CounterKey, _Saved], boot: str) -> SavedLinks:
    """From the readings that the store has: those of its last commit that had any. boot: of now."""
    marker = saved.get(CounterKey(_HIGHEST, Direction.UNKNOWN, LINK_READINGS))
    if marker is None:
        return SavedLinks((), None)
    if marker.birth != boot:
        return SavedLinks((), 0)  # everything here was made since
    ways: dict[str, dict[Direction, _Saved]] = {}
    for key, one in saved.items():
        is_one = key.observed_at is LINK_READINGS and key.name != _HIGHEST
        if is_one and one.birth.startswith(f"{boot}/") and one.at_ns == marker.at_ns:
            ways.setdefault(key.name, {})[key.direction] = one
    both = {name: (way[Direction.IN], way[Direction.OUT]) for name, way in ways.items() if len(way) == 2}
    return SavedLinks([_saved_link(name, *way) for name, way in both.items()], marker.octets)


def _saved_link(name: str, inbound: _Saved, outbound: _Saved) -> SavedLink:
    counts = LinkCounts(inbound.octets, inbound.packets, outbound.octets, outbound.packets)
    return SavedLink(int(inbound.birth.rpartition("/")[2]), name, counts)


def _readings(saved: SavedLinks, boot: str) -> Iterator[Reading]:
    """One a direction of each interface, whose names are used again; and the highest number."""
    yield Reading(CounterKey(_HIGHEST, Direction.UNKNOWN, LINK_READINGS), saved.highest or 0, 0, boot)
    for ifindex, name, one in saved.links:
        birth = f"{boot}/{ifindex}"
        inbound, outbound = (CounterKey(name, way, LINK_READINGS) for way in (Direction.IN, Direction.OUT))
        yield Reading(inbound, one.in_octets, one.in_packets, birth)
        yield Reading(outbound, one.out_octets, one.out_packets, birth)
