"""Why an interface counts something else than the rules see: link headers, fragments, drops.

In: one interface's link (rtnetlink(7)), its root qdisc (tc.py), /proc/net/snmp. Out: Readings at LINE_TERMS.
IPv4's fragments are counted by network namespace, whatever interface they are on; IPv6's by interface.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Optional, Union

from ipsecmon.errors import DecodeError
from ipsecmon.model import CounterKey, Direction, ObservationPoint, Reading
from ipsecmon.sources.ethtool import link_kind
from ipsecmon.sources.tc import IngressQueue, RootQueue
from ipsecmon.sources.veth import framed_in, framed_out
from ipsecmon.wire.snmp_text import decode_snmp, decode_snmp6

__all__ = ["LineTerms", "link_headers"]

_IN, _OUT = Direction.IN, Direction.OUT
_ETHERNET, _LOOPBACK = 1, 772  # ARPHRD_*, linux/if_arp.h
_ETHERNET_HEADER = 14
_IPV4_HEADER, _IPV6_HEADER, _IPV6_FRAGMENT_HEADER = 20, 40, 8
_UPPER_DEVICES = (
    "vlan",
    "bridge",
)  # count what comes in when the Ethernet header is off, what goes out with it
_PROC = Path("/proc/self/net")
_Snmp = Mapping[str, int]


class _Headers(NamedTuple):
    inbound: int
    outbound: int


def link_headers(link: Any) -> _Headers:
    """Octets of link header that the kernel counts in each frame of this interface."""
    if link["ifi_type"] not in (_ETHERNET, _LOOPBACK):
        return _Headers(0, 0)
    return _Headers(0 if link_kind(link) in _UPPER_DEVICES else _ETHERNET_HEADER, _ETHERNET_HEADER)


class LineTerms:
    """The terms of any interface. waiting: octets and packets in its queues when they were last read, by
    where the skew that they make is told.
    """

    def __init__(self) -> None:
        self.waiting: dict[CounterKey, tuple[int, int]] = {}
        self._most: dict[CounterKey, tuple[int, int]] = {}
        self._headers: dict[CounterKey, Reading] = {}

    def read(
        self,
        route: Any,
        name: str,
        link: Any,
        birth: str,
        root: Optional[RootQueue],
        ingress: Optional[IngressQueue] = None,
    ) -> list[Reading]:
        """birth: of the interface's own counters. root, ingress: None where there is no queue."""
        four, six = _ipv4(), _ipv6(name)
        return [
            *self._link_headers(route, name, link, birth),
            *self._fragment_headers(name, birth, four, six),
            *self._dropped(name, link, birth, four, six),
            *self._qdisc_drops(name, birth, root),
            *self._ingress_drops(name, birth, ingress),
        ]

    def _link_headers(self, route: Any, name: str, link: Any, birth: str) -> Iterator[Reading]:
        if link_kind(link) == "veth":
            yield from self._veth_headers(route, name, link, birth)
            return
        stats = link.get_attr("IFLA_STATS64")
        for way, frames, header in zip((_IN, _OUT), ("rx_packets", "tx_packets"), link_headers(link)):
            key = CounterKey(name, way, ObservationPoint.LINK_HEADERS)
            yield Reading(key, stats[frames] * header, stats[frames], birth)

    def _veth_headers(self, route: Any, name: str, link: Any, birth: str) -> Iterator[Reading]:
        """Packets are the frames of which it is known. What comes in between two numbers of one frame is
        missing in octets until the next reading, and must not make them fall."""
        framed = (framed_in(name, link.get_attr("IFLA_STATS64")), framed_out(route, name, link))
        for way, one in zip((_IN, _OUT), framed):
            key = CounterKey(name, way, ObservationPoint.LINK_HEADERS)
            life = f"{birth}/{one.why}" if one.why else birth
            before = self._headers.get(key)
            least = before.octets if before is not None and before.birth == life else 0
            octets = max(least, one.with_header * _ETHERNET_HEADER)
            self._headers[key] = Reading(key, octets, one.frames, life, from_zero=not one.why)
            yield self._headers[key]

    def _fragment_headers(self, name: str, birth: str, four: _Snmp, six: _Snmp) -> Iterator[Reading]:
        point = ObservationPoint.FRAGMENT_HEADERS
        more = four.get("FragCreates", 0) - four.get("FragOKs", 0)
        made, done = six.get("Ip6FragCreates", 0), six.get("Ip6FragOKs", 0)
        added = (_IPV6_HEADER + _IPV6_FRAGMENT_HEADER) * made - _IPV6_HEADER * done
        yield self._rising(
            CounterKey(name, _OUT, point), birth, _IPV4_HEADER * more + added, more + made - done
        )
        more = four.get("ReasmReqds", 0) - four.get("ReasmOKs", 0)
        yield self._rising(CounterKey(name, _IN, point), birth, _IPV4_HEADER * more, more)

    def _dropped(self, name: str, link: Any, birth: str, four: _Snmp, six: _Snmp) -> Iterator[Reading]:
        stats = link.get_attr("IFLA_STATS64")
        packets = stats["rx_dropped"] + stats["rx_missed_errors"]
        packets += four.get("InDiscards", 0) + four.get("InHdrErrors", 0)
        packets += six.get("Ip6InDiscards", 0) + six.get("Ip6InHdrErrors", 0)
        key = CounterKey(name, _IN, ObservationPoint.DROPPED_BEFORE_RULES)
        yield self._rising(key, birth, 0, packets)

    def _qdisc_drops(self, name: str, birth: str, root: Optional[RootQueue]) -> Iterator[Reading]:
        """Of the root qdisc, which counts its children's too; none where there is no queue."""
        self._note_waiting(name, _OUT, root)
        if root:
            key = CounterKey(name, _OUT, ObservationPoint.QDISC_DROPS)
            yield Reading(key, 0, root.drops, f"{birth}/{root.kind}/{root.handle:x}")

    def _ingress_drops(self, name: str, birth: str, ingress: Optional[IngressQueue]) -> Iterator[Reading]:
        self._note_waiting(name, _IN, ingress)
        if ingress and ingress.life:
            key = CounterKey(name, _IN, ObservationPoint.QDISC_DROPS)
            yield Reading(key, 0, ingress.drops, f"{birth}{ingress.life}")

    def _note_waiting(self, name: str, way: Direction, queue: Union[RootQueue, IngressQueue, None]) -> None:
        key = CounterKey(name, way, ObservationPoint.READ_SKEW)
        self.waiting[key] = (queue.backlog_octets, queue.backlog_packets) if queue else (0, 0)

    def _rising(self, key: CounterKey, birth: str, octets: int, packets: int) -> Reading:
        """Fragments are counted one by one, and their whole packet after them: only until then too many.

        Not from zero: an interface that is new finds the namespace's numbers of old.
        """
        before = self._most.get(key, (0, 0))
        self._most[key] = now = max(octets, before[0]), max(packets, before[1])
        return Reading(key, *now, birth=birth, from_zero=False)


def _ipv4() -> _Snmp:
    return _read("snmp", decode_snmp)


def _ipv6(name: str) -> _Snmp:
    """Nothing where the interface has no IPv6."""
    return _read(f"dev_snmp6/{name}", decode_snmp6)


def _read(file: str, decode: Callable[[str], _Snmp]) -> _Snmp:
    """What cannot be read is no reason to count nothing else: it is missing in the terms."""
    try:
        return decode((_PROC / file).read_text())
    except (OSError, DecodeError):
        return {}
