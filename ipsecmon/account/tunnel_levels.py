"""What is alive in each place: SAs, what is missing inside their windows, when they were last used.

Kept up to date by the lives that were touched, so that an SA where nothing changed costs nothing here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from ipsecmon.account.sa_life import Account, Life
from ipsecmon.account.spi_book import SpiBook
from ipsecmon.account.tunnel_match import TunnelMatcher
from ipsecmon.ipsec import SecurityAssociation
from ipsecmon.model import TunnelKey

__all__ = ["Flow", "Level", "Share", "TunnelLevels"]

Flow = tuple[object, ...]
PAYLOAD_MODES = ("transport", "beet")  # the SA counts what is behind the IP header
_HEADER_OCTETS = {2: 20, 10: 40}  # by address family: IPv4 without options, IPv6 without extensions


@dataclass(eq=False)
class Level:
    """Of the SAs alive under one key. used_s, added_s: the latest that were ever told.

    accounts: by octets of each packet's header that the SA does not count.
    """

    key: TunnelKey
    sas: int = 0
    sas_without_anti_replay: int = 0
    open_packets: int = 0
    used_s: int = 0
    added_s: int = 0
    accounts: dict[int, Account] = field(default_factory=dict)


@dataclass(eq=False)
class Share:
    """What one life has part in. sa: as placed. header_octets: of each packet, not counted by the SA."""

    level: Level
    sa: SecurityAssociation
    flow: Flow
    header_octets: int
    is_pathless: bool = False
    open_packets: int = 0


class TunnelLevels:
    """update() after each settling; relearn() when the matcher may have learnt something. spis: kept, too."""

    def __init__(self, matcher: TunnelMatcher) -> None:
        self._matcher = matcher
        self.spis = SpiBook()
        self._levels: dict[TunnelKey, Level] = {}
        self._shares: dict[Life, Share] = {}
        self._flows: Counter[Flow] = Counter()
        self._learnt = matcher.learnt

    def all(self) -> Iterable[Level]:
        return self._levels.values()

    def share(self, life: Life) -> Share:
        """That of a life of which nothing is known yet is found, and not kept."""
        share = self._shares.get(life)
        return self._found(life.sa) if share is None else share

    def has_flow(self, flow: Flow) -> bool:
        """Whether an SA of it was alive at the last update."""
        return flow in self._flows

    def update(self, touched: Iterable[Life]) -> None:
        """Lives that began, ended or were read."""
        for life in touched:
            share = self._shares.get(life)
            if life.is_over:
                self.spis.end(life.sa, self.share(life).level.key.tunnel)
            if share is not None and (life.is_over or not _is_placed_alike(share.sa, life.sa)):
                self._take(self._shares.pop(life))
                share = None
            if not life.is_over:
                self._refresh(share or self._give(life), life.sa)
                life.account = None if life.is_birth or life.is_bridging else self._account(life)

    def relearn(self) -> list[Life]:
        """Finds all places anew, if they may be others, and says whose. What has ended stays where it was."""
        if self._learnt == self._matcher.learnt:
            return []
        self._learnt = self._matcher.learnt
        lives = [life for life in self._shares if not life.is_over]
        for life in lives:
            self._take(self._shares.pop(life))
        self.update(lives)
        return lives

    def _found(self, sa: SecurityAssociation) -> Share:
        key = self._matcher.key(sa)
        level = self._levels.get(key)
        if level is None:
            level = self._levels[key] = Level(key)
        return Share(level, sa, _flow(sa), _header_octets(sa))

    def _give(self, life: Life) -> Share:
        share = self._shares[life] = self._found(life.sa)
        share.level.sas += 1
        share.level.added_s = max(share.level.added_s, life.sa.added_s)
        self.spis.open(life.sa, share.level.key.tunnel)
        self._flows[share.flow] += 1
        return share

    def _account(self, life: Life) -> Account:
        share = self._shares[life]
        return share.level.accounts.setdefault(share.header_octets, Account())

    def _take(self, share: Share) -> None:
        share.level.sas -= 1
        share.level.sas_without_anti_replay -= share.is_pathless
        share.level.open_packets -= share.open_packets
        self._flows[share.flow] -= 1
        if not self._flows[share.flow]:
            del self._flows[share.flow]

    def _refresh(self, share: Share, sa: SecurityAssociation) -> None:
        level, state = share.level, sa.anti_replay
        is_pathless = state is None or not state.window
        open_packets = 0 if state is None or is_pathless else state.unseen
        if is_pathless != share.is_pathless or open_packets != share.open_packets:
            level.sas_without_anti_replay += is_pathless - share.is_pathless
            level.open_packets += open_packets - share.open_packets
            share.is_pathless, share.open_packets = is_pathless, open_packets
        level.used_s = max(level.used_s, sa.last_used_s or sa.used_s or 0)


def _is_placed_alike(one: SecurityAssociation, other: SecurityAssociation) -> bool:
    """What may change in an SA's life and tells its place or its flow."""
    return (
        one.reqid == other.reqid
        and one.if_id == other.if_id
        and one.source == other.source
        and one.mode == other.mode
        and one.direction is other.direction
        and (one.selector is other.selector or one.selector == other.selector)
    )


def _flow(sa: SecurityAssociation) -> Flow:
    """What stays through a rekey."""
    return (sa.source, sa.destination, sa.protocol, sa.mode, sa.reqid, sa.mark, sa.if_id, sa.selector)


def _header_octets(sa: SecurityAssociation) -> int:
    """Of the header that an SA of PAYLOAD_MODES does not count. BEET may carry another family."""
    if sa.mode not in PAYLOAD_MODES:
        return 0
    if sa.mode == "beet" and sa.selector is not None:
        return 40 if ":" in sa.selector.source else 20
    return _HEADER_OCTETS[sa.family]
