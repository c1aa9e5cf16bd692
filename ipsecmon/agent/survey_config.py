"""A Survey -> the text of a config that says why each line is there.

Promised: `ipsecmon check` takes the text, whatever the machine's names are. Settings stand only for what
this version supports; everything else that was found is told in comments.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator

from ipsecmon.agent.survey import LINE_NAME, Survey
from ipsecmon.agent.survey_ip import GRE_KINDS, TUNNEL_KINDS, Link
from ipsecmon.agent.survey_peers import Tunnel
from ipsecmon.config.readers import parse_address

__all__ = ["render_config"]

MAX_TUNNELS = 500  # each takes 4 NFLOG groups
MAX_LISTED = 8  # of what is only named in a comment
_GROUPS = 400  # as many as nflog.groups has by default
_BUILT_IN_GROUPS = 16
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*|\d+\.\d+\.\d+\.\d+(/\d+)?")
_WORDS = ("true", "false", "null", "yes", "no", "on", "off", "y", "n")

_TUNNELS_TO_COME = {
    "xfrm": "an xfrm interface (if_id {number}); {told}",
    "vti": "a VTI to {far_end}; its IPsec is counted by peer, by interface not yet",
    "vti6": "a VTI to {far_end}; its IPsec is counted by peer, by interface not yet",
    "ppp": "a PPP session; one of L2TP in IPsec is counted with it, and apart with inside: l2tp",
    "wireguard": "WireGuard, which is not IPsec: in `other` on the line, unless you match its UDP port",
    "tun": "made by a program (OpenVPN?), not IPsec: in `other` on the line, unless you match its port",
}
_ANY_TUNNEL = "a tunnel ({kind}) to {far_end}; what is inside it is not yet told apart"
_GRE_IN_IPSEC = "GRE to {far_end} in the IPsec of {name}: counted with it, and layer by layer"
_LAYERED = ("gre", "gretap", "ip6gre", "ip6gretap")
_XFRM_OF_ONE = "its IPsec is that of {}: counted with it, and layer by layer"
_XFRM_OF_SEVERAL = "its IPsec is that of {} together: counted with each, layer by layer with none"
_XFRM = "no IPsec of a fixed peer was seen for it"
_GRE = "GRE to {far_end}, for which no IPsec was seen: in the built-in part `gre` on the line"


def render_config(found: Survey) -> str:
    """The whole file."""
    blocks = (_head(found), _line(found), _counters(found), _interfaces(found), _rest(found))
    return "\n".join("".join(f"{row}\n" for row in block) for block in map(list, blocks) if block)


def _head(found: Survey) -> Iterator[str]:
    yield "# Proposed by `ipsecmon init`, from what this router is set up for now. Read it, mend it, then:"
    yield "#   ipsecmon check FILE; ipsecmon rules show -c FILE; sudo ipsecmon run -c FILE"
    for reason in found.unread:
        yield f"# Not seen: {_comment(reason)}"
    yield ""
    yield f"router: {_scalar(found.router[:64].strip())}   # a tag on every series"
    yield "interval: 10s"


def _line(found: Survey) -> Iterator[str]:
    line = found.line
    yield "line:"
    yield f"  name: {LINE_NAME}"
    yield f"  interface: {_scalar(line.name)}   # {_why(line)}"
    yield f"  {_capacity(found)}"
    for other in found.other_lines:
        name = _comment(other.name)
        if other.kind in TUNNEL_KINDS:
            yield f"  # {name}, a tunnel, has a default route too"
        else:
            yield f"  # {name} has a default route too. One line is counted so far; to count that one:"
            yield f"  #   ipsecmon init --line {name}"


def _why(line: Link) -> str:
    if line.kind == "ppp" and line.lower:
        lower = _comment(line.lower)
        return f"PPPoE on {lower}: counted here, not on {lower}, whose frames have 8 octets more"
    if line.kind == "ppp":
        return "PPP (such as PPPoE): counted here, not on the interface under it, which has more headers"
    if line.kind == "vlan":
        return f"VLAN {_comment(line.number)} on {_comment(line.lower)}"
    return "the Internet side"


def _capacity(found: Survey) -> str:
    inbound, outbound = found.shaper_in, found.shaper_out
    if inbound and outbound:
        rates = f"{{in: {_rate(inbound.bits_per_s)}, out: {_rate(outbound.bits_per_s)}}}"
        return f"capacity: {rates}   # as tc shapes it: {inbound.kind} in, {outbound.kind} out"
    if outbound:
        rate = _rate(outbound.bits_per_s)
        return (
            f"capacity: {{in: {rate}, out: {rate}}}   "
            f"# out: as tc shapes it ({outbound.kind}); in: a guess that it is the same, please mend"
        )
    return "# capacity: {in: 16Mbit, out: 1Mbit}   # what the line can carry; tc does not tell"


def _counters(found: Survey) -> Iterator[str]:
    yield "counters:   # a packet counts in the first that takes it"
    shown = found.tunnels[:MAX_TUNNELS]
    for tunnel in shown:
        yield from _tunnel(tunnel)
        yield from _inside(tunnel, found)
    if len(found.tunnels) > len(shown):
        yield f"  # {len(found.tunnels) - len(shown)} more peers are left out: they count as esp and nat-t"
    if not shown:
        yield "  # no IPsec peer with a fixed address was found; for one, write:"
        yield "  # - name: branch"
        yield "  #   ipsec: {peer: 198.51.100.7}"
    yield from _road_warriors(found)
    yield "  # shares of the clear traffic; what nobody takes is `other`:"
    yield from _example("web", "{proto: tcp, port: [80, 443]}")
    for link in found.lans[:MAX_LISTED]:
        networks = ", ".join(_scalar(network) for network in link.networks)
        yield from _example(
            _comment(link.name), f"{{local: [{networks}]}}", "the networks inside, before NAT"
        )


def _tunnel(tunnel: Tunnel) -> Iterator[str]:
    mark = "" if tunnel.can_start else "# "
    if not tunnel.can_start:
        yield f"  # {_comment(tunnel.peer)} was not resolved; without an address ipsecmon does not start:"
    notes = [
        "SAs are up" if tunnel.has_sas else "",
        "ESP in UDP (NAT-T) is counted with it" if tunnel.in_udp else "",
        f"also {_listed(tunnel.also)}: one counter for all of a peer so far" if tunnel.also else "",
        f"leaves by {_comment(tunnel.other_line)}, not by the line: only its inside is counted"
        if tunnel.other_line
        else "",
        "resolved at start" if tunnel.can_start and parse_address(tunnel.peer) is None else "",
    ]
    note = "; ".join(filter(None, notes))
    yield f"  {mark}- name: {_scalar(tunnel.name)}"
    yield f"  {mark}  ipsec: {{peer: {_scalar(tunnel.peer)}}}" + (f"   # {note}" if note else "")


def _inside(tunnel: Tunnel, found: Survey) -> Iterator[str]:
    """One kind may be said; what else there is stands as a comment."""
    gre = [link.name for link in found.links if link.kind in _LAYERED and link.far_end in tunnel.addresses]
    xfrm = [link.name for link in found.links if _tunnels_of(link, found.tunnels) == [tunnel]]
    mark, instead = "" if tunnel.can_start else "# ", ""
    for kind, names in (("gre", gre), ("xfrm", xfrm)):
        if names:
            yield f"  {mark}  inside: {kind}   # {_listed(names)}: layer by layer{instead}"
            mark, instead = "# ", ", instead"


def _tunnels_of(link: Link, tunnels: Iterable[Tunnel]) -> list[Tunnel]:
    """Whose SAs or policies name this xfrm interface."""
    return [tunnel for tunnel in tunnels if link.if_id and link.if_id in tunnel.if_ids]


def _road_warriors(found: Survey) -> Iterator[str]:
    every = "all other IPsec" if found.tunnels else "all IPsec"
    yield f"  # {every} counts in the built-in parts esp and nat-t (ESP in UDP), decrypted in inner"
    if found.road_warriors:
        yield f"  # {_listed(found.road_warriors)}: anybody may call (road warriors): no peer to name"
        yield "  # if they use L2TP, to count each of them apart by his address inside:"
        yield "  # - name: road-warriors"
        yield f"  #   ipsec: {{connection: {_scalar(found.road_warriors[0])}}}"
        yield "  #   inside: l2tp"
    if found.callers:
        yield f"  # road warriors that call now: {_listed(found.callers)}"


def _example(name: str, match: str, note: str = "") -> Iterator[str]:
    yield f"  # - name: {_scalar(name)}"
    yield f"  #   match: {match}" + (f"   # {note}" if note else "")


def _interfaces(found: Survey) -> Iterator[str]:
    if found.links:
        yield "# Tunnels and sessions of this machine, counted by what carries them:"
    for link in found.links[:MAX_LISTED]:
        inside = [tunnel.name for tunnel in found.tunnels if link.far_end in tunnel.addresses]
        gre = _GRE_IN_IPSEC if inside else _GRE
        words = gre if link.kind in GRE_KINDS else _TUNNELS_TO_COME.get(link.kind, _ANY_TUNNEL)
        far_end, name = link.far_end or "anywhere", "".join(inside[:1])
        told = _told_of_xfrm(link, found.tunnels)
        text = words.format(kind=link.kind, far_end=far_end, number=link.number, name=name, told=told)
        yield f"# - {_comment(link.name)}: {_comment(text)}"
    if len(found.links) > MAX_LISTED:
        yield f"# - and {len(found.links) - MAX_LISTED} more"


def _told_of_xfrm(link: Link, tunnels: Iterable[Tunnel]) -> str:
    names = [tunnel.name for tunnel in _tunnels_of(link, tunnels)]
    words = _XFRM if not names else _XFRM_OF_ONE if len(names) == 1 else _XFRM_OF_SEVERAL
    return words.format(_listed(names))


def _rest(found: Survey) -> Iterator[str]:
    groups = 4 * len(found.tunnels[:MAX_TUNNELS]) + _BUILT_IN_GROUPS
    if groups > _GROUPS // 2:  # room for counters to come
        yield f"nflog: {{groups: 5600-{5600 + 2 * groups}}}   # four for each peer"
    yield "store: {path: /var/lib/ipsecmon, retention: 400d}"
    yield "# sinks:"
    yield '#   - influxdb: {url: "http://127.0.0.1:8086", database: ipsecmon}'
    yield "#   - file: {path: /var/log/ipsecmon.csv, format: csv}"


def _scalar(text: str) -> str:
    """As YAML reads it back, in a flow or not; text is printable."""
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    return json.dumps(text, ensure_ascii=False)


def _comment(text: str) -> str:
    return "".join(char for char in text if char.isprintable())


def _listed(names: Iterable[str]) -> str:
    every = [_comment(name) for name in names]
    more = f" and {len(every) - MAX_LISTED} more" if len(every) > MAX_LISTED else ""
    return ", ".join(every[:MAX_LISTED]) + more


def _rate(bits_per_s: int) -> str:
    """Exactly, in the largest unit that fits."""
    for unit, factor in (("Gbit", 10**9), ("Mbit", 10**6), ("kbit", 10**3)):
        if bits_per_s % factor == 0:
            return f"{bits_per_s // factor}{unit}"
    return f"{bits_per_s}bit"
