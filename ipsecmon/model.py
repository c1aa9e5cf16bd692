"""The nouns that flow from sources to sinks, and nothing that does anything.

Packets ─▶ (account) ◀─ Reading      account ─▶ Increment ─▶ Batch ─▶ store, sinks

A Reading is what a cumulative counter *said*; an Increment is what *happened* since the last
one. They are different types so that a total can never be added to a total.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, fields
from typing import NamedTuple, Optional, Protocol

from ipsecmon.direction import Direction
from ipsecmon.qos import Event, QueueIncrement

__all__ = [
    "LINE_TERMS",
    "NOT_BY_RULES",
    "OTHER_PEERS",
    "SHARES",
    "TUNNEL_LEVELS",
    "TUNNEL_SUMS",
    "UNKNOWN_PEER",
    "UNNAMED",
    "Baseline",
    "Batch",
    "CounterKey",
    "Counts",
    "Direction",
    "How",
    "Increment",
    "Layer",
    "LayerIncrement",
    "LayerKey",
    "LineCapacity",
    "ObservationPoint",
    "Pair",
    "PartIncrement",
    "Reading",
    "Reason",
    "Reconciliation",
    "SelfMeasurement",
    "TunnelIncrement",
    "TunnelKey",
    "Word",
    "bare_name",
    "line_of",
    "on_line",
]

UNNAMED = "unnamed"  # the tunnel of every SA that no counter of the config takes
OTHER_PEERS, UNKNOWN_PEER = "others", "unknown"


class ObservationPoint(str, enum.Enum):
    """Where octets were counted."""

    WIRE = "wire"  # IP packets on the line, encrypted ones as ESP; IP headers included
    INNER = "inner"  # plaintext of a tunnel, before encryption or after decryption
    PAYLOAD = "payload"  # transport mode as the SA counts it: without the IP header
    IP = "ip"  # innermost: IP packets in a tunnel's GRE, L2TP or xfrm interface, by these
    NIC = "nic"  # the interface's own counter: octets with link headers, packets are frames
    # Why the interface says something else than the parts: LINE_TERMS, by the interface's name.
    LINK_HEADERS = "link-headers"  # as the interface counts them, and frames of which that is known
    FRAGMENT_HEADERS = "fragment-headers"  # octets that fragmenting added, and frames more
    QDISC_DROPS = "qdisc-drops"  # packets only
    DROPPED_BEFORE_RULES = "dropped-before-rules"  # packets only, at most
    READ_SKEW = "read-skew"  # what passed, at most, between reading it and reading the rules
    RULES_GONE = "rules-gone"  # what passed, at most, while our rules did not stand: with link headers
    # What tunnels have of a built-in part of the line, by the tunnel's name; it is in that part already.
    # By the part's own name: copies of which nobody knows whether they are a tunnel's.
    ESP_SHARE = "esp-share"
    NATT_SHARE = "nat-t-share"
    DERIVED = "derived"  # ESP that no rule saw, by SAs and the interface: in no counter, by the tunnel's name


LINE_TERMS = frozenset(
    {
        ObservationPoint.LINK_HEADERS,
        ObservationPoint.FRAGMENT_HEADERS,
        ObservationPoint.QDISC_DROPS,
        ObservationPoint.DROPPED_BEFORE_RULES,
        ObservationPoint.READ_SKEW,
        ObservationPoint.RULES_GONE,
    }
)


class Layer(str, enum.Enum):
    """A step of what a tunnel carries, from the line inwards. ETHERNET stands in IP's place in gretap."""

    ESP = "esp"  # IP packets on the line
    GRE = "gre"  # what the SAs carry: GRE, with its IP header
    L2TP = "l2tp"  # what the SAs carry: L2TP data and control, with UDP and IP headers
    XFRM = "xfrm"  # what the SAs carry: the packets of xfrm interfaces, as IP has them
    IP = "ip"  # by the interfaces' own counters
    ETHERNET = "ethernet"  # the same, Ethernet headers included


SHARES = frozenset({ObservationPoint.ESP_SHARE, ObservationPoint.NATT_SHARE})
NOT_BY_RULES = LINE_TERMS | SHARES | {ObservationPoint.NIC, ObservationPoint.DERIVED}


class Pair(str, enum.Enum):
    """Which two meters were compared: the first is expected of the second."""

    RULE_NFLOG = "rule-nflog"  # the kernel counter on a rule, and the header copies of that rule
    SA_RULE = "sa-rule"  # SAs of a tunnel, and the counter on its inner rule
    NIC_PARTS = "nic-parts"  # the interface's own counter, and the parts of the line with their terms


