"""Named tunnels: what passed through the SAs of each, by direction.

In: dumps and events (sa_lives.py), rules that name tunnels (tunnel_match.py), and what rule counters saw.
Out: an increment a tunnel and direction. Only ESP and AH are counted: an IPComp or IPIP SA carries the same
packets as the ESP around it. Totals never decrease; where the end of an SA was not seen, an increment says
by how much it may be too low at most.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Optional

from ipsecmon.account.sa_life import Passed
from ipsecmon.account.sa_lives import SaLives
from ipsecmon.account.tunnel_levels import Flow, Level, Share, TunnelLevels
from ipsecmon.account.tunnel_match import Place, TunnelMatcher
from ipsecmon.ipsec import SaEvent, SaId, SecurityAssociation

__all__ = ["SavedSas", "TunnelIncrement", "Tunnels", "Volume"]

COUNTED = (50, 51)  # ESP, AH
RULES_KEPT = 360  # settlings: an hour of 10 s; an SA that was unread for longer has no bound


class Volume(NamedTuple):
    """What a rule counter saw."""

    octets: int
    packets: int


@dataclass(frozen=True)
class SavedSas:
    """What an agent leaves for the next one."""

    sas: tuple[SecurityAssociation, ...] = ()
    since_s: Optional[int] = None
    awaited: frozenset[SaId] = frozenset()  # read before the last settling: no bound is known for these


@dataclass(frozen=True)
class TunnelIncrement:
    """What happened in one tunnel and direction. place.tunnel: None is every SA that no rule names.

    octets: inner packets, IP headers included; of these derived_octets are headers that the SA did not
    count, payload_octets what it did count, in transport and BEET mode. bridged_*: while no agent ran.
    error_bound_*: the true numbers are at most so much higher, because SAs, unseen_ends of them, ended
    with no last reading; unbounded_ends of these had no rule counter either.
    lost_packets: on the path, certain; open_packets: missing, may yet come, a level.
    sas, sas_without_anti_replay (whose path loss is not known): alive now. last_used_s: by the wall clock;
    where the kernel does not tell, of the last poll that saw it used, and None before any.
    """

    place: Place
    octets: int = 0
    packets: int = 0
    payload_octets: int = 0
    derived_octets: int = 0
    bridged_octets: int = 0
    bridged_packets: int = 0
    error_bound_octets: int = 0
    error_bound_packets: int = 0
    unseen_ends: int = 0
    unbounded_ends: int = 0
    rekeys: int = 0
    lost_packets: int = 0
    late_packets: int = 0
    replayed_packets: int = 0
    integrity_failures: int = 0
    open_packets: int = 0
    sas: int = 0
    sas_without_anti_replay: int = 0
    last_used_s: Optional[int] = None


class Tunnels:
    """dump(), event() and miss_events() are those of SaLives; settle() closes a poll."""

    def __init__(self, matcher: TunnelMatcher, saved: SavedSas = SavedSas()) -> None:  # noqa: B008 - frozen
        self._levels = TunnelLevels(matcher)
        self._lives = SaLives(saved.sas, saved.since_s, saved.awaited)
        self._levels.update(self._lives.touched())
        self._rules: deque[Mapping[Place, Volume]] = deque(maxlen=RULES_KEPT)

    def dump(self, sas: Iterable[SecurityAssociation], at_s: int) -> None:
        """All SAs. at_s: the wall clock's second before they were asked for."""
        self._lives.dump([sa for sa in sas if sa.protocol in COUNTED], at_s)

    def event(self, event: SaEvent) -> None:
        sa: Optional[SecurityAssociation] = getattr(event, "sa", None)
        if sa is None or sa.protocol in COUNTED:
            self._lives.event(event)

    def miss_events(self) -> None:
        """Events were lost: the socket overran."""
        self._lives.miss_events()

    def saved(self) -> SavedSas:
        """For the next agent. Right after settle(), so that nothing lies between it and the increments."""
        sas = tuple(life.sa for life in self._lives.alive())
        return SavedSas(sas, self._lives.since_s, self._lives.awaited())

    def settle(self, rules: Mapping[Place, Volume], at_s: int) -> list[TunnelIncrement]:
        """Increments since the last time.

        rules: for each place, at least what passed it from before the dump of the last settling until after
        this one's; of the ESP or of the inner packets. at_s: the wall clock.
        """
        self._rules.append(rules)
        self._levels.relearn()
        tallies: dict[Level, _Tally] = defaultdict(_Tally)
        for passed in self._lives.settle():
            share = self._levels.share(passed.life)
            tally = tallies[share.level]
            tally.add(passed.octets, passed.packets, share.header_octets, passed.is_bridged)
            self._add_rare(tally, passed, share)
            if passed.packets and passed.life.sa.last_used_s is None:
                share.level.used_s = at_s
        self._levels.update(self._lives.touched())
        for level in self._levels.all():
            for header_octets, account in level.accounts.items():
                if account.packets:
                    tallies[level].add(account.octets, account.packets, header_octets, False)
                    level.used_s = at_s if account.is_undated else max(level.used_s, account.used_s)
                    account.octets = account.packets = 0
                    account.is_undated = False
        for level, tally in tallies.items():
            if tally.unseen_ends:
                self._bound(level.place, tally)
        return [
            tallies.get(level, _NOTHING).increment(level)
            for level in self._levels.all()
            if level.sas or level in tallies
        ]

    def _add_rare(self, tally: _Tally, passed: Passed, share: Share) -> None:
        tally.add_rare(passed)
        if passed.is_birth:
            tally.rekeys += self._levels.has_flow(share.flow) or share.flow in tally.born
            tally.born.add(share.flow)
        if passed.is_unseen_end:
            tally.unread = max(tally.unread, self._lives.settled - passed.read_at)

    def _bound(self, place: Place, tally: _Tally) -> None:
        """One rule counter covers all SAs of a place, so the one unread for longest sets the bound."""
        rules = [rules.get(place) for rules in list(self._rules)[-tally.unread :]]
        seen = [volume for volume in rules if volume is not None]
        if len(seen) < tally.unread:
            tally.unbounded_ends = tally.unseen_ends
            return
        tally.error_bound_octets = sum(volume.octets for volume in seen)
        tally.error_bound_packets = sum(volume.packets for volume in seen)


