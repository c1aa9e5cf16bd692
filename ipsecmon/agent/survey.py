"""What a router's own tools say about it -> what a config for it should hold.

Answers (texts of ip and tc, connections of the IKE daemon) ─▶ survey() ─▶ Survey ─▶ survey_config

Pure: survey_machine asks the machine. Nothing here ever held a key.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Optional

from ipsecmon.agent.survey_ike import Connection
from ipsecmon.agent.survey_ip import TUNNEL_KINDS, Link, read_default_routes, read_links
from ipsecmon.agent.survey_tc import Shaper
from ipsecmon.agent.survey_xfrm import Sighting, read_policies, read_states
from ipsecmon.config import BUILT_IN_PARTS
from ipsecmon.config.readers import parse_address
from ipsecmon.errors import SourceError

__all__ = ["LINE_NAME", "Answers", "Survey", "Tunnel", "choose_line", "survey"]

LINE_NAME = "internet"
MAX_NAME = 56  # characters: what a counter's name may have, less room for a number that tells two apart
_NO_LAN_KINDS = (*TUNNEL_KINDS, "ppp", "loopback", "ifb")


@dataclass(frozen=True)
class Answers:
    """What was asked and answered. None: the answer was refused.

    resolved: the addresses of each host name that a connection names, none where it does not resolve.
    unread: one line each on what could not be read, and why.
    """

    router: str
    links: str
    addresses: str
    routes: str
    states: Optional[str] = None
    policies: Optional[str] = None
    shaper_in: Optional[Shaper] = None
    shaper_out: Optional[Shaper] = None
    connections: tuple[Connection, ...] = ()
    resolved: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    unread: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tunnel:
    """IPsec with one fixed peer, under a name that a counter may have.

    also: further connections with that peer. can_start: its address is known now.
    """

    name: str
    peer: str
    also: tuple[str, ...] = ()
    has_sas: bool = False
    in_udp: bool = False
    can_start: bool = True


@dataclass(frozen=True)
class Survey:
    """What was found.

    other_lines: further ways out. road_warriors: connections that anybody may call. callers: peers of now
    that no connection names, where there are such connections. lans: the inside networks of each interface.
    """

    router: str
    line: Link
    other_lines: tuple[Link, ...] = ()
    shaper_in: Optional[Shaper] = None
    shaper_out: Optional[Shaper] = None
    tunnels: tuple[Tunnel, ...] = ()
    road_warriors: tuple[str, ...] = ()
    callers: tuple[str, ...] = ()
    links: tuple[Link, ...] = ()
    lans: tuple[Link, ...] = ()
    unread: tuple[str, ...] = ()


def choose_line(links: Sequence[Link], routes: Sequence[str], wanted: Optional[str]) -> Link:
    """The wanted interface, else the first default route's that is no tunnel. Raises SourceError."""
    there = {link.name: link for link in links}
    names = ", ".join(link.name for link in links if link.kind != "loopback") or "none"
    if wanted is not None:
        if wanted not in there:
            raise SourceError(f"no such interface: {wanted} (there are {names})")
        return there[wanted]
    for name in routes:
        if name in there and there[name].kind not in TUNNEL_KINDS:
            return there[name]
    raise SourceError(
        "no default route says which interface is the Internet line: "
        f"name it, ipsecmon init --line INTERFACE (there are {names})"
    )


def survey(answers: Answers, wanted_line: Optional[str] = None) -> Survey:
    """Raises SourceError where no line can be told."""
    links = read_links(answers.links, answers.addresses)
    routes = read_default_routes(answers.routes)
    line = choose_line(links, routes, wanted_line)
    others = tuple(link for link in links if link.name in routes and link != line)
    tunnels, callers = _tunnels(answers, links)
    return Survey(
        router=_printable(answers.router) or "router",
        line=line,
        other_lines=tuple(sorted(others, key=lambda link: routes.index(link.name))),
        shaper_in=answers.shaper_in,
        shaper_out=answers.shaper_out,
        tunnels=_with_distinct_names(tunnels),
        road_warriors=tuple(_printable(one.name) for one in answers.connections if not one.remotes),
        callers=callers,
        links=tuple(link for link in links if link != line and _is_notable(link)),
        lans=tuple(link for link in links if link not in (line, *others) and _is_lan(link)),
        unread=answers.unread,
    )


