"""This machine's own addresses (rtnetlink(7), RTM_GETADDR), by pyroute2."""

from __future__ import annotations

import ipaddress

from pyroute2 import IPRoute

__all__ = ["own_addresses"]


def own_addresses() -> frozenset[str]:
    """Of every interface, as inet_ntop(3) writes them. Raises OSError."""
    with IPRoute() as route:
        found = (one.get_attr("IFA_LOCAL") or one.get_attr("IFA_ADDRESS") for one in route.get_addr())
        return frozenset(str(ipaddress.ip_address(text)) for text in found if text)
