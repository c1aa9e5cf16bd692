"""The nouns of IPsec as the kernel keeps it: security associations, policies, and what happens to them.

What netlink and ip(8) tell, in one form. None of it holds a key: that an SA has algorithms is one bit.
Times are whole seconds since 1970 by the kernel's wall clock; addresses and networks are written as
inet_ntop(3) writes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Optional, Union

from ipsecmon.model import Direction

__all__ = [
    "AntiReplay",
    "Encapsulation",
    "IkeNames",
    "Lifetime",
    "Mark",
    "Offload",
    "Policy",
    "SaEnd",
    "SaEvent",
    "SaFlush",
    "SaId",
    "SaNews",
    "SaSoftExpiry",
    "SavedSas",
    "SecurityAssociation",
    "Selector",
    "Template",
    "XfrmErrors",
]


class Mark(NamedTuple):
    """An xfrm_mark: a packet's mark must equal value under mask."""

    value: int
    mask: int


class AntiReplay(NamedTuple):
    """Sequence numbers, ESN's high half included.

    highest: authenticated so far, inbound; it moves only where window is not 0. sent: outbound.
    unseen: numbers inside the window, below highest, that have not come (yet).
    """

    highest: int
    sent: int
    window: int
    unseen: int
    is_esn: bool = False


class Encapsulation(NamedTuple):
    """NAT-T (RFC 3948) or RFC 8229. kind: espinudp, espinudp-nonike, espintcp or a number."""

    kind: str
    source_port: int
    destination_port: int
    original: str


class Lifetime(NamedTuple):
    """Limits; None is none."""

    soft_octets: Optional[int]
    hard_octets: Optional[int]
    soft_packets: Optional[int]
    hard_packets: Optional[int]
    soft_add_s: Optional[int]
    hard_add_s: Optional[int]
    soft_use_s: Optional[int]
    hard_use_s: Optional[int]


class Selector(NamedTuple):
    """Which packets. protocol: 0 is any, -1 a name that is not known here.

    Ports are None where any will do; ICMP's type and code and the halves of a GRE key stand in their place.
    """

    source: str
    destination: str
    protocol: int
    source_port: Optional[int]
    destination_port: Optional[int]


@dataclass(frozen=True)
class Offload:
    """netlink tells the device's ifindex, ip(8) its name. is_full: packets are, not their crypto alone."""

    is_inbound: bool
    is_full: bool
    ifindex: int = field(default=0, compare=False)
    ifname: str = field(default="", compare=False)


class SaId(NamedTuple):
    """What the kernel finds one SA by, and the second it was added in: another one later is another SA."""

    destination: str
    spi: int
    protocol: int
    family: int
    mark: Mark
    added_s: int


class SecurityAssociation(NamedTuple):
    """octets: of inner packets in tunnel mode, without the IP header in transport mode.

    protocol: 50 ESP, 51 AH, 108 IPComp. mode: tunnel, transport, beet, iptfs, ro, in_trigger or a number.
    selector: None where the SA has none. anti_replay, last_used_s: None where the message does not tell;
    an expiry never does. is_keyed: it has algorithms; one without is only being negotiated, and an
    expiry never tells. direction: where the kernel itself says so. used_s: first used; None is never.
    late_packets: below the window; replayed_packets: seen before; both dropped.
    """

    source: str
    destination: str
    family: int
    spi: int
    protocol: int
    mode: str
    reqid: int
    octets: int
    packets: int
    added_s: int
    used_s: Optional[int]
    late_packets: int
    replayed_packets: int
    integrity_failures: int
    replay_window: int
    flags: int
    lifetime: Lifetime
    selector: Optional[Selector]
    mark: Mark = Mark(0, 0)
    set_mark: Optional[Mark] = None
    if_id: int = 0
    direction: Direction = Direction.UNKNOWN
    encapsulation: Optional[Encapsulation] = None
    anti_replay: Optional[AntiReplay] = None
    last_used_s: Optional[int] = None
    offload: Optional[Offload] = None
    extra_flags: int = 0
    cpu: Optional[int] = None
    is_keyed: bool = False

    @property
    def id(self) -> SaId:
        return SaId(self.destination, self.spi, self.protocol, self.family, self.mark, self.added_s)


@dataclass(frozen=True)
class SavedSas:
    """What an agent leaves for the next one: SAs as last counted.

    since_s: the wall clock's second before they were asked for. awaited: those whose ends have no bound, as
    they were not there then and their ends had not come.
    """

    sas: tuple[SecurityAssociation, ...] = ()
    since_s: Optional[int] = None
    awaited: frozenset[SaId] = frozenset()

    def without_bound(self) -> SavedSas:
        """Where nothing is known of what passed since: their ends, if nobody saw them, have no bound."""
        return replace(self, awaited=frozenset(sa.id for sa in self.sas))


class Template(NamedTuple):
    """What SAs a policy uses. Unspecified addresses (transport mode) stand for the packet's own."""

    source: str
    destination: str
    family: int
    spi: int
    protocol: int
    mode: str
    reqid: int
    is_optional: bool


class Policy(NamedTuple):
    """direction: in, out, fwd, or a number. is_socket: of one socket, such as an IKE daemon's own."""

    selector: Selector
    direction: str
    is_socket: bool
    is_blocking: bool
    priority: int
    templates: tuple[Template, ...]
    mark: Mark = Mark(0, 0)
    if_id: int = 0


class IkeNames(NamedTuple):
    """Of IKE connections and of their CHILD_SAs. by_spi: (destination, SPI) to names."""

    by_spi: Mapping[tuple[str, int], frozenset[str]]
    by_reqid: Mapping[int, frozenset[str]]


class SaNews(NamedTuple):
    """An SA was added, or updated, which leaves its counters."""

    sa: SecurityAssociation
    is_update: bool


class SaEnd(NamedTuple):
    """An SA is gone, deleted or by its hard limit; its counters are final."""

    sa: SecurityAssociation
    has_expired: bool


class SaSoftExpiry(NamedTuple):
    """An SA should be replaced; it lives on."""

    sa: SecurityAssociation


class SaFlush(NamedTuple):
    """Every SA of a protocol is gone, of which nothing more is told. protocol: 0 and 255 are all."""

    protocol: int


SaEvent = Union[SaNews, SaEnd, SaSoftExpiry, SaFlush]


class XfrmErrors(NamedTuple):
    """/proc/net/xfrm_stat: packets dropped since boot in this network namespace, by the kernel's names."""

    packets: tuple[tuple[str, int], ...]

    def of(self, name: str) -> int:
        """0 where this kernel has no such counter."""
        return dict(self.packets).get(name, 0)
