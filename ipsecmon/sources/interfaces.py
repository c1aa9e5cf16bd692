"""The interfaces' own counters (rtnetlink(7), IFLA_STATS64), by pyroute2.

Out: Readings observed at `nic`: octets with link headers, packets are frames; and with them the terms that
tie these to what rules see.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Optional

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from ipsecmon.errors import SourceError
from ipsecmon.model import CounterKey, Direction, ObservationPoint, Reading
from ipsecmon.sources.ethtool import link_kind
from ipsecmon.sources.line_terms import LineTerms
from ipsecmon.sources.rule_counters import boot
from ipsecmon.sources.tc import TcSource

__all__ = ["InterfaceSource", "default_route_interface"]

_logger = logging.getLogger(__name__)


class InterfaceSource:
    """Readings, in and out, for each interface that is there. tc: is polled with them; without, its own."""

    def __init__(self, names: Sequence[str], tc: Optional[TcSource] = None) -> None:
        self._names = names
        self._tc = tc or TcSource()
        self._owns_tc = tc is None
        self._boot = boot()
        self._route: Any = None
        self._terms = LineTerms()
        self._last: dict[CounterKey, Reading] = {}
        self._skews: dict[CounterKey, Reading] = {}
        self._gone: tuple[str, ...] = ()
        self._life = f"{self._boot}/{os.getpid()}/{time.monotonic_ns()}"

    def start(self) -> None:
        """Raises SourceError if an interface is not there, or is a part of another one."""
        self._route = IPRoute()
        there = self.names()
        for name in self._names:
            if name not in there:
                raise SourceError(f"no such interface: {name} (there are {', '.join(there)})")
        _check_apart([self._link(name) for name in self._names])

    def stop(self) -> None:
        if self._route is not None:
            self._route.close()
            self._route = None
        if self._owns_tc:
            self._tc.stop()

    def names(self) -> list[str]:
        return [str(link.get_attr("IFLA_IFNAME")) for link in self._route.get_links()]

    def poll(self) -> list[Reading]:
        """An interface that has gone (ppp0 hung up) has no reading until it is back."""
        self._tc.poll(self._names)
        found = [reading for name in self._names for reading in self._read(name)]
        self._last = {one.key: one for one in found}
        there = {key.name for key in self._last}
        self._tell(tuple(one for one in self._names if one not in there))
        return found

    def gone(self) -> tuple[str, ...]:
        """Interfaces that were not there at the last poll."""
        return self._gone

    def _tell(self, gone: tuple[str, ...]) -> None:
        if gone != self._gone:
            _logger.warning("interfaces of the line that are not there names=%s", ", ".join(gone) or "none")
            self._gone = gone

    def skew(self) -> list[Reading]:
        """After rules were read: what passed since poll(), or waited in the queue between the two then; the
        most that it ever was since start()."""
        for reading in (reading for name in self._names for reading in self._nic(name, self._link(name))):
            before = self._last.get(reading.key, reading)
            if before.birth != reading.birth:
                continue
            key = reading.key._replace(observed_at=ObservationPoint.READ_SKEW)
            most = self._skews.get(key, Reading(key, 0, 0, self._life))
            waiting = self._terms.waiting.get(key, (0, 0))
            octets = max(most.octets, reading.octets - before.octets + waiting[0])
            packets = max(most.packets, reading.packets - before.packets + waiting[1])
            self._skews[key] = replace(most, octets=octets, packets=packets)
        return list(self._skews.values())

    def _link(self, name: str) -> Any:
        """None where the interface has gone."""
        try:
            return self._route.link("get", ifname=name)[0]
        except NetlinkError:
            return None

    def _read(self, name: str) -> list[Reading]:
        link = self._link(name)
        nic = self._nic(name, link)
        state = self._tc.last
        queues = (state.roots.get(name), state.ingress.get(name)) if state else (None, None)
        return [*nic, *self._terms.read(self._route, name, link, nic[0].birth, *queues)] if nic else []

    def _nic(self, name: str, link: Any) -> list[Reading]:
        if link is None:
            return []
        stats = link.get_attr("IFLA_STATS64")
        birth = f"{self._boot}/{link['index']}"
        return [
            Reading(CounterKey(name, direction, ObservationPoint.NIC), stats[octets], stats[frames], birth)
            for direction, octets, frames in (
                (Direction.IN, "rx_bytes", "rx_packets"),
                (Direction.OUT, "tx_bytes", "tx_packets"),
            )
        ]


def _check_apart(links: Sequence[Any]) -> None:
    """The frames of a VLAN are its link's too, those of a bond or bridge its members'. A veth's link is its
    other end."""
    names = {link["index"]: link.get_attr("IFLA_IFNAME") for link in links}
    for link in links:
        elsewhere = link_kind(link) == "veth" or link.get_attr("IFLA_LINK_NETNSID") is not None
        below = None if elsewhere else link.get_attr("IFLA_LINK")
        for other in (below, link.get_attr("IFLA_MASTER")):
            if other in names and other != link["index"]:
                name, counts_too = link.get_attr("IFLA_IFNAME"), names[other]
                raise SourceError(
                    f"line: frames of {name} are counted by {counts_too} too: name one of the two, or what "
                    "both are made of"
                )


def default_route_interface() -> str:
    """The interface that the default route leaves by, IPv4 first. Raises SourceError."""
    with IPRoute() as route:
        for family in (2, 10):
            for entry in route.get_default_routes(family=family):
                index = entry.get_attr("RTA_OIF")
                if index:
                    return str(route.link("get", index=index)[0].get_attr("IFLA_IFNAME"))
    raise SourceError(
        "there is no default route to take the line from: name the interface in a config (-c FILE)"
    )
