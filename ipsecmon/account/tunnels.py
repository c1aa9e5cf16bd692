"""Named tunnels: what passed through the SAs of each, by direction.

In: dumps and events (sa_lives.py), rules that name tunnels (tunnel_match.py), and what rule counters saw.
Out: an increment a tunnel and direction. Only ESP and AH are counted: an IPComp or IPIP SA carries the same
packets as the ESP around it. Totals never decrease; where the end of an SA was not seen, an increment says
by how much it may be too low at most.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping
from typing import NamedTuple, Optional

from ipsecmon.account.sa_life import Passed
from ipsecmon.account.sa_lives import SaLives
from ipsecmon.account.spi_book import SpiBook
from ipsecmon.account.tunnel_levels import Flow, Level, Share, TunnelLevels
from ipsecmon.account.tunnel_match import Place, TunnelMatcher
from ipsecmon.ipsec import SaEvent, SavedSas, SecurityAssociation
from ipsecmon.model import TunnelIncrement
from ipsecmon.sa_table import SaTable

__all__ = ["Tunnels", "Volume"]

COUNTED = frozenset((50, 51))  # ESP, AH
RULES_KEPT = 360  # settlings: an hour of 10 s; an SA that was unread for longer has no bound


class Volume(NamedTuple):
    """What a rule counter saw."""

    octets: int
    packets: int


class Tunnels:
    """dump(), event() and miss_events() are those of SaLives; settle() closes a poll."""

    def __init__(self, matcher: TunnelMatcher, saved: SavedSas = SavedSas()) -> None:  # noqa: B008 - frozen
        self._levels = TunnelLevels(matcher)
        self._lives = SaLives(saved.sas, saved.since_s, saved.awaited)
        self._levels.update(self._lives.touched())
        self._rules: deque[Mapping[Place, Volume]] = deque(maxlen=RULES_KEPT)

    @property
    def spis(self) -> SpiBook:
        """Whose is which, as of the last settling."""
        return self._levels.spis

    def dump(self, sas: Iterable[SecurityAssociation], at_s: int) -> None:
        """All SAs. at_s: the wall clock's second before they were asked for."""
        if not isinstance(sas, SaTable) or not sas.protocols <= COUNTED:
            sas = SaTable.of(sa for sa in sas if sa.protocol in COUNTED)
        self._lives.dump(sas, at_s)

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
        self.spis.settle()
        self._lives.place(self._levels.relearn())
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
            if tally.sums["unseen_ends"]:
                self._bound(Place(level.key.tunnel, level.key.direction), tally)
        return [
            tallies.get(level, _NOTHING).increment(level)
            for level in self._levels.all()
            if level.sas or level in tallies
        ]

    def _add_rare(self, tally: _Tally, passed: Passed, share: Share) -> None:
        tally.add_rare(passed)
        if passed.is_birth:
            tally.sums["rekeys"] += self._levels.has_flow(share.flow) or share.flow in tally.born
            tally.born.add(share.flow)
        if passed.is_unseen_end:
            tally.unread = max(tally.unread, self._lives.settled - passed.read_at)

    def _bound(self, place: Place, tally: _Tally) -> None:
        """One rule counter covers all SAs of a place, so the one unread for longest sets the bound."""
        rules = [rules.get(place) for rules in list(self._rules)[-tally.unread :]]
        seen = [volume for volume in rules if volume is not None]
        if len(seen) < tally.unread:
            tally.sums["unbounded_ends"] = tally.sums["unseen_ends"]
            return
        tally.sums["error_bound_octets"] = sum(volume.octets for volume in seen)
        tally.sums["error_bound_packets"] = sum(volume.packets for volume in seen)


class _Tally:
    """An increment in the making. unread: settlings since the last reading of one that ended unseen."""

    def __init__(self) -> None:
        self.sums: Counter[str] = Counter()
        self.unread = 0
        self.born: set[Flow] = set()

    def add(self, octets: int, packets: int, header_octets: int, is_bridged: bool) -> None:
        sums = self.sums
        if header_octets:
            derived = packets * header_octets
            sums["payload_octets"] += octets
            sums["derived_octets"] += derived
            octets += derived
        sums["octets"] += octets
        sums["packets"] += packets
        if is_bridged:
            sums["bridged_octets"] += octets
            sums["bridged_packets"] += packets

    def add_rare(self, passed: Passed) -> None:
        self.sums["births"] += passed.is_birth
        self.sums["ends"] += passed.is_end
        self.sums["unseen_ends"] += passed.is_unseen_end
        for name in _TROUBLES:
            self.sums[name] += getattr(passed, name)

    def increment(self, level: Level) -> TunnelIncrement:
        return TunnelIncrement(
            key=level.key,
            open_packets=level.open_packets,
            sas=level.sas,
            sas_without_anti_replay=level.sas_without_anti_replay,
            last_used_s=level.used_s or None,
            added_s=(level.added_s or None) if level.sas else None,
            **self.sums,
        )


_TROUBLES = ("lost_packets", "late_packets", "replayed_packets", "integrity_failures")
_NOTHING = _Tally()