def _tunnels(answers: Answers, links: Sequence[Link]) -> tuple[list[Tunnel], tuple[str, ...]]:
    """Tunnels by peer: those of connections, then those seen in the kernel only; and the callers."""
    own = {address for link in links for address in link.addresses}
    seen = _by_address(_sightings(answers, own))
    vtis = (Connection(link.name, (link.far_end,)) for link in links if _names_peer(link))
    found: dict[str, Tunnel] = {}
    owners: dict[str, str] = {}  # address -> the peer in found that has it
    for connection in (*answers.connections, *vtis):
        for remote in connection.remotes:
            if own.isdisjoint((remote, *answers.resolved.get(remote, ()))):
                _add(connection.name, remote, answers, found, owners)
    strangers = [address for address in seen if address not in owners]
    anybody_may_call = any(not connection.remotes for connection in answers.connections)
    if not anybody_may_call:
        for address in strangers:
            found[address] = Tunnel(f"ipsec-{address}", address)
            owners[address] = address
    for address, sighting in seen.items():
        if address in owners:
            tunnel = found[owners[address]]
            found[owners[address]] = replace(
                tunnel,
                has_sas=tunnel.has_sas or sighting.has_sas,
                in_udp=tunnel.in_udp or sighting.in_udp,
            )
    return list(found.values()), tuple(strangers) if anybody_may_call else ()


def _add(name: str, remote: str, answers: Answers, found: dict[str, Tunnel], owners: dict[str, str]) -> None:
    """A tunnel with remote, or its name under also where that peer has one."""
    addresses = (remote,) if parse_address(remote) else answers.resolved.get(remote, ())
    peer = next((owners[address] for address in (remote, *addresses) if address in owners), None)
    if peer is None:
        found[remote] = Tunnel(name, remote, can_start=bool(addresses))
        owners.update(dict.fromkeys((remote, *addresses), remote))
    elif name not in (found[peer].name, *found[peer].also):
        found[peer] = replace(found[peer], also=(*found[peer].also, name))


def _sightings(answers: Answers, own: set[str]) -> Iterator[Sighting]:
    yield from read_states(answers.states or "", own)
    yield from read_policies(answers.policies or "", own)


def _by_address(sightings: Iterator[Sighting]) -> dict[str, Sighting]:
    found: dict[str, Sighting] = {}
    for one in sightings:
        address = parse_address(one.address)
        if address is None or address.is_unspecified or address.is_multicast or address.is_loopback:
            continue
        before = found.get(str(address), one)
        found[str(address)] = Sighting(
            str(address), before.has_sas or one.has_sas, before.in_udp or one.in_udp
        )
    return found


def _names_peer(link: Link) -> bool:
    address = parse_address(link.far_end)
    return link.kind in ("vti", "vti6") and address is not None and not address.is_unspecified


def _with_distinct_names(tunnels: Sequence[Tunnel]) -> tuple[Tunnel, ...]:
    """Names as the config takes them: printable, not too long, unlike each other and the line's."""
    taken = {name.casefold() for name in (*BUILT_IN_PARTS, LINE_NAME)}
    named = []
    for tunnel in tunnels:
        stem = _printable(tunnel.name)[:MAX_NAME].strip() or "ipsec"
        numbered = (stem, *(f"{stem}-{number}" for number in range(2, len(tunnels) + len(taken) + 2)))
        name = next(name for name in numbered if _folded(name) not in taken)
        taken.add(_folded(name))
        named.append(replace(tunnel, name=name, also=tuple(_printable(one) for one in tunnel.also)))
    return tuple(named)


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold()


def _printable(text: str) -> str:
    return "".join(char for char in text if char.isprintable()).strip()


def _is_notable(link: Link) -> bool:
    """A tunnel or PPP; not the kernel's own, such as gre0, which end nowhere and are down."""
    return link.kind in (*TUNNEL_KINDS, "ppp") and (link.is_up or bool(link.far_end or link.number))


def _is_lan(link: Link) -> bool:
    return bool(link.networks) and link.kind not in _NO_LAN_KINDS
