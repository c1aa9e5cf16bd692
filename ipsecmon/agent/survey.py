"""What a router's own tools say about it -> what a config for it should hold.

Answers (texts of ip and tc, connections of the IKE daemon) ─▶ survey() ─▶ Survey ─▶ survey_config
                                                    survey_peers ─▶ Tunnels ─┘

Pure: survey_machine asks the machine. Nothing here ever held a key.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Optional

from ipsecmon.agent.survey_ike import Connection
from ipsecmon.agent.survey_ip import (
    TUNNEL_KINDS,
    Link,
    read_default_routes,
    read_links,
    read_pppoe,
)
from ipsecmon.agent.survey_peers import Tunnel, find_tunnels
from ipsecmon.agent.survey_tc import Shaper
from ipsecmon.agent.survey_xfrm import read_policies, read_states
from ipsecmon.config import BUILT_IN_PARTS
from ipsecmon.errors import SourceError
from ipsecmon.model import UNNAMED

__all__ = ["LINE_NAME", "Answers", "Survey", "choose_line", "survey"]

LINE_NAME = "internet"
MAX_NAME = 56  # characters: what a counter's name may have, less room for a number that tells two apart
_NO_NAMES = ("(none)", "localhost", "localhost.localdomain")  # of a host that nobody has named
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
    rules: str = ""
    pppoe: str = ""
    states: Optional[str] = None
    policies: Optional[str] = None
    shaper_in: Optional[Shaper] = None
    shaper_out: Optional[Shaper] = None
    connections: tuple[Connection, ...] = ()
    resolved: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    unread: tuple[str, ...] = ()


@dataclass(frozen=True)
class Survey:
    """What was found.

    other_lines: further ways out. road_warriors: connections that anybody may call. callers: those who
    call now. lans: the inside networks of each interface.
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
    routes = read_default_routes(answers.routes, answers.rules)
    chosen = choose_line(links, routes, wanted_line)
    line = replace(chosen, lower=_carrier(chosen, links, answers.pppoe))
    others = tuple(link for link in links if link.name in routes and link != chosen)
    own = {address for link in links for address in link.addresses}
    tunnels, callers = find_tunnels(
        answers.connections,
        answers.resolved,
        (*read_states(answers.states or "", own), *read_policies(answers.policies or "", own)),
        links,
    )
    return Survey(
        router="router" if answers.router in _NO_NAMES else _printable(answers.router) or "router",
        line=line,
        other_lines=tuple(sorted(others, key=lambda link: routes.index(link.name))),
        shaper_in=answers.shaper_in,
        shaper_out=answers.shaper_out,
        tunnels=_with_distinct_names(_by_line(tunnels, line, others)),
        road_warriors=tuple(_printable(one.name) for one in answers.connections if not one.remotes),
        callers=callers,
        links=tuple(link for link in links if link != chosen and _is_notable(link)),
        lans=tuple(link for link in links if link not in (chosen, *others) and _is_lan(link, line)),
        unread=answers.unread,
    )


def _carrier(line: Link, links: Sequence[Link], pppoe: str) -> str:
    """The interface that the line stands on; of PPPoE where there is one session: ip(8) does not tell."""
    devices = read_pppoe(pppoe)
    sessions = [link for link in links if link.kind == "ppp"]
    return devices[0] if sessions == [line] and len(devices) == 1 else line.lower


def _by_line(tunnels: Sequence[Tunnel], line: Link, others: Sequence[Link]) -> list[Tunnel]:
    """Each with the other way out that its near end is an address of, if it is."""
    named = []
    for tunnel in tunnels:
        elsewhere = (link.name for link in others if not set(link.addresses).isdisjoint(tunnel.near_ends))
        is_ours = not tunnel.near_ends or not set(line.addresses).isdisjoint(tunnel.near_ends)
        named.append(tunnel if is_ours else replace(tunnel, other_line=next(elsewhere, "")))
    return named


def _with_distinct_names(tunnels: Sequence[Tunnel]) -> tuple[Tunnel, ...]:
    """Names as the config takes them: printable, not too long, unlike each other and the line's."""
    taken = {name.casefold() for name in (*BUILT_IN_PARTS, UNNAMED, LINE_NAME)}
    named = []
    for tunnel in tunnels:
        stem = _printable(tunnel.name).replace("@", "-")[:MAX_NAME].strip() or "ipsec"
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


def _is_lan(link: Link, line: Link) -> bool:
    """Not what PPPoE goes over either: behind that is a modem."""
    carries = line.kind == "ppp" and link.name == line.lower
    return bool(link.networks) and link.kind not in _NO_LAN_KINDS and not carries
