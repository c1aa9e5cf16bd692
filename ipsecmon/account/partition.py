"""The identity of the line: what its interface counted is the sum of its parts and of named terms.

    interface octets = Σ parts + Σ TERMS + unexplained

In: sums over one and the same time, of one direction. Out: each term in octets where it is known, the bounds
of those that are not, and one word. A term that is not known is None and never silently part of another: what
remains is `unexplained`, and it either lies within the bounds (`explained`) or does not (`disagree`).
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Optional

from ipsecmon.model import ObservationPoint

__all__ = ["TERMS", "Agreement", "Identity", "Volume", "identify", "less", "summed"]

LARGEST_PACKET = 1500  # octets in one frame of an Internet line
SMALLEST_PACKET = 20
# Octets of a frame that rules do not see, on average: ARP, PPP control, LLDP and headers of merged packets
# keep to it; packets that rules have missed do not, and are a disagreement.
LARGEST_UNSEEN = 256
ETHERNET_HEADER = 14  # where the kernel counts link headers at all
LARGEST_LINK_HEADER = 18  # Ethernet with one VLAN tag

TERMS = (
    "link-headers",
    "fragment-headers",
    "gro-headers",
    "non-ip",
    "qdisc-drops",
    "dropped-before-rules",
    "read-skew",
    "rules-gone",
)


class Agreement(str, enum.Enum):
    """agree: to the octet. explained: what remains lies within the bounds of terms that are not known."""

    AGREE = "agree"
    EXPLAINED = "explained"
    DISAGREE = "disagree"


class Volume(NamedTuple):
    octets: int = 0
    packets: int = 0


class _Term(NamedTuple):
    """octets: None where not known, and then nothing in the sum. least, most: what it can be."""

    octets: Optional[int]
    least: int
    most: int
    reason: str = ""


@dataclass(frozen=True)
class Identity:
    """terms, with `unexplained`, and the parts add up to the interface's octets; None adds nothing.

    packets: of the terms that have some. bounds: least and most of the terms that are not known or estimated.
    beyond: octets by which the bounds do not do: 0 but where it disagrees. reasons: why it is not to the
    octet, in words; main_term: which one may make most of it, if any.
    """

    terms: Mapping[str, Optional[int]]
    packets: Mapping[str, int]
    bounds: Mapping[str, tuple[int, int]]
    estimated: tuple[str, ...]
    unexplained: int
    agreement: Agreement
    reasons: tuple[str, ...]
    beyond: int = 0
    main_term: str = ""


def identify(nic: Volume, parts: Volume, said: Mapping[ObservationPoint, Volume]) -> Identity:
    """nic: packets are frames. parts: their sum. said: what was read of the terms; a missing one is 0.

    Link headers are said of as many frames as they are known of. The others have one of the kernel's two
    lengths each: where all of one length close the identity to the octet, they are of that one.
    """
    known = said.get(ObservationPoint.LINK_HEADERS, Volume())
    others = nic.packets - known.packets
    if others > 0:
        for length in (ETHERNET_HEADER, 0):
            octets = known.octets + others * length
            found = _identified(nic, parts, said, _Term(octets, octets, octets))
            if found.agreement is Agreement.AGREE:
                return found
    return _identified(nic, parts, said, _link_headers(known, others))


def _identified(
    nic: Volume, parts: Volume, said: Mapping[ObservationPoint, Volume], headers: _Term
) -> Identity:
    drops = said.get(ObservationPoint.QDISC_DROPS, Volume())
    fragmented = said.get(ObservationPoint.FRAGMENT_HEADERS, Volume())
    over = Volume(
        nic.octets - parts.octets - (headers.octets or 0),
        nic.packets - parts.packets + drops.packets,
    )
    dropped = _drops(drops.packets, parts, over, fragmented, headers.octets is not None)
    over = over._replace(octets=over.octets - (dropped.octets or 0))
    fragments, fragment_packets = _fragments(over, fragmented)
    unseen = over.packets - fragment_packets
    gone = said.get(ObservationPoint.RULES_GONE, Volume())
    before = said.get(ObservationPoint.DROPPED_BEFORE_RULES, Volume())
    terms = {
        "link-headers": headers,
        "fragment-headers": fragments,
        "gro-headers": _Term(None if unseen > 0 else 0, 0, 0),  # within the bound of non-ip
        "non-ip": _unseen(unseen, before.packets, gone.packets),
        "qdisc-drops": dropped,
        "dropped-before-rules": _dropped(before.packets, unseen),
        "read-skew": _skew(said.get(ObservationPoint.READ_SKEW, Volume())),
        "rules-gone": _gone(gone),
    }
    packets = {
        "link-headers": nic.packets,
        "fragment-headers": fragment_packets,
        "qdisc-drops": drops.packets,
        "dropped-before-rules": before.packets,
        "rules-gone": gone.packets,
        "unexplained": unseen,
    }
    return _closed(nic.octets - parts.octets, terms, packets)


def _closed(over: int, terms: Mapping[str, _Term], packets: Mapping[str, int]) -> Identity:
    unexplained = over - sum(term.octets or 0 for term in terms.values())
    open_terms = {name: term for name, term in terms.items() if term.least != term.most}
    drops = {"qdisc-drops": terms["qdisc-drops"]} if packets["qdisc-drops"] else {}
    adds_up = bool(drops) and "qdisc-drops" not in open_terms and not packets["unexplained"]
    told = drops if adds_up else {**open_terms, **drops}
    is_exact = unexplained == 0 and packets["unexplained"] == 0 and not packets["qdisc-drops"]
    least, most = (sum(getattr(one, end) for one in terms.values()) for end in ("least", "most"))
    if is_exact:
        agreement = Agreement.AGREE
    else:
        agreement = Agreement.EXPLAINED if least <= over <= most else Agreement.DISAGREE
    widest = max(told, key=lambda name: told[name].most - told[name].least, default="")
    return Identity(
        terms={**{name: terms[name].octets for name in TERMS}, "unexplained": unexplained},
        packets=packets,
        bounds={name: (term.least, term.most) for name, term in open_terms.items()},
        estimated=()
        if is_exact
        else tuple(name for name, one in open_terms.items() if one.octets is not None),
        unexplained=unexplained,
        agreement=agreement,
        reasons=() if is_exact else _reasons(agreement, over, (least, most), told, packets["unexplained"]),
        beyond=over - min(max(over, least), most),
        main_term="" if is_exact else widest,
    )


def _reasons(
    agreement: Agreement, over: int, ends: tuple[int, int], terms: Mapping[str, _Term], unseen: int
) -> tuple[str, ...]:
    words = tuple(term.reason for term in terms.values() if term.reason)
    if agreement is Agreement.EXPLAINED:
        return words or (f"rules counted {_number(-unseen, 'packet')} more than the interface frames",)
    least, most = ends
    if over > most:
        beyond = f"the interface counted {_number(over - most, 'octet')} more than parts and terms come to"
    else:
        beyond = f"the interface counted {_number(least - over, 'octet')} fewer than parts and terms come to"
    return (beyond, *words)


def _link_headers(known: Volume, others: int) -> _Term:
    """others: frames of which it is not known."""
    if others <= 0:
        return _Term(known.octets, known.octets, known.octets)
    reason = f"the link headers of {_number(others, 'frame')} are not known: between none and a VLAN's"
    return _Term(None, known.octets, known.octets + others * LARGEST_LINK_HEADER, reason)


def _fragments(over: Volume, said: Volume) -> tuple[_Term, int]:
    """And the frames of it. The kernel may have counted fragments that are on other interfaces or, inbound,
    were put together behind the rules: they are in the term where the rest of the numbers has room for them.
    """
    if not said.packets:
        return _Term(0, 0, 0), 0
    fits = over.packets >= said.packets and over.octets >= said.octets
    octets, packets = said if fits else Volume()
    if 0 < over.packets <= said.packets and over.octets == over.packets * said.octets / said.packets:
        octets, packets = over  # so many of them, each with its header: the others were elsewhere
    if (octets, packets) == over:  # to the octet and to the frame: they are these
        return _Term(octets, octets, octets), packets
    reason = f"fragments of IPv4 are counted for the whole machine: {said.octets:,} octets of their headers"
    return _Term(octets, 0, said.octets, reason), packets


def _unseen(frames: int, dropped: int, gone: int) -> _Term:
    """dropped: of these at most so many, which have a bound of their own. gone: and so many had no rules."""
    if frames <= 0:
        return _Term(0, 0, 0)
    most = max(0, frames - dropped) * LARGEST_UNSEEN
    reason = f"{_number(frames, 'frame')} not seen by rules: not IP (ARP, PPP control), or merged by GRO"
    return _Term(None, 0, most, reason if frames > gone else "")


def _dropped(packets: int, unseen: int) -> _Term:
    """Of the frames that the interface counted and no rule saw, at most so many."""
    if not packets:
        return _Term(0, 0, 0)
    frames = max(0, min(packets, unseen))
    reason = f"{_number(packets, 'packet')} at most dropped before rules see them, octets not told"
    return _Term(None, 0, frames * LARGEST_PACKET, reason)


def _drops(packets: int, parts: Volume, over: Volume, fragmented: Volume, knows_headers: bool) -> _Term:
    """Octets of what the queueing discipline dropped, as a negative number; it tells packets only.

    over: of the interface without link headers over the parts, frames as if nothing had been dropped. Where
    these are as many as rules saw, with all fragments or none, nothing but the drops is missing: they are the
    difference. Else of the mean size, though what is dropped is rather the larger ones.
    """
    if not packets:
        return _Term(0, 0, 0)
    least, most = -packets * LARGEST_PACKET, -packets * SMALLEST_PACKET
    missing = over.octets - (fragmented.octets if over.packets else 0)
    who = f"{_number(packets, 'packet')} dropped by the queueing discipline"
    if knows_headers and over.packets in (0, fragmented.packets) and least <= missing <= most:
        mean = round(-missing / packets)
        reason = f"{who}: of {mean:,} octets, by what the interface has less, as its frames add up"
        return _Term(missing, missing, missing, reason)
    octets = round(packets * parts.octets / parts.packets) if parts.packets else 0
    return _Term(-octets, least, most, f"{who}, which tells no octets")


def _skew(said: Volume) -> _Term:
    """At the first reading and at the last."""
    most = 2 * said.octets
    if not most:
        return _Term(0, 0, 0)
    return _Term(
        None, -most, most, f"up to {said.octets:,} octets lay between interface and rules when they were read"
    )


def _gone(said: Volume) -> _Term:
    """Of what the interface counted then, with its headers, rules may have seen all or nothing."""
    if not said.octets:
        return _Term(0, 0, 0)
    what = f"{said.octets:,} octets in {_number(said.packets, 'frame')} at most"
    return _Term(None, 0, said.octets, f"our rules did not stand all the time: {what} are in no part")


def summed(volumes: Iterable[Volume]) -> Volume:
    ones = list(volumes)
    return Volume(sum(one.octets for one in ones), sum(one.packets for one in ones))


def less(whole: Volume, others: Iterable[Volume]) -> Volume:
    """What is left of whole without the others."""
    taken = summed(others)
    return Volume(whole.octets - taken.octets, whole.packets - taken.packets)


def _number(count: int, what: str) -> str:
    return f"{count:,} {what}" + ("" if count == 1 else "s")
