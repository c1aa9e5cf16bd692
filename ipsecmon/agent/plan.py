"""From the user's config to the plan of the rules: which parts, in which order, on which NFLOG groups.

The order is the partition's: IKE, then ESP and AH of the named peers, then the rest of ESP, NAT-T and AH,
then the named clear counters as the file has them, then GRE and L2TP in the clear, then `other`. Inside: the
named tunnels that rules can tell, with their drill-downs, then `inner`, whatever else was decrypted or will
be encrypted.

Of several lines each has parts of its own, named PART@LINE; the bare name is their sum.

A counter that had an NFLOG group keeps it, wherever it now stands in the file: a copy that is on its way when
rules are replaced must not be taken for another counter's.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Callable, Optional

from ipsecmon.config import Config, Counter, Line, Subnets
from ipsecmon.config import Match as ConfigMatch
from ipsecmon.config.readers import parse_address
from ipsecmon.config.tunnels import ruled_tunnels, wire_tunnels
from ipsecmon.errors import ConfigError
from ipsecmon.model import CounterKey, Direction, LineCapacity, ObservationPoint, bare_name, on_line
from ipsecmon.ruleset.model import Inside, Kind, Match, Part, Plan, Tap, Tunnel

__all__ = [
    "Resolve",
    "build_plan",
    "capacities",
    "group_ranges",
    "line_parts",
    "part_sums",
    "peer_addresses",
]

Resolve = Callable[[str], tuple[str, ...]]
_WAYS = (Direction.IN, Direction.OUT)
_NAMES = {
    Kind.IKE: "ike",
    Kind.ESP: "esp",
    Kind.NATT: "nat-t",
    Kind.AH: "ah",
    Kind.GRE: "gre",
    Kind.L2TP: "l2tp",
    Kind.OTHER: "other",
}
_WIRE, _INNER = ObservationPoint.WIRE, ObservationPoint.INNER


def build_plan(
    config: Config,
    resolve: Resolve,
    table: str = "ipsecmon",
    kept: Optional[Mapping[CounterKey, int]] = None,
    busy: Collection[int] = (),
) -> Plan:
    """kept: groups that counters have by now. busy: groups that no other counter may get yet.

    Raises ConfigError where a peer's name has no address or the NFLOG groups do not suffice.
    """
    if config.rules != "managed":
        return _watching_plan(config, table)
    groups = _Groups(config, kept or {}, busy)
    peers = peer_addresses(config.counters, resolve)
    nfmarks = _nfmarks(config, list(ruled_tunnels(config.counters)))
    plan = Plan(
        table=table,
        interfaces=_interfaces(config.lines),
        parts=tuple(
            part
            for line in config.lines
            for way in _WAYS
            for part in _parts(config, line, way, groups, peers, nfmarks)
        ),
        tunnels=tuple(tunnel for way in _WAYS for tunnel in _tunnels(config, way, groups, peers, nfmarks)),
        nfmark_mask=config.nfmark.mask,
        receive_buffer=config.nflog.receive_buffer_octets,
        backend=config.backend,
        nfacct=config.nflog.nfacct,
    )
    plan.check()
    return plan


def _interfaces(lines: Iterable[Line]) -> tuple[str, ...]:
    return tuple(name for line in lines for name in line.interfaces)


def _watching_plan(config: Config, table: str) -> Plan:
    """Of rules that the administrator keeps; none at all with `rules: off`."""
    plan = Plan(
        table=table,
        interfaces=_interfaces(config.lines),
        parts=(),
        tunnels=(),
        receive_buffer=config.nflog.receive_buffer_octets,
        managed=False,
        watched=tuple(
            Tap(counter.name, pin.direction, pin.observed_at, pin.group)
            for counter in config.counters
            for pin in counter.pins
        ),
    )
    plan.check()
    return plan


def line_parts(config: Config, plan: Plan) -> dict[CounterKey, list[CounterKey]]:
    """Each line as a counter of its own: the sum of its parts, in each direction that has any."""
    parts = [(part.tap, part.interfaces) for part in plan.parts]
    parts += [(tap, ()) for tap in plan.watched if tap.observed_at is _WIRE]
    lines = {
        CounterKey(line.name, way, _WIRE): [
            tap.key for tap, on in parts if tap.direction is way and on in ((), line.interfaces)
        ]
        for line in config.lines
        for way in _WAYS
    }
    return {key: keys for key, keys in lines.items() if keys}


def part_sums(config: Config, plan: Plan) -> dict[CounterKey, list[CounterKey]]:
    """Each part that several lines have as a counter of its own, by the part's bare name."""
    sums: dict[CounterKey, list[CounterKey]] = {}
    for part in plan.parts if len(config.lines) > 1 else ():
        key = part.tap.key
        sums.setdefault(key._replace(name=bare_name(key.name)), []).append(key)
    return sums


def capacities(config: Config) -> tuple[LineCapacity, ...]:
    """Of the lines whose capacity the config tells, in both directions."""
    return tuple(
        LineCapacity(line.name, way, bits_per_s)
        for line in config.lines
        if line.capacity
        for way, bits_per_s in zip(_WAYS, (line.capacity.in_bits_per_s, line.capacity.out_bits_per_s))
    )


def group_ranges(config: Config) -> list[tuple[int, int]]:
    """Every NFLOG group that the config speaks of, as inclusive ranges."""
    pins = [pin.group for counter in config.counters for pin in counter.pins]
    return [*config.nflog.group_ranges, *((group, group) for group in pins)]


