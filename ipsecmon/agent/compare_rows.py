"""One window row by row: lines, VPN and other, parts, tunnels, what is inside of them, queues.

Outbound, parts are what the queueing discipline carried of them, not what was offered to it.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Optional

import numpy as np

from ipsecmon.account.line_agreement import outside_of
from ipsecmon.account.line_parts import sharers
from ipsecmon.account.partition import Volume
from ipsecmon.account.queue_shares import Carried, Offered, Surety, carry
from ipsecmon.agent.compare_bins import Bins, Floats, Volumes
from ipsecmon.agent.compare_queues import leaves_of, queues_of
from ipsecmon.agent.line import parts_on
from ipsecmon.config import Config, Line
from ipsecmon.model import CounterKey, Direction, ObservationPoint, bare_name

__all__ = ["Kind", "Numbers", "RowKey", "Surety", "rows_of"]

_BUILT_IN_VPN = frozenset({"esp", "nat-t", "ah", "ike"})  # IPsec's, whoever uses it
_WAYS = (Direction.IN, Direction.OUT)
_WIRE, _INNER, _DERIVED = ObservationPoint.WIRE, ObservationPoint.INNER, ObservationPoint.DERIVED


class Kind(str, enum.Enum):
    """VPN and OTHER are the line; PARTs are, too. TUNNEL, INSIDE: in the parts already. QUEUE: the line once
    more, with link headers; inbound behind an ifb, and what IPsec decrypts twice where both pass it.
    """

    LINE = "line"
    VPN = "vpn"
    OTHER = "other"
    PART = "part"
    TUNNEL = "tunnel"
    INSIDE = "inside"
    QUEUE = "queue"


class RowKey(NamedTuple):
    """line: empty for what is inside of tunnels."""

    line: str
    direction: Direction
    kind: Kind
    name: str


@dataclass(frozen=True)
class Numbers:
    """In each interval. octets: carried. offered: before the queue, where that is something else.

    packets: offered. missing: of these, what the queue dropped or the path lost; None where nothing tells.
    """

    octets: Floats
    packets: Floats
    offered: Optional[Floats] = None
    missing: Optional[Floats] = None
    surety: Surety = Surety.COUNTED


def rows_of(config: Config, bins: Bins) -> dict[RowKey, Numbers]:
    """In the order in which people read them."""
    rows: dict[RowKey, Numbers] = {}
    for line in config.lines:
        for way in _WAYS:
            rows.update(_line(config, line, way, bins))
    for (tunnel, way), volumes in bins.tunnels.items():
        lost = volumes.lost if way is Direction.IN else None
        packets = volumes.packets if lost is None else volumes.packets + lost
        rows[RowKey("", way, Kind.TUNNEL, tunnel)] = Numbers(volumes.octets, packets, missing=lost)
    tunnels = {tunnel for tunnel, _ in bins.tunnels}
    for key, volumes in bins.counters.items():
        if key.observed_at is _INNER and key.name not in tunnels:
            rows[RowKey("", key.direction, Kind.INSIDE, key.name)] = Numbers(volumes.octets, volumes.packets)
    return rows


def _line(config: Config, line: Line, way: Direction, bins: Bins) -> Iterator[tuple[RowKey, Numbers]]:
    parts = _parts(config, line, way, bins.counters)
    if not parts:
        return
    vpn = _vpn_names(config, bins.counters) & parts.keys()
    rest = tuple(name for name in parts if name not in vpn)
    groups = {
        RowKey(line.name, way, Kind.LINE, line.name): tuple(parts),
        RowKey(line.name, way, Kind.VPN, "VPN"): tuple(name for name in parts if name in vpn),
        RowKey(line.name, way, Kind.OTHER, "everything else"): rest,
        **{RowKey(line.name, way, Kind.PART, name): (name,) for name in parts},
    }
    behind = _behind_queue(line, way, parts, bins)
    for key, names in groups.items():
        if names:
            yield key, _grouped(key, [parts[name] for name in names], names, behind)
    for name, volumes in queues_of(line, way, bins).items():
        packets = volumes.packets + volumes.lost
        yield RowKey(line.name, way, Kind.QUEUE, name), Numbers(volumes.octets, packets, missing=volumes.lost)


def _grouped(key: RowKey, parts: list[Offered], names: tuple[str, ...], behind: Optional[_Behind]) -> Numbers:
    if behind is None:
        # of a part alone it is said since when it is counted; in a sum it was in another one before
        octets = parts[0].octets if len(parts) == 1 else _sum(one.octets for one in parts)
        return Numbers(octets, _sum(one.packets for one in parts))
    is_line = key.kind is Kind.LINE
    octets = _sum(behind.carried.octets[name] for name in names)
    if len(parts) == 1:
        octets = np.where(np.isnan(parts[0].octets), np.nan, octets)
    return Numbers(
        octets,
        _sum(one.packets for one in parts),
        _sum(one.octets for one in parts),
        behind.drops if is_line else None,
        Surety.COUNTED if is_line else behind.carried.surety_of(names),
    )


def _parts(
    config: Config, line: Line, way: Direction, counters: Mapping[CounterKey, Volumes]
) -> dict[str, Offered]:
    """Disjoint, by bare names; in sum over time what rules counted, so that a share which is counted an
    interval later than its packet may leave less than nothing in one interval, and as much more in the next.
    """
    totals = {key: _total(volumes) for key, volumes in counters.items()}
    found: dict[str, Offered] = {}
    for name in parts_on(line, config.lines, way, totals):
        key = CounterKey(name, way, _WIRE)
        own = _own(key, counters, is_sum="@" not in name)
        for share in sharers(key, counters):
            _add(found, share.name, counters[share])
            own = _less(own, counters[share])
        _add(found, name, own)
    for key, volumes in counters.items():
        if key[1:] == (way, _DERIVED) and line == config.lines[0]:
            _add(found, key.name, volumes)
    return found


def _own(key: CounterKey, counters: Mapping[CounterKey, Volumes], is_sum: bool) -> Volumes:
    """Without what is counted on lines of its own."""
    own = counters[key]
    if is_sum:
        for other in counters:
            if other[1:] == key[1:] and other.name.startswith(f"{key.name}@"):
                own = _less(own, counters[other])
    return own


def _less(one: Volumes, other: Volumes) -> Volumes:
    return one._replace(octets=one.octets - other.octets, packets=one.packets - other.packets)


def _add(found: dict[str, Offered], name: str, more: Volumes) -> None:
    name = bare_name(name)
    before = found.get(name)
    volumes = Offered(more.octets, more.packets)
    if before is not None:
        volumes = Offered(before.octets + more.octets, before.packets + more.packets)
    found[name] = volumes


def _vpn_names(config: Config, counters: Collection[CounterKey]) -> set[str]:
    named = {one.name for one in config.counters if one.ipsec is not None}
    shared = {
        bare_name(key.name)
        for key in counters
        if key.observed_at in (ObservationPoint.ESP_SHARE, ObservationPoint.NATT_SHARE, _DERIVED)
    }
    return named | shared | _BUILT_IN_VPN


class _Behind(NamedTuple):
    """The queue. drops: packets."""

    carried: Carried
    drops: Floats


def _behind_queue(line: Line, way: Direction, parts: Mapping[str, Offered], bins: Bins) -> Optional[_Behind]:
    """None inbound, and where the interface does not tell."""
    nics = [bins.counters.get(CounterKey(name, way, ObservationPoint.NIC)) for name in line.interfaces]
    if way is Direction.IN or any(one is None for one in nics):
        return None
    outside = outside_of(line.interfaces, way, {key: _total(one) for key, one in bins.counters.items()})
    said = outside.said.get(ObservationPoint.LINK_HEADERS, Volume())
    header = said.octets / said.packets if said.packets else 0.0  # of the frames of which it is known
    left = _sum(one.octets - header * one.packets for one in nics if one is not None)
    keys = [CounterKey(name, way, ObservationPoint.QDISC_DROPS) for name in line.interfaces]
    none = np.zeros(len(left))
    drops = none + _sum([none, *(bins.counters[key].packets for key in keys if key in bins.counters)])
    return _Behind(carry(_known(parts), left, drops, leaves_of(line, header, bins)), drops)


def _known(parts: Mapping[str, Offered]) -> dict[str, Offered]:
    return {
        name: Offered(np.nan_to_num(one.octets), np.nan_to_num(one.packets)) for name, one in parts.items()
    }


def _total(volumes: Volumes) -> Volume:
    return Volume(round(float(np.nansum(volumes.octets))), round(float(np.nansum(volumes.packets))))


def _sum(columns: Iterable[Floats]) -> Floats:
    """Of parts; one that was not counted yet had its packets in another."""
    found: Floats = np.sum([np.nan_to_num(one) for one in columns], axis=0)
    return found