class How(str, enum.Enum):
    """How the octets of a part of the line are known, the surest first."""

    COUNTED = "counted"  # by a rule's counter; or by copies of all that it counted
    ATTRIBUTED = "attributed"  # by copies, of which some are missing: too small where it is a tunnel's
    DERIVED = "derived"  # some of it no rule saw: by SAs and the interface


class Word(str, enum.Enum):
    """What two meters say of each other, in one word for people."""

    AGREE = "agree"
    EXPLAINED = "explained"
    DISAGREE = "disagree"


class Reason(str, enum.Enum):
    """Why two meters differ though neither is wrong."""

    GRO = "gro"  # packets merged by GRO or not yet cut by GSO: the rule saw one header of many
    FRAGMENTS = "fragments"  # the SA counts fragments, the rule the whole packet
    LOSS = "loss"  # header copies were lost
    BRIDGED = "bridged"  # passed while no agent ran
    SKEW = "skew"  # the two meters were not read at the same moment
    ERROR_BOUND = "error-bound"  # an SA ended with no last reading, or nobody knows its direction
    NO_COUNTER = "no-counter"  # there is no second meter
    NON_IP = "non-ip"  # frames that no rule sees: ARP, PPP control, or headers of merged packets
    QDISC_DROPS = "qdisc-drops"  # dropped by the queue behind the rules, which tells packets only
    DROPPED = "dropped-before-rules"  # dropped by the interface, or broken
    LINK_HEADERS = "link-headers"  # of a length that is not known
    RULES_GONE = "rules-gone"  # our rules did not stand all the time
    DERIVED = "derived"  # a part of the second meter was made of the first one


class CounterKey(NamedTuple):
    """What names a counter, everywhere: in the store, in sinks, in reports."""

    name: str
    direction: Direction
    observed_at: ObservationPoint


def on_line(name: str, line: str) -> str:
    """The counter of a part on one of several lines."""
    return f"{name}@{line}"


def bare_name(name: str) -> str:
    """Of a part, on whatever line."""
    return name.partition("@")[0]


def line_of(name: str) -> str:
    """Of a part, where its counter says it; else empty."""
    return name.partition("@")[2]


@dataclass(frozen=True)
class Reading:
    """What a cumulative kernel counter said.

    octets, packets: totals since the counter was born. birth: names this life of the counter;
    another birth under the same key is another counter. Two births are compared for equality only.
    from_zero: that life began at 0; a rule set that somebody dumped and loaded again did not.
    before: octets and packets to go on from, where the source knows better than the last reading.
    """

    key: CounterKey
    octets: int
    packets: int
    birth: str
    from_zero: bool = True
    before: Optional[tuple[int, int]] = None


@dataclass(frozen=True)
class Increment:
    """What happened on one counter in one interval.

    octets, packets: by the kernel counter; the truth. Of these, bridged_* passed while no agent
    was reading (restart): they are right in sum, but their moment inside the gap is unknown.
    nflog_*: sum over header copies; never enters a total. lost_packets: copies that are certainly
    lost. pending_packets: copies that may be lost or still on their way, at the interval's end; a
    level, not a rate. Summed since the first interval, with the newest pending_packets:
    packets = nflog_packets + lost_packets + pending_packets + bridged_packets.
    """

    key: CounterKey
    octets: int
    packets: int
    nflog_octets: int = 0
    nflog_packets: int = 0
    lost_packets: int = 0
    pending_packets: int = 0
    bridged_octets: int = 0
    bridged_packets: int = 0


@dataclass(frozen=True)
class PartIncrement:
    """What one part of a line carried; parts are disjoint, and their sum over time is the line's.

    A tunnel by its name, also where it shares a part; what of a shared part is not told yet waits.
    """

    line: str
    part: str
    direction: Direction
    octets: int
    packets: int
    how: How


class Baseline(NamedTuple):
    """What parts carried in a bucket of time. start_ns: of another, by shift later, to compare with it."""

    start_ns: int
    shift: str
    parts: tuple[PartIncrement, ...]


class TunnelKey(NamedTuple):
    """tunnel: a name of the config, or UNNAMED. peer: the far end's address, OTHER_PEERS or UNKNOWN_PEER."""

    tunnel: str
    peer: str
    direction: Direction