class _Groups:
    """Hands out NFLOG groups: the pinned one, else the one it had, else the next free one of the range."""

    def __init__(self, config: Config, kept: Mapping[CounterKey, int], busy: Collection[int]) -> None:
        self._pinned = {
            CounterKey(counter.name, pin.direction, pin.observed_at): pin.group
            for counter in config.counters
            for pin in counter.pins
        }
        pinned, mine = set(self._pinned.values()), set(config.nflog.groups)
        self._kept = {key: group for key, group in kept.items() if group in mine - pinned}
        taken = pinned.union(self._kept.values(), busy)
        self._free = (group for group in config.nflog.groups if group not in taken)
        _check_pins(self._pinned, kept, busy)

    def tap(self, name: str, way: Direction, observed_at: ObservationPoint) -> Tap:
        key = CounterKey(name, way, observed_at)
        group = self._pinned.get(key, self._kept.get(key))
        if group is None:
            group = next(self._free, None)
        if group is None:
            raise ConfigError(
                f"nflog.groups has too few numbers: counter {name!r} gets none; write a wider range"
            )
        return Tap(name, way, observed_at, group)


def _check_pins(
    pins: Mapping[CounterKey, int], kept: Mapping[CounterKey, int], busy: Collection[int]
) -> None:
    for key, group in pins.items():
        if group in busy and kept.get(key) != group:
            raise ConfigError(
                f"counter {key.name!r}: another counter has NFLOG group {group}: restart needed"
            )


def peer_addresses(counters: Iterable[Counter], resolve: Resolve) -> dict[str, tuple[str, ...]]:
    """Of each tunnel that is named by peers, by the counter's name. Raises ConfigError where one has none."""
    return {
        counter.name: tuple(
            dict.fromkeys(
                address for peer in counter.ipsec.peers for address in _addresses(counter.name, peer, resolve)
            )
        )
        for counter in counters
        if counter.ipsec and counter.ipsec.peers
    }


def _addresses(name: str, peer: str, resolve: Resolve) -> tuple[str, ...]:
    if parse_address(peer) is not None:
        return (peer,)
    found = resolve(peer)
    if not found:
        raise ConfigError(
            f"counter {name!r}: peer {peer} does not resolve to an address now: "
            "write its address, or start again when DNS answers"
        )
    return found


def _nfmarks(config: Config, names: Sequence[str]) -> dict[str, Optional[int]]:
    """A value inside the mask for each tunnel, from 1 up; none where the mask has no room or is off."""
    lowest = config.nfmark.mask & -config.nfmark.mask
    room = config.nfmark.mask // lowest
    if config.nfmark.use == "off" or len(names) > room:
        return dict.fromkeys(names)
    return {name: (position + 1) * lowest for position, name in enumerate(names)}


def _parts(
    config: Config,
    line: Line,
    way: Direction,
    groups: _Groups,
    peers: Mapping[str, tuple[str, ...]],
    nfmarks: Mapping[str, Optional[int]],
) -> Iterator[Part]:
    is_one_of_many = len(config.lines) > 1
    on = line.interfaces if is_one_of_many else ()

    def part(kind: Kind, name: str, **more: Any) -> Part:
        full_name = on_line(name, line.name) if is_one_of_many else name
        return Part(kind, groups.tap(full_name, way, _WIRE), interfaces=on, **more)

    yield part(Kind.IKE, _NAMES[Kind.IKE])
    for name, addresses in wire_tunnels(config.counters, peers).items():
        tag = nfmarks[name] if way is Direction.IN else None  # what comes out of the ESP inherits it
        yield part(Kind.PEER, name, peers=addresses, nfmark=tag)
    for kind in (Kind.ESP, Kind.NATT, Kind.AH):
        yield part(kind, _NAMES[kind])
    for counter in config.counters:
        if counter.match and not counter.inside_tunnel:
            yield part(Kind.CLEAR, counter.name, match=_match(counter.match))
    for kind in (Kind.GRE, Kind.L2TP, Kind.OTHER):
        yield part(kind, _NAMES[kind])


def _tunnels(
    config: Config,
    way: Direction,
    groups: _Groups,
    peers: Mapping[str, tuple[str, ...]],
    nfmarks: Mapping[str, Optional[int]],
) -> Iterator[Tunnel]:
    for name, ipsec in ruled_tunnels(config.counters).items():
        inside = tuple(
            Inside(groups.tap(counter.name, way, _INNER), _match(counter.match))
            for counter in config.counters
            if counter.match and counter.inside_tunnel == name
        )
        tag = nfmarks[name] if way is Direction.OUT else None  # the ESP inherits it
        yield Tunnel(
            groups.tap(name, way, _INNER),
            peers.get(name, ()),
            inside,
            tag,
            subnets=tuple(_between(subnets) for subnets in ipsec.subnets),
            reqids=ipsec.reqids,
        )
    yield Tunnel(groups.tap("inner", way, _INNER))


def _between(subnets: Subnets) -> Match:
    """As the IPsec policy has them: what our NAT makes of the addresses inside."""
    local, remote = (tuple(map(str, networks)) for networks in (subnets.local, subnets.remote))
    return Match(local=local, remote=remote, lan_view=False)


def _match(match: ConfigMatch) -> Match:
    def networks(values: Sequence[object]) -> tuple[str, ...]:
        return tuple(str(value) for value in values)

    return Match(
        protocols=match.protocols,
        ports=match.port,
        source_ports=match.source_port,
        destination_ports=match.destination_port,
        host=networks(match.host),
        local=networks(match.local),
        remote=networks(match.remote),
        source=networks(match.source),
        destination=networks(match.destination),
        lan_view=match.view == "lan",
    )
