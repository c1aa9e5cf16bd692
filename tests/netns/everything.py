"""Both families, both ways, on several counters: what is sent, and so must be found in every place."""

from __future__ import annotations

from collections.abc import Mapping

from tests.netns.exchange import Volume, carried, exchange_tcp, exchange_udp
from tests.netns.topology import FAR, FAR6, LAN, LAN6, Topology

__all__ = ["COUNTERS", "NOTHING", "PACKETS", "Key", "line_of", "send_everything"]

PACKETS = 20_000
SIZES = (12, 100, 472, 1000, 1372)
NOTHING = Volume(0, 0)
COUNTERS = [
    {"name": "web", "match": {"proto": "tcp", "port": [80, 443]}},
    {"name": "voip", "match": {"proto": "udp", "port": 5060}},
    {"name": "lan host", "match": {"proto": "udp", "local": [LAN, LAN6], "port": 7000}},
]

Key = tuple[str, str]


def send_everything(topology: Topology, tcp_octets: int = 14_000_000) -> dict[Key, Volume]:
    """Both families, both ways; TCP's packets and octets are what the quiet NICs counted meanwhile."""
    sent: dict[Key, Volume] = {}

    def add(name: str, direction: str, more: Volume) -> None:
        before = sent.get((name, direction), NOTHING)
        sent[name, direction] = Volume(before.packets + more.packets, before.octets + more.octets)

    for far, lan in ((FAR, LAN), (FAR6, LAN6)):
        for name, port in (("voip", 5060), ("lan host", 7000), ("other", 9999)):
            packets = PACKETS if name == "voip" else 1000
            out = exchange_udp(topology, "lan", "inet", far, port=port, packets=packets, sizes=SIZES)
            back = exchange_udp(topology, "inet", "lan", lan, port=port, packets=packets, sizes=SIZES)
            assert out.sent == out.received and back.sent == back.received
            add(name, "out", out.sent)
            add(name, "in", back.sent)
        for source, target, to in (("lan", "inet", far), ("inet", "lan", lan)):
            before = topology.nic("router", "wan0")
            exchange_tcp(topology, source, target, to, port=443, source_port=0, octets=tcp_octets)
            carried_in, carried_out = carried(topology.nic("router", "wan0").since(before))
            add("web", "in", carried_in)
            add("web", "out", carried_out)
    return sent


def line_of(sent: Mapping[Key, Volume], direction: str) -> Volume:
    """What the line must show."""
    volumes = [volume for (_, way), volume in sent.items() if way == direction]
    return Volume(sum(one.packets for one in volumes), sum(one.octets for one in volumes))