@dataclass(frozen=True)
class TunnelIncrement:
    """What happened in one tunnel, with one peer, in one direction, by the counters of its SAs.

    octets: inner packets, IP headers included; of these derived_octets are headers that the SA did not
    count, payload_octets what it did count, in transport and BEET mode. bridged_*: while no agent ran.
    error_bound_*: the true numbers are at most so much higher, because SAs, unseen_ends of them, ended
    with no last reading; unbounded_ends of these had no rule counter either.
    births, ends: of SAs; rekeys: births where another SA of the same flow was alive.
    lost_packets: on the path, certain. late_packets: dropped below the replay window; replayed_packets:
    dropped as seen before.

    Levels, at the interval's end: open_packets: missing, may yet come. sas, sas_without_anti_replay (whose
    path loss is not known): alive now. last_used_s: by the wall clock; where the kernel does not tell, of
    the last poll that saw it used, and None before any. added_s: of the newest SA alive, None without any.
    """

    key: TunnelKey
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
    births: int = 0
    rekeys: int = 0
    ends: int = 0
    lost_packets: int = 0
    late_packets: int = 0
    replayed_packets: int = 0
    integrity_failures: int = 0
    open_packets: int = 0
    sas: int = 0
    sas_without_anti_replay: int = 0
    last_used_s: Optional[int] = None
    added_s: Optional[int] = None


class LayerKey(NamedTuple):
    """link: of the innermost layer, the interface or the road warrior, beyond some OTHER_PEERS; else ""."""

    tunnel: str
    layer: Layer
    link: str
    direction: Direction


@dataclass(frozen=True)
class LayerIncrement:
    """What happened at one layer of a tunnel. Of these, bridged_* passed while no agent was reading."""

    key: LayerKey
    octets: int = 0
    packets: int = 0
    bridged_octets: int = 0
    bridged_packets: int = 0


@dataclass(frozen=True)
class Reconciliation:
    """What two meters say of the same packets over one span.

    Octets of IP packets by the first meter and the second. explained_octets: of their difference, as much
    as reason covers. lost_packets: copies that are certainly lost.
    """

    key: CounterKey
    pair: Pair
    expected_octets: int
    seen_octets: int
    lost_packets: int = 0
    explained_octets: int = 0
    reason: Optional[Reason] = None

    @property
    def difference_octets(self) -> int:
        return self.expected_octets - self.seen_octets

    @property
    def unexplained_octets(self) -> int:
        return self.difference_octets - self.explained_octets

    @property
    def word(self) -> Word:
        if self.unexplained_octets:
            return Word.DISAGREE
        return Word.EXPLAINED if self.explained_octets or self.reason else Word.AGREE


TUNNEL_LEVELS = ("open_packets", "sas", "sas_without_anti_replay", "last_used_s", "added_s")
TUNNEL_SUMS = tuple(one.name for one in fields(TunnelIncrement) if one.name not in ("key", *TUNNEL_LEVELS))


class LineCapacity(NamedTuple):
    """What the config says that a line can carry in one direction."""

    line: str
    direction: Direction
    bits_per_s: int


@dataclass(frozen=True)
class SelfMeasurement:
    """One number of the agent about itself: what happened in the interval, or a level at its end."""

    component: str
    kind: str
    value: int


class Counts(Protocol):
    """Where everything that moves counts itself: one call, kinds are short fixed words."""

    def add(self, component: str, kind: str, number: int = 1) -> None: ...


@dataclass(frozen=True)
class Batch:
    """The increments of one closed interval, half-open [start_ns, end_ns), wall clock, ns since 1970.

    start_ns is unique in a store's life (a clock that steps back does not repeat one), so
    (key, start_ns) can be written twice to a time series without counting twice.
    xfrm_errors: packets dropped in the interval by /proc/net/xfrm_stat's names, of those that moved.
    events: told for the first time with this batch, whenever they were; baselines too, from the store on.
    resolution_s: 0; of sums over a whole span of history, which may be sent again, its length: such a
    batch says nothing that its intervals did not say.
    """

    router: str
    start_ns: int
    end_ns: int
    increments: tuple[Increment, ...]
    self_measurements: tuple[SelfMeasurement, ...] = ()
    tunnels: tuple[TunnelIncrement, ...] = ()
    xfrm_errors: tuple[tuple[str, int], ...] = ()
    reconciliations: tuple[Reconciliation, ...] = ()
    layers: tuple[LayerIncrement, ...] = ()
    parts: tuple[PartIncrement, ...] = ()
    capacities: tuple[LineCapacity, ...] = ()
    queues: tuple[QueueIncrement, ...] = ()
    events: tuple[Event, ...] = ()
    resolution_s: int = 0
    baselines: tuple[Baseline, ...] = ()