@dataclass(eq=False)
class _Tally:
    """An increment in the making. unread: settlings since the last reading of one that ended unseen."""

    octets: int = 0
    packets: int = 0
    payload_octets: int = 0
    derived_octets: int = 0
    bridged_octets: int = 0
    bridged_packets: int = 0
    error_bound_octets: int = 0
    error_bound_packets: int = 0
    unseen_ends: int = 0
    unbounded_ends: int = 0
    rekeys: int = 0
    lost_packets: int = 0
    late_packets: int = 0
    replayed_packets: int = 0
    integrity_failures: int = 0
    unread: int = 0
    born: set[Flow] = field(default_factory=set)

    def add(self, octets: int, packets: int, header_octets: int, is_bridged: bool) -> None:
        if header_octets:
            derived = packets * header_octets
            self.payload_octets += octets
            self.derived_octets += derived
            octets += derived
        self.octets += octets
        self.packets += packets
        if is_bridged:
            self.bridged_octets += octets
            self.bridged_packets += packets

    def add_rare(self, passed: Passed) -> None:
        self.unseen_ends += passed.is_unseen_end
        self.lost_packets += passed.lost_packets
        self.late_packets += passed.late_packets
        self.replayed_packets += passed.replayed_packets
        self.integrity_failures += passed.integrity_failures

    def increment(self, level: Level) -> TunnelIncrement:
        told = {name: value for name, value in vars(self).items() if name not in ("unread", "born")}
        return TunnelIncrement(
            place=level.place,
            open_packets=level.open_packets,
            sas=level.sas,
            sas_without_anti_replay=level.sas_without_anti_replay,
            last_used_s=level.used_s or None,
            **told,
        )


_NOTHING = _Tally()
