"""Named tunnels: what passed through the SAs of each, by direction.

In: dumps and events (sa_lives.py), rules that name tunnels (tunnel_match.py), and what rule counters saw.
Out: an increment a tunnel and direction. Only ESP and AH are counted: an IPComp or IPIP SA carries the same
packets as the ESP around it. Totals never decrease; where the end of an SA was not seen, an increment says
by how much it may be too low at most.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Optional

from ipsecmon.account.path_loss import measure_path
from ipsecmon.account.sa_life import Passed
from ipsecmon.account.sa_lives import SaLives
from ipsecmon.account.tunnel_match import Place, TunnelMatcher
from ipsecmon.ipsec import SaEvent, SaId, SecurityAssociation

__all__ = ["SavedSas", "TunnelIncrement", "Tunnels", "Volume"]

COUNTED = (50, 51)  # ESP, AH
RULES_KEPT = 360  # settlings: an hour of 10 s; an SA that was unread for longer has no bound
PAYLOAD_MODES = ("transport", "beet")  # the SA counts what is behind the IP header
_HEADER_OCTETS = {2: 20, 10: 40}  # by address family: IPv4 without options, IPv6 without extensions


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
        self._matcher = matcher
        self._lives = SaLives(saved.sas, saved.since_s, saved.awaited)
        self._rules: deque[Mapping[Place, Volume]] = deque(maxlen=RULES_KEPT)
        self._flows = {_flow(sa) for sa in saved.sas}
        self._used_s: dict[Place, int] = {}

    def dump(self, sas: Iterable[SecurityAssociation], at_s: int) -> None:
        """All SAs. at_s: the wall clock's second before they were asked for."""
        self._lives.dump((sa for sa in sas if sa.protocol in COUNTED), at_s)

    def event(self, event: SaEvent) -> None:
        sa: Optional[SecurityAssociation] = getattr(event, "sa", None)
        if sa is None or sa.protocol in COUNTED:
            self._lives.event(event)

    def miss_events(self) -> None:
        """Events were lost: the socket overran."""
        self._lives.miss_events()

    def saved(self) -> SavedSas:
        """For the next agent. Right after settle(), so that nothing lies between it and the increments."""
        return SavedSas(tuple(life.sa for life in self._lives.alive()), self._lives.since_s, self._lives.awaited())

    def settle(self, rules: Mapping[Place, Volume], at_s: int) -> list[TunnelIncrement]:
        """Increments since the last time.

        rules: for each place, at least what passed it from before the dump of the last settling until after
        this one's; of the ESP or of the inner packets. at_s: the wall clock.
        """
        self._rules.append(rules)
        sums: dict[Place, Counter[str]] = {}
        unread: dict[Place, int] = {}
        for passed in self._lives.settle():
            place = self._matcher.place(passed.sa)
            self._add(sums.setdefault(place, Counter()), passed)
            if passed.packets:
                self._used_s[place] = at_s
            if passed.is_unseen_end:
                unread[place] = max(unread.get(place, 0), self._lives.settled - passed.read_at)
        for place, settlings in unread.items():
            self._bound(place, sums[place], settlings)
        self._add_levels(sums)
        return [
            TunnelIncrement(place, **total, last_used_s=self._used_s.get(place))
            for place, total in sums.items()
        ]

    def _add(self, total: Counter[str], passed: Passed) -> None:
        is_payload = passed.sa.mode in PAYLOAD_MODES
        derived = passed.packets * _header_octets(passed.sa) if is_payload else 0
        octets = passed.octets + derived
        flow = _flow(passed.sa)
        total["octets"] += octets
        total["packets"] += passed.packets
        total["derived_octets"] += derived
        total["payload_octets"] += passed.octets if is_payload else 0
        total["bridged_octets"] += octets if passed.is_bridged else 0
        total["bridged_packets"] += passed.packets if passed.is_bridged else 0
        total["unseen_ends"] += passed.is_unseen_end
        total["rekeys"] += passed.is_birth and flow in self._flows
        for name in ("lost_packets", "late_packets", "replayed_packets", "integrity_failures"):
            total[name] += getattr(passed, name)
        self._flows.add(flow)

    def _bound(self, place: Place, total: Counter[str], settlings: int) -> None:
        """One rule counter covers all SAs of a place, so the one unread for longest sets the bound."""
        rules = [rules.get(place) for rules in list(self._rules)[-settlings:]]
        seen = [volume for volume in rules if volume is not None]
        if len(seen) < settlings:
            total["unbounded_ends"] = total["unseen_ends"]
            return
        total["error_bound_octets"] = sum(volume.octets for volume in seen)
        total["error_bound_packets"] = sum(volume.packets for volume in seen)

    def _add_levels(self, sums: dict[Place, Counter[str]]) -> None:
        self._flows = set()
        for sa in (life.sa for life in self._lives.alive()):
            place = self._matcher.place(sa)
            total = sums.setdefault(place, Counter())
            path = measure_path(sa)
            total["sas"] += 1
            total["sas_without_anti_replay"] += path is None
            total["open_packets"] += 0 if path is None else path.open
            used_s = max(self._used_s.get(place, 0), sa.last_used_s or 0, sa.used_s or 0)
            if used_s:
                self._used_s[place] = used_s
            self._flows.add(_flow(sa))


def _header_octets(sa: SecurityAssociation) -> int:
    """Of the header that an SA of PAYLOAD_MODES does not count. BEET may carry another family."""
    if sa.mode == "beet" and sa.selector is not None:
        return 40 if ":" in sa.selector.source else 20
    return _HEADER_OCTETS[sa.family]


def _flow(sa: SecurityAssociation) -> tuple[object, ...]:
    """What stays through a rekey."""
    return (sa.source, sa.destination, sa.protocol, sa.mode, sa.reqid, sa.mark, sa.if_id, sa.selector)
