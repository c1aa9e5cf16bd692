"""Of links and routes, for the doctor: what is below the line's interfaces, GRO, path MTUs (pyroute2)."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from ipsecmon.agent.doctor_facts import PathMtu
from ipsecmon.errors import SourceError
from ipsecmon.sources.ethtool import ask_ethtool, link_kind

__all__ = ["read_gro", "read_gro_beside", "read_lower", "read_path_mtus"]

_UNICAST = 1  # RTN_UNICAST, linux/rtnetlink.h
_UP, _LOOPBACK = 0x1, 0x8  # IFF_*, linux/if.h


def read_lower(names: Sequence[str]) -> Mapping[str, Sequence[str]]:
    """Each interface with those that its frames come in by: a VLAN's link, a bond's members.
    Raises SourceError."""
    with _route() as route:
        links = list(route.get_links())
    by_name = {str(link.get_attr("IFLA_IFNAME")): link for link in links}
    return {name: list(_below(by_name[name], links)) for name in names if name in by_name}


def _below(link: Any, links: Sequence[Any]) -> Iterator[str]:
    yield str(link.get_attr("IFLA_IFNAME"))
    index = link["index"]
    is_here = link.get_attr("IFLA_LINK_NETNSID") is None  # else the number is another namespace's
    for other in links:
        is_pair = other.get_attr("IFLA_LINK") == index  # the two ends of a veth are each other's link
        is_link = is_here and other["index"] == link.get_attr("IFLA_LINK") != index and not is_pair
        if is_link or other.get_attr("IFLA_MASTER") == index:
            yield from _below(other, links)


def read_gro(names: Sequence[str]) -> Mapping[str, bool]:
    """Whether each interface merges what it receives. Raises SourceError."""
    return {name: _has_gro(name) for name in names}


def read_gro_beside(names: Iterable[str]) -> list[str]:
    """Interfaces that are up, merge what they receive, and are none of these. Raises SourceError.

    Of virtual ones veths alone: into the others packets come from below, where they were merged.
    """
    with _route() as route:
        links = list(route.get_links())
    receiving = [link for link in links if link["flags"] & _UP and not link["flags"] & _LOOPBACK]
    others = {str(one.get_attr("IFLA_IFNAME")) for one in receiving if link_kind(one) in ("", "veth")}
    others.difference_update(names)
    return sorted(filter(_has_gro, others))


def _has_gro(name: str) -> bool:
    return ask_ethtool(name, lambda asked: bool(asked.get_features().is_active("rx-gro")))


def read_path_mtus(peers: Iterable[str]) -> list[PathMtu]:
    """Of each peer that this machine sends to by an interface. Raises SourceError."""
    with _route() as route:
        return [found for peer in peers for found in _path_mtu(route, peer)]


def _path_mtu(route: Any, peer: str) -> Iterator[PathMtu]:
    family = socket.AF_INET6 if ":" in peer else socket.AF_INET
    try:
        way = route.route("get", dst=peer, family=family)[0]
    except NetlinkError:  # there is none
        return
    metrics = way.get_attr("RTA_METRICS")
    known = metrics.get_attr("RTAX_MTU") if metrics else None
    if way["type"] == _UNICAST:
        link = route.link("get", index=way.get_attr("RTA_OIF"))[0]
        mtu = link.get_attr("IFLA_MTU")
        yield PathMtu(peer, str(link.get_attr("IFLA_IFNAME")), known or mtu, mtu)


@contextlib.contextmanager
def _route() -> Iterator[Any]:
    """Raises SourceError for whatever the kernel refuses."""
    try:
        with IPRoute() as route:
            yield route
    except NetlinkError as error:
        raise SourceError(f"the kernel refused: {os.strerror(error.code)}") from error
