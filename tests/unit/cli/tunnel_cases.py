"""Reports of tunnels, made up, for the tests of what is printed of them."""

from __future__ import annotations

from typing import Any

from ipsecmon.cli.tunnel_sums import Tunnel, tunnels_of
from ipsecmon.cli.tunnel_table import Answer
from ipsecmon.model import Direction, TunnelIncrement, TunnelKey
from ipsecmon.store import TunnelReport, TunnelRow

NS = 10**9
NOW_S = 1_795_000_000
START_NS = (NOW_S - 3600) * NS
IN, OUT, UNKNOWN = Direction.IN, Direction.OUT, Direction.UNKNOWN
VPN, PARENT = "VPN-to-parent", "198.51.100.7"
WORST: dict[str, Any] = {
    "integrity_failures": 3,
    "replayed_packets": 4,
    "late_packets": 5,
    "lost_packets": 12,
}


def row(
    direction: Direction,
    octets: int = 0,
    packets: int = 0,
    tunnel: str = VPN,
    peer: str = PARENT,
    **more: Any,
) -> TunnelRow:
    """last_octets, last_bridged_octets and so on are of the newest interval."""
    key = TunnelKey(tunnel, peer, direction)
    newest = [name for name in more if name.startswith("last_") and name != "last_used_s"]
    last = {name[len("last_") :]: more.pop(name) for name in newest}
    return TunnelRow(TunnelIncrement(key, octets, packets, **more), TunnelIncrement(key, **last))


def found(*rows: TunnelRow, **errors: int) -> TunnelReport:
    """An hour, whose newest interval of 10 s ended 5 s ago."""
    return TunnelReport("hq-gw1", START_NS, (NOW_S - 15) * NS, (NOW_S - 5) * NS, rows, tuple(errors.items()))


def tunnel(*rows: TunnelRow, wire: int = 0) -> Tunnel:
    """The only one. wire: octets on the line, in each direction."""
    on_the_line = {(VPN, way): wire for way in (IN, OUT)} if wire else {}
    (one,) = tunnels_of(found(*rows), (), on_the_line)
    return one


def answer(told: TunnelReport, *named: str, later_s: int = 0) -> Answer:
    return Answer("hq-gw1", told, tunnels_of(told, named, {}), NOW_S + later_s, 10)
