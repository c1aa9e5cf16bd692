"""Which frames a veth counts with their link header, and which without it (drivers/net/veth.c, Linux 5.13).

A frame is counted once, for both ends: by the receiving end, behind its link header, where that end takes
it by NAPI, as it does with GRO or XDP on, unless the sending end does TSO; else by the sending end, with the
header. The receiving end tells how many it has taken by NAPI (ethtool -S: rx_queue_N_xdp_packets), the
sending end does not. So what comes in is known, and what goes out with TSO, or to an end that can be read.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple, Optional

from pyroute2.ethtool.ioctl import IoctlEthtool
from pyroute2.netlink.exceptions import NetlinkError

from ipsecmon.errors import SourceError
from ipsecmon.sources.ethtool import ask_ethtool

__all__ = ["Framed", "framed_in", "framed_out"]

_BY_NAPI = re.compile(r"rx_queue_\d+_xdp_packets")
_TSO = ("tx-tcp-segmentation", "tx-tcp6-segmentation")  # the others of NETIF_F_ALL_TSO need the first


class Framed(NamedTuple):
    """Since the interface began. frames: of which it is known; with_header: of these.

    why: another one begins another count, which does not go back to the interface's beginning.
    """

    frames: int
    with_header: int
    why: str = ""


_UNKNOWN = Framed(0, 0, "unseen")


def framed_in(name: str, stats: Any) -> Framed:
    """stats: of the interface (IFLA_STATS64), read before."""
    return _less_napi(name, stats["rx_packets"])


def framed_out(route: Any, name: str, link: Any) -> Framed:
    """By the other end, if it is in this network namespace; else by what this end does now."""
    frames = link.get_attr("IFLA_STATS64")["tx_packets"]
    other = _other_end(route, link)
    if other is not None:
        return _less_napi(other, frames)
    return Framed(frames, frames, "tso") if _does_tso(name) else _UNKNOWN


def _less_napi(receiver: str, frames: int) -> Framed:
    try:
        counted = ask_ethtool(receiver, IoctlEthtool.get_statistics)
    except SourceError:
        return _UNKNOWN
    by_napi = sum(number for word, number in counted if _BY_NAPI.fullmatch(word))
    return Framed(frames, max(0, frames - by_napi))


def _other_end(route: Any, link: Any) -> Optional[str]:
    if link.get_attr("IFLA_LINK_NETNSID") is not None:  # the number is another namespace's
        return None
    try:
        return str(route.link("get", index=link.get_attr("IFLA_LINK"))[0].get_attr("IFLA_IFNAME"))
    except NetlinkError:
        return None


def _does_tso(name: str) -> bool:
    try:
        features = ask_ethtool(name, IoctlEthtool.get_features)
    except SourceError:
        return False
    return any(features.is_active(one) for one in _TSO)
