"""Plans for the tests of rules."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

from ipsecmon.model import Direction, ObservationPoint
from ipsecmon.ruleset.model import Inside, Kind, Match, Part, Plan, Tap, Tunnel

__all__ = ["rich_plan", "small_plan", "two_lines"]

PEERS = ("198.51.100.7", "2001:db8:7::1")
WEB = Match(protocols=(6,), ports=((80, 80), (443, 443)))
GUESTS = Match(local=("10.1.5.0/24", "2001:db8:5::/64"))
ONE_WAY = Match(
    protocols=(6, 17),
    source=("10.0.0.0/8",),
    source_ports=((1024, 65535),),
    destination=("192.0.2.0/24",),
    destination_ports=((53, 53), (853, 853)),
)
AS_ON_THE_WIRE = Match(host=("203.0.113.0/24",), lan_view=False)
VOICE = Match(protocols=(17,), ports=((5060, 5060), (10000, 20000)), remote=("10.9.0.0/16",))
LANS = Match(
    local=("10.1.0.0/16", "fd01::/64"), remote=("10.2.0.0/16", "10.3.0.0/16", "fd02::/64"), lan_view=False
)
ONE_FAMILY = Match(local=("192.168.1.0/24",), remote=("198.51.100.0/24",), lan_view=False)


def rich_plan(does_nat: bool = False) -> Plan:
    """Every kind of part, both families, two lines, nfmarks, drill-downs, hostile names."""
    groups = count(5600)
    return Plan(
        table="ipsecmon",
        interfaces=("eth1", "ppp0"),
        parts=tuple(part for way in (Direction.IN, Direction.OUT) for part in _parts(way, groups)),
        tunnels=tuple(one for way in (Direction.IN, Direction.OUT) for one in _tunnels(way, groups)),
        nfmark_mask=0x00FF0000,
        does_nat=does_nat,
    )


def small_plan(table: str = "ipsecmon", match: Match = WEB) -> Plan:
    """One clear counter and the rest, on wan0."""
    groups = count(5600)
    return Plan(
        table=table,
        interfaces=("wan0",),
        parts=tuple(
            part
            for way in (Direction.IN, Direction.OUT)
            for part in (
                Part(Kind.CLEAR, _wire("web", way, groups), match=match),
                Part(Kind.OTHER, _wire("other", way, groups)),
            )
        ),
        tunnels=tuple(Tunnel(_inner("inner", way, groups)) for way in (Direction.IN, Direction.OUT)),
    )


def two_lines() -> Plan:
    """Each with a part of its own for web and for the rest; the second has two interfaces."""
    groups = count(5600)
    lines = {"A": ("eth1",), "B": ("ppp0", "ppp1")}
    return Plan(
        table="ipsecmon",
        interfaces=("eth1", "ppp0", "ppp1"),
        parts=tuple(
            part
            for name, interfaces in lines.items()
            for way in (Direction.IN, Direction.OUT)
            for part in (
                Part(Kind.AH, _wire(f"ah@{name}", way, groups), interfaces=interfaces),
                Part(Kind.CLEAR, _wire(f"web@{name}", way, groups), match=WEB, interfaces=interfaces),
                Part(Kind.OTHER, _wire(f"other@{name}", way, groups), interfaces=interfaces),
            )
        ),
        tunnels=tuple(Tunnel(_inner("inner", way, groups)) for way in (Direction.IN, Direction.OUT)),
    )


def _parts(way: Direction, groups: Iterator[int]) -> Iterator[Part]:
    inbound = way is Direction.IN
    yield Part(Kind.IKE, _wire("ike", way, groups))
    yield Part(Kind.PEER, _wire("VPN-to-parent", way, groups), PEERS, nfmark=0x00010000 if inbound else None)
    yield Part(Kind.ESP, _wire("esp", way, groups))
    yield Part(Kind.NATT, _wire("nat-t", way, groups))
    yield Part(Kind.AH, _wire("ah", way, groups))
    clear = {
        "web": WEB,
        'guests"; drop; #': GUESTS,
        "one way": ONE_WAY,
        "as on the wire": AS_ON_THE_WIRE,
    }
    for name, match in clear.items():
        yield Part(Kind.CLEAR, _wire(name, way, groups), match=match)
    for kind in (Kind.GRE, Kind.L2TP, Kind.OTHER):
        yield Part(kind, _wire(kind.value, way, groups))


def _tunnels(way: Direction, groups: Iterator[int]) -> Iterator[Tunnel]:
    drill_down = (Inside(_inner("web inside", way, groups), WEB),)
    inside = (Inside(_inner("Über-Büro } accept", way, groups), VOICE),)
    tag = 0x00010000 if way is Direction.OUT else None
    yield Tunnel(_inner("by reqid", way, groups), reqids=((7, 7), (10, 12)))
    yield Tunnel(_inner("between LANs", way, groups), subnets=(LANS, ONE_FAMILY), inside=drill_down)
    yield Tunnel(_inner("of a peer", way, groups), PEERS[:1], subnets=(ONE_FAMILY,), reqids=((20, 21),))
    yield Tunnel(_inner("VPN-to-parent", way, groups), PEERS, inside, tag)
    yield Tunnel(_inner("inner", way, groups))


def _wire(name: str, way: Direction, groups: Iterator[int]) -> Tap:
    return Tap(name, way, ObservationPoint.WIRE, next(groups))


def _inner(name: str, way: Direction, groups: Iterator[int]) -> Tap:
    return Tap(name, way, ObservationPoint.INNER, next(groups))
