"""Of the line's interfaces, for the doctor: what is below them, GRO, filters at their ingress (pyroute2)."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pyroute2 import IPRoute
from pyroute2.ethtool.ioctl import IoctlEthtool, NoSuchDevice, NotSupportedError
from pyroute2.netlink.exceptions import NetlinkError

from ipsecmon.errors import SourceError

__all__ = ["read_gro", "read_ingress", "read_lower"]

_INGRESS = 0xFFFFFFF2  # TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS), linux/pkt_sched.h
_QDISCS = ("ingress", "clsact")
_ACTIONS = ("mirred", "police")  # to an ifb or another interface; down to a rate


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
        is_link = is_here and other["index"] == link.get_attr("IFLA_LINK") != index
        if is_link or other.get_attr("IFLA_MASTER") == index:
            yield from _below(other, links)


def read_gro(names: Sequence[str]) -> Mapping[str, bool]:
    """Whether each interface merges what it receives. Raises SourceError."""
    return {name: _has_gro(name) for name in names}


def _has_gro(name: str) -> bool:
    asked = IoctlEthtool(name)
    try:
        return bool(asked.get_features().is_active("rx-gro"))
    except (NoSuchDevice, NotSupportedError, OSError, KeyError) as error:
        raise SourceError(f"ethtool says nothing of {name}: {error!r}") from error
    finally:
        asked.close()


def read_ingress(names: Sequence[str]) -> Mapping[str, Sequence[str]]:
    """By interface: the actions of its ingress filters that shape or drop. Raises SourceError."""
    with _route() as route:
        found = {}
        for name in names:
            indexes = route.link_lookup(ifname=name)
            found[name] = _actions(route, indexes[0]) if indexes else []
        return found


def _actions(route: Any, index: int) -> list[str]:
    kinds = [qdisc.get_attr("TCA_KIND") for qdisc in route.get_qdiscs(index)]
    if not set(kinds) & set(_QDISCS):
        return []
    filters = list(route.get_filters(index=index, parent=_INGRESS))
    return [kind for one in filters for kind in _kinds_of_actions(one) if kind in _ACTIONS]


def _kinds_of_actions(message: Any) -> Iterator[str]:
    """Of all attributes, however deep; one that pyroute2 does not decode is no dict."""
    for slot in message.get("attrs", ()) if isinstance(message, dict) else ():
        if slot[0] == "TCA_ACT_KIND":
            yield str(slot[1])
        else:
            yield from _kinds_of_actions(slot[1])


@contextlib.contextmanager
def _route() -> Iterator[Any]:
    """Raises SourceError for whatever the kernel refuses."""
    try:
        with IPRoute() as route:
            yield route
    except NetlinkError as error:
        raise SourceError(f"the kernel refused: {os.strerror(error.code)}") from error
