"""What ip(8) says in JSON -> links and default routes.

In: the stdout of `ip -j -d link show`, `ip -j addr show`, `ip -j route show default table all` and
`ip -j rule show`. Unknown keys are passed over; what is no such JSON raises SourceError.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ipsecmon.errors import SourceError

__all__ = ["TUNNEL_KINDS", "Link", "read_default_routes", "read_links", "read_pppoe"]

GRE_KINDS = ("gre", "gretap", "erspan", "ip6gre", "ip6gretap", "ip6erspan")
TUNNEL_KINDS = (*GRE_KINDS, "xfrm", "vti", "vti6", "ipip", "sit", "ip6tnl", "wireguard", "tun")
_LEADS_NOWHERE = ("unreachable", "blackhole", "prohibit", "throw")
_PLAIN_RULE = frozenset(("priority", "src", "table", "protocol"))  # a rule of these only takes any packet
_IF_ID = re.compile(r"0x[0-9a-f]{1,8}|[1-9]\d{0,9}")
_ANYWHERE = ("", "any", "::", "0.0.0.0")  # how ip writes a tunnel without a far end


@dataclass(frozen=True)
class Link:
    """One network interface. kind: as `ip -d link` names it, ppp for any PPP; "" for plain hardware.

    networks: its global ones, in CIDR. lower: the interface it stands on. far_end: of a tunnel, "" for any.
    number: VLAN id or if_id, as written.
    """

    name: str
    kind: str = ""
    is_up: bool = True
    addresses: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    lower: str = ""
    far_end: str = ""
    number: str = ""

    @property
    def if_id(self) -> int:
        """Of an xfrm interface; 0 for any other."""
        return int(self.number, 0) if self.kind == "xfrm" and _IF_ID.fullmatch(self.number) else 0


def read_links(links: str, addresses: str) -> tuple[Link, ...]:
    """Every interface but loopbacks, in the kernel's order; addresses of loopbacks are on a Link "lo"."""
    infos = {entry["ifname"]: entry.get("addr_info", []) for entry in _entries(addresses, "ifname")}
    return tuple(_link(entry, infos.get(entry["ifname"], [])) for entry in _entries(links, "ifname"))


def read_default_routes(routes: str, rules: str = "") -> tuple[str, ...]:
    """Interfaces that a default route leaves by, each once, the kernel's own choice first: IPv4, then by
    table as rules(8) that take every packet ask them, then by metric; tables of other rules come last."""
    usable = [entry for entry in _entries(routes, "dst") if entry.get("type") not in _LEADS_NOWHERE]
    tables = _asked_tables(rules)

    def rank(entry: dict[str, Any]) -> tuple[bool, bool, int, int]:
        table = str(entry.get("table", "main"))
        asked = tables.index(table) if table in tables else len(tables)
        return asked == len(tables), _is_ipv6(entry), asked, _number(entry.get("metric"))

    ordered = sorted(usable, key=rank)
    return tuple(dict.fromkeys(name for entry in ordered for name in _devices(entry) if name != "lo"))


def read_pppoe(text: str) -> tuple[str, ...]:
    """The interfaces under PPPoE sessions, from /proc/net/pppoe, each as often as it has sessions."""
    rows = (line.split() for line in text.splitlines()[1:])
    return tuple(row[2] for row in rows if len(row) == 3)


def _asked_tables(rules: str) -> list[str]:
    """Tables that every packet is looked up in, in order; the main one where no rule is told."""
    every = [rule for rule in _entries(rules, "table") if _PLAIN_RULE.issuperset(rule)]
    ordered = sorted(every, key=lambda rule: _number(rule.get("priority")))
    tables = [str(rule["table"]) for rule in ordered if rule.get("src", "all") == "all"]
    return list(dict.fromkeys((*tables, "main")))


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def _entries(text: str, key: str) -> list[dict[str, Any]]:
    try:
        found = json.loads(text.strip() or "[]")
    except ValueError:
        raise SourceError("ip -j printed no JSON: iproute2 4.13 or later is needed") from None
    entries = found if isinstance(found, list) else []
    return [entry for entry in entries if isinstance(entry, dict) and isinstance(entry.get(key), str)]


def _link(entry: dict[str, Any], infos: list[dict[str, Any]]) -> Link:
    info = entry.get("linkinfo") or {}
    data = info.get("info_data") or {}
    flags = entry.get("flags") or []
    kind = "ppp" if entry.get("link_type") == "ppp" else str(info.get("info_kind", ""))
    far_end = str(data.get("remote", data.get("remote6", "")))
    return Link(
        name=entry["ifname"],
        kind="loopback" if "LOOPBACK" in flags else kind,
        is_up="UP" in flags,
        addresses=tuple(one["local"] for one in infos if "local" in one),
        networks=tuple(_networks(infos)),
        lower=str(entry.get("link") or ""),
        far_end="" if far_end in _ANYWHERE else far_end,
        number=str(data.get("if_id", data.get("id", ""))),
    )


def _networks(infos: list[dict[str, Any]]) -> Iterator[str]:
    for info in infos:
        if info.get("scope") == "global" and "local" in info and not info.get("temporary"):
            network = ipaddress.ip_network(f"{info['local']}/{info['prefixlen']}", strict=False)
            if network.num_addresses > 1:
                yield str(network)


def _is_ipv6(route: dict[str, Any]) -> bool:
    return "pref" in route or ":" in str(route.get("gateway", ""))


def _devices(route: dict[str, Any]) -> Iterator[str]:
    for hop in (route, *(route.get("nexthops") or ())):
        if isinstance(hop.get("dev"), str):
            yield hop["dev"]
