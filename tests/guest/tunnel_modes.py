"""Tunnels of every mode, each with the hosts that speak through it and all it needs beside its SAs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Union

from tests.guest.conversation import HOSTS, HOSTS6, End
from tests.guest.routers import Transport
from tests.guest.sites import (
    BERLIN,
    BERLIN_LAN,
    NAT,
    TO_BERLIN,
    TO_WARRIOR,
    WARRIOR_LAN,
    Sites,
    hold_natt_ports,
    xfrm_interface,
)
from tests.guest.topology import NATT_PORT, EspTunnel, add_esp_tunnel
from tests.netns.topology import FAR, FAR6, WAN, WAN6

__all__ = ["COUNTERS", "MODES", "Mode", "mode_in_place"]

COUNTERS = [
    {"name": "VPN-to-parent", "ipsec": {"peer": FAR}},
    {"name": "VPN-by-IPv6", "ipsec": {"peer": FAR6}},
    {"name": "branch-berlin", "ipsec": {"peer": BERLIN}},
    {"name": "road-warriors", "ipsec": {"peer": NAT}},
]
SIX_INSIDE = EspTunnel(inner_local="fd01::/64", inner_remote="fd02::/64")
GATEWAYS = (End("router", WAN), End("parent", FAR))
GATEWAYS6 = (End("router", WAN6), End("parent", FAR6))
LAN_HOST = HOSTS[0]


@dataclass(frozen=True)
class Mode:
    """name: of the counter. headers: octets of each inner IP header that the SA itself does not count."""

    name: str
    tunnel: Union[EspTunnel, Transport]
    ends: tuple[End, End] = HOSTS
    headers: int = 0


MODES = {
    "gcm": Mode("VPN-to-parent", EspTunnel()),
    "cbc": Mode("VPN-to-parent", EspTunnel(cipher="cbc")),
    "gcm-over-ipv6": Mode("VPN-by-IPv6", EspTunnel(outer=6)),
    "ipv6-in-ipv4": Mode("VPN-to-parent", SIX_INSIDE, HOSTS6),
    "cbc-ipv6-in-ipv6": Mode("VPN-by-IPv6", replace(SIX_INSIDE, outer=6, cipher="cbc"), HOSTS6),
    "transport": Mode("VPN-to-parent", Transport(0x300, "proto udp", "proto udp"), GATEWAYS, headers=20),
    "transport-ipv6": Mode(
        "VPN-by-IPv6",
        Transport(0x300, "proto udp", "proto udp", router=WAN6, parent=FAR6),
        GATEWAYS6,
        headers=40,
    ),
    "nat-t": Mode("VPN-to-parent", EspTunnel(udp_port=NATT_PORT)),
    "xfrm-interface": Mode("VPN-to-parent", EspTunnel(if_id=7)),
    "second-site": Mode("branch-berlin", TO_BERLIN, (LAN_HOST, End("berlin", BERLIN_LAN))),
    "road-warrior": Mode("road-warriors", TO_WARRIOR, (LAN_HOST, End("warrior", WARRIOR_LAN))),
}


@contextlib.contextmanager
def mode_in_place(sites: Sites, mode: Mode) -> Iterator[None]:
    """Its SAs and policies are added; what else it needs is gone after the block."""
    tunnel = mode.tunnel
    with contextlib.ExitStack() as rest:
        if isinstance(tunnel, Transport):
            tunnel.add(sites)
        else:
            if tunnel.if_id:
                rest.enter_context(xfrm_interface(sites, tunnel.if_id, tunnel.inner_remote))
            if tunnel.udp_port:
                rest.enter_context(hold_natt_ports(sites, "router", tunnel.far or sites.far))
            add_esp_tunnel(sites, tunnel)
        yield
