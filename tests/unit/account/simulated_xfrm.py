"""A kernel's SAs as net/xfrm keeps them, and an agent that polls it: the oracle of account/tunnels.py.

The truth is what passed, summed as it passes; nothing here is computed the way the accounting does it.
Numbers that choose (`pick`) come from outside, so that a failing run can be made smaller.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Optional, Union

from ipsecmon.account.tunnel_match import Place, TunnelMatcher, TunnelRule
from ipsecmon.account.tunnels import Tunnels, Volume
from ipsecmon.ipsec import (
    AntiReplay,
    Lifetime,
    Mark,
    SaEnd,
    SaEvent,
    SaFlush,
    SaId,
    SaNews,
    SaSoftExpiry,
    SavedSas,
    SecurityAssociation,
)
from ipsecmon.model import Direction, TunnelIncrement
from tests.unit.wire.both_ends import TablesOfRows

__all__ = ["OWN", "PEERS", "RULES", "SimulatedAgent", "SimulatedXfrm", "State"]

OWN = ("203.0.113.1", "203.0.113.5", "203.0.113.9")
PEERS = ("198.51.100.1", "198.51.100.2")
RULES = [TunnelRule(f"to-{peer}", peers=frozenset((peer,))) for peer in PEERS]
NO_LIMITS = Lifetime(None, None, None, None, None, None, None, None)
OVERRUN = "overrun"


@dataclass(eq=False)
class State:
    """One SA, and what passed through it in this life."""

    source: str
    destination: str
    spi: int
    reqid: int
    added_s: int
    octets: int = 0
    packets: int = 0
    used_s: Optional[int] = None
    highest: int = 0
    is_told: bool = False  # a dump or event that the agent got spoke of it
    passed: Counter[str] = field(default_factory=Counter)  # in this life alone

    @property
    def place(self) -> Place:
        return place_of(self)

    def sa(self, is_expiry: bool = False) -> SecurityAssociation:
        state = AntiReplay(self.highest, 0, 64, 0)
        return SecurityAssociation(
            source=self.source,
            destination=self.destination,
            family=2,
            spi=self.spi,
            protocol=50,
            mode="tunnel",
            reqid=self.reqid,
            octets=self.octets,
            packets=self.packets,
            added_s=self.added_s,
            used_s=self.used_s,
            late_packets=0,
            replayed_packets=0,
            integrity_failures=0,
            replay_window=0,
            flags=0,
            lifetime=NO_LIMITS,
            selector=None,
            mark=Mark(0, 0),
            anti_replay=None if is_expiry else state,
            is_keyed=not is_expiry,
        )


def place_of(sa: Union[State, SecurityAssociation]) -> Place:
    if sa.source in OWN:
        return Place(f"to-{sa.destination}", Direction.OUT)
    return Place(f"to-{sa.source}", Direction.IN)


def _place(told: TunnelIncrement) -> Place:
    return Place(told.key.tunnel, told.key.direction)


class SimulatedXfrm:
    """now_s: the wall clock. queue: events that the agent has not read; delayed: not even queued yet.
    moved_unused: with all counters at 0, so that nobody can tell them from new ones.

    is_hasty: an SPI may be used again for the same peer within the second in which it was added. Not one
    that MIGRATE left, nor before its DELSA: requests take turns (xfrm_cfg_mutex).
    """

    def __init__(self, is_hasty: bool = True) -> None:
        self.is_hasty = is_hasty
        self.now_s = 1000
        self.states: dict[tuple[str, int], State] = {}
        self.queue: list[tuple[Union[SaEvent, str], Optional[State]]] = []
        self.delayed: list[tuple[SaEvent, State]] = []
        self.truth: dict[Place, Volume] = {}
        self.every: list[State] = []
        self.added = 0
        self.moved_unused = 0
        self._taken: set[SaId] = set()

    def add(self, pick: int) -> None:
        """A new SA of any peer and direction, also beside one that is there; few SPIs, so they are reused."""
        peer, spi = PEERS[pick % 2], 0x100 + pick // 4 % 5
        ends = (OWN[0], peer) if pick // 2 % 2 else (peer, OWN[0])
        if (ends[1], spi) not in self.states:
            made = State(*ends, spi, reqid=pick % 2 + 1, added_s=self.now_s)
            if made.sa().id not in self._taken:
                self.added += 1
                self._insert(made)
                self._notify(SaNews(made.sa(), False), made)

    def carry(self, pick: int) -> None:
        state = self._any(pick)
        if state is not None:
            packets = 1 + pick // 7 % 5
            octets = packets * (40 + pick % 1400)
            state.octets += octets
            state.packets += packets
            state.highest += packets
            state.used_s = self.now_s if state.used_s is None else state.used_s
            state.passed.update(octets=octets, packets=packets)
            was = self.truth.get(state.place, Volume(0, 0))
            self.truth[state.place] = Volume(was.octets + octets, was.packets + packets)

    def delete(self, pick: int) -> None:
        state = self._take(pick)
        if state is not None:
            self._notify(SaEnd(state.sa(), False), state)

    def delete_slowly(self, pick: int) -> None:
        """The SA is gone and its event has not been sent yet."""
        state = self._take(pick)
        if state is not None:
            self._taken.add(state.sa().id)
            self.delayed.append((SaEnd(state.sa(), False), state))

    def expire(self, pick: int) -> None:
        state = self._take(pick)
        if state is not None:
            self._notify(SaEnd(state.sa(is_expiry=True), True), state)

    def expire_softly(self, pick: int) -> None:
        state = self._any(pick)
        if state is not None:
            self._notify(SaSoftExpiry(state.sa(is_expiry=True)), state)

    def update(self, pick: int) -> None:
        state = self._any(pick)
        if state is not None:
            self._notify(SaNews(state.sa(), True), state)

    def flush(self, _: int) -> None:
        self.states.clear()
        self.queue.append((SaFlush(50), None))

    def migrate(self, pick: int) -> None:
        """XFRM_MSG_MIGRATE: a copy with all counters, and no SA event."""
        state = self._take(pick)
        if state is not None:
            self._taken.add(state.sa().id)
            self.moved_unused += not state.packets
            self._insert(self._moved(state, pick) or state)

    def move(self, pick: int) -> None:
        """MOBIKE as IKE daemons do it: look, delete, add with the counters seen."""
        state = self._take(pick)
        if state is not None:
            moved = self._moved(state, pick) or state
            self.moved_unused += not state.packets
            self._notify(SaEnd(state.sa(), False), state)
            self._insert(moved)
            self._notify(SaNews(moved.sa(), False), moved)

    def wait(self, pick: int) -> None:
        self.now_s += 1 + pick % 3

    def overrun(self, pick: int) -> None:
        """The socket is full: the last events are lost, and that some were is told."""
        kept = pick % (len(self.queue) + 1)
        del self.queue[kept:]
        self.queue.append((OVERRUN, None))

    def _moved(self, state: State, pick: int) -> Optional[State]:
        """To another of our addresses, if its SPI is free there."""
        there = {own: OWN[(at + 1 + pick // 64 % 2) % 3] for at, own in enumerate(OWN)}
        source, destination = (
            there.get(state.source, state.source),
            there.get(state.destination, state.destination),
        )
        if (destination, state.spi) in self.states:
            return None
        copy = State(source, destination, state.spi, state.reqid, state.added_s, state.octets, state.packets)
        copy.used_s, copy.highest = state.used_s, state.highest
        return copy

    def _any(self, pick: int) -> Optional[State]:
        return list(self.states.values())[pick % len(self.states)] if self.states else None

    def _take(self, pick: int) -> Optional[State]:
        state = self._any(pick)
        return state and self.states.pop((state.destination, state.spi))

    def _insert(self, state: State) -> None:
        self.states[state.destination, state.spi] = state
        if not self.is_hasty:
            self._taken.add(state.sa().id)
        if state not in self.every:
            self.every.append(state)

    def _notify(self, event: SaEvent, state: State) -> None:
        self.queue.append((event, state))

    def send_delayed(self) -> None:
        self.queue += self.delayed
        self.delayed.clear()


class SimulatedAgent:
    """Polls; ends without a word and starts again; sums what it was told."""

    def __init__(self, kernel: SimulatedXfrm) -> None:
        self.kernel = kernel
        self.totals: dict[Place, Counter[str]] = {}
        self._rules_before: dict[Place, Volume] = {}
        self._saved = SavedSas()
        self._start()

    def _start(self) -> None:
        matcher = TunnelMatcher(RULES)
        matcher.learn((), OWN)
        self.tunnels = Tunnels(matcher, self._saved)
        self._tables = TablesOfRows()
        self.kernel.queue.clear()

    def restart(self) -> None:
        """Since its last settling, nothing was saved; the new one has a socket of its own."""
        self._start()

    def poll(self, drains_first: bool, between: tuple[tuple[str, int], ...] = ()) -> None:
        """between: what the kernel does after the dump and before the events are read."""
        if drains_first:
            self._drain()
        rules_now = dict(self.kernel.truth)
        for state in self.kernel.states.values():
            state.is_told = True
        rows = [state.sa() for state in self.kernel.states.values()]
        self.tunnels.dump(self._tables.table(rows), self.kernel.now_s)
        for name, pick in between:
            getattr(self.kernel, name)(pick)
        self._drain()
        told = self.tunnels.settle(self._rules(), self.kernel.now_s)
        for one in told:
            self._sum(one)
        alive = Counter(place_of(sa) for sa in self.tunnels.saved().sas)
        assert alive == Counter({_place(one): one.sas for one in told if one.sas})
        self._saved = self.tunnels.saved()
        self._rules_before = rules_now

    def _drain(self) -> None:
        for event, state in self.kernel.queue:
            if isinstance(event, str):
                self.tunnels.miss_events()
            else:
                self.tunnels.event(event)
            if state is not None:
                state.is_told = True
        self.kernel.queue.clear()

    def _rules(self) -> dict[Place, Volume]:
        """All that passed since before the last dump."""
        none = Volume(0, 0)
        seen = {}
        for place in {state.place for state in self.kernel.every}:
            now, before = self.kernel.truth.get(place, none), self._rules_before.get(place, none)
            seen[place] = Volume(now.octets - before.octets, now.packets - before.packets)
        return seen

    def _sum(self, told: TunnelIncrement) -> None:
        total = self.totals.setdefault(_place(told), Counter())
        for name in (
            "octets",
            "packets",
            "error_bound_octets",
            "error_bound_packets",
            "unseen_ends",
            "unbounded_ends",
            "births",
            "rekeys",
        ):
            assert getattr(told, name) >= 0
            total[name] += getattr(told, name)
        total["lost_packets"] += told.lost_packets
