"""This machine's own addresses (rtnetlink(7), RTM_GETADDR), by pyroute2."""

from __future__ import annotations

import ipaddress
import os

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

__all__ = ["own_addresses"]


def own_addresses() -> frozenset[str]:
    """Of every interface, as inet_ntop(3) writes them. Raises OSError."""
    try:
        with IPRoute() as route:
            found = [one.get_attr("IFA_LOCAL") or one.get_attr("IFA_ADDRESS") for one in route.get_addr()]
    except NetlinkError as error:
        raise OSError(error.code, os.strerror(error.code)) from error
    return frozenset(str(ipaddress.ip_address(text)) for text in found if text)
