"""What people have to know about a tunnel's numbers, in sentences; nothing where all is as usual."""

from __future__ import annotations

from collections.abc import Iterator

from ipsecmon.cli.agreement import render_difference
from ipsecmon.cli.tunnel_sums import Tunnel, Way
from ipsecmon.model import Direction, Word
from ipsecmon.units import render_octets

__all__ = ["tunnel_notes"]

_WAYS = {
    Direction.IN: "inbound",
    Direction.OUT: "outbound",
    Direction.UNKNOWN: "in one direction or the other",
}


def tunnel_notes(tunnel: Tunnel) -> list[str]:
    return [
        *_bounds(tunnel),
        *_unknown(tunnel),
        *_dropped(tunnel),
        *_path(tunnel),
        *_derived(tunnel),
        *_wire(tunnel),
        *_disagreement(tunnel),
        *_layers(tunnel),
    ]


def _bounds(tunnel: Tunnel) -> Iterator[str]:
    for direction, way in tunnel.ways.items():
        yield from _bound(direction, way)


def _bound(direction: Direction, way: Way) -> Iterator[str]:
    total = way.total
    if total.error_bound_octets or total.error_bound_packets:
        bound = f"{total.error_bound_octets:,} octets and {total.error_bound_packets:,} packets"
        ends = total.unseen_ends - total.unbounded_ends
        yield f"up to {bound} more {_WAYS[direction]}: the end of {_sas(ends)} was not seen"
    if total.unbounded_ends:
        unbounded = _sas(total.unbounded_ends)
        yield (
            f"more {_WAYS[direction]}, and nothing tells how much: the end of {unbounded} was not seen, "
            "and no rule counts this tunnel"
        )


def _unknown(tunnel: Tunnel) -> Iterator[str]:
    way = tunnel.ways.get(Direction.UNKNOWN)
    if way:
        total = way.total
        what = f"{render_octets(total.octets)} in {total.packets:,} packets"
        yield f"{what} of SAs whose direction is not known ({total.sas} alive) are neither in nor out"


def _dropped(tunnel: Tunnel) -> Iterator[str]:
    for name, why in (
        ("integrity_failures", "failed the integrity check"),
        ("replayed_packets", "were dropped as seen before"),
        ("late_packets", "were dropped as too late for the replay window"),
    ):
        packets = tunnel.sum(name)
        if packets:
            yield f"{packets:,} packets {why}"


def _path(tunnel: Tunnel) -> Iterator[str]:
    inbound = tunnel.ways[Direction.IN].total
    if tunnel.lost_packets is None:
        yield "anti-replay is off: path loss is not known"
    elif inbound.sas_without_anti_replay:
        some = f"{inbound.sas_without_anti_replay} of {inbound.sas} inbound SAs"
        yield f"anti-replay is off in {some}: their path loss is not known"


def _derived(tunnel: Tunnel) -> Iterator[str]:
    octets = tunnel.sum("derived_octets")
    if octets:
        added = f"{octets:,} octets of IP headers, which SAs do not count"
        yield f"transport or BEET mode: {added}, are derived from the packets and are in the totals"


def _wire(tunnel: Tunnel) -> Iterator[str]:
    ratio = tunnel.overhead_ratio
    if ratio is not None and ratio < 1:
        yield (
            "fewer octets on the line than inside: its ESP goes another way, or is decrypted before "
            "rules see it (esp4_offload, esp6_offload)"
        )


def _disagreement(tunnel: Tunnel) -> Iterator[str]:
    for direction, way in tunnel.ways.items():
        if way.agreement and way.agreement.word is Word.DISAGREE:
            yield f"meters disagree {_WAYS[direction]}: {render_difference(way.agreement)}"


def _layers(tunnel: Tunnel) -> Iterator[str]:
    """No session of L2TP is as usual, no GRE or xfrm interface is not."""
    if tunnel.carries == "gre" and not tunnel.inside.is_up:
        yield (
            "no GRE interface is known to lead through it, so what is in its GRE is not counted: none has "
            "its ends, or one with many far ends, or one that is routed into an xfrm interface"
        )
    if tunnel.carries == "xfrm" and not tunnel.inside.is_up:
        yield (
            "no xfrm interface is known to be of it alone, so what passes through one is not counted: none "
            "has the if_id of its SAs, or those of others have it too (`ipsecmon status`), or it has no SA"
        )


def _sas(number: int) -> str:
    return "1 SA" if number == 1 else f"{number:,} SAs"
