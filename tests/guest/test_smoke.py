"""The guest can do what every other test in it relies on: ESP, and nft that tells it from the rest."""

from __future__ import annotations

import json

import pytest

from tests.guest.topology import EspTunnel, add_esp_tunnel, add_sas, delete_sas, sa_volume
from tests.netns.exchange import Volume, carried, exchange_udp
from tests.netns.topology import FAR, FAR_LAN, FAR_LAN6, LAN, LAN6, Topology

PACKETS = 200

RULES = """
table inet smoke {
  counter in_esp { }
  counter in_inner { }
  counter in_peer { }
  counter in_peer6 { }
  counter out_esp { }
  counter out_inner { }
  counter out_peer { }
  counter out_peer6 { }
  counter out_clear { }
  chain inc { type filter hook prerouting priority -99;
    meta secpath exists counter name in_inner
    ipsec in ip saddr 203.0.113.2 counter name in_peer
    ipsec in ip6 saddr 2001:db8:203::2 counter name in_peer6
    iifname wan0 meta secpath missing fib saddr type != local meta l4proto esp counter name in_esp log group 10 snaplen 28 queue-threshold 512
  }
  chain outc { type filter hook postrouting priority 300;
    oifname wan0 rt ipsec exists counter name out_inner
    oifname wan0 ipsec out ip daddr 203.0.113.2 counter name out_peer
    oifname wan0 ipsec out ip6 daddr 2001:db8:203::2 counter name out_peer6
    oifname wan0 rt ipsec missing meta l4proto esp counter name out_esp log group 11 snaplen 48 queue-threshold 512
    oifname wan0 rt ipsec missing meta l4proto != esp counter name out_clear
  }
}
"""  # noqa: E501 - nft wants each rule on one line

TUNNELS = [
    EspTunnel(cipher="gcm"),
    EspTunnel(cipher="cbc"),
    EspTunnel(cipher="gcm", outer=6),
    EspTunnel(cipher="gcm", outer=6, inner_local="fd01::/64", inner_remote="fd02::/64"),
    EspTunnel(cipher="cbc", inner_local="fd01::/64", inner_remote="fd02::/64"),
]


def counters(topology: Topology) -> dict[str, Volume]:
    listed = json.loads(topology.run("router", "nft", "-j", "list", "counters", "table", "inet", "smoke"))
    found = [entry["counter"] for entry in listed["nftables"] if "counter" in entry]
    return {counter["name"]: Volume(counter["packets"], counter["bytes"]) for counter in found}


def ids(tunnel: EspTunnel) -> str:
    inner = 6 if ":" in tunnel.inner_local else 4
    return f"{tunnel.cipher}-ipv{inner}-in-ipv{tunnel.outer}"


@pytest.mark.parametrize("tunnel", TUNNELS, ids=ids)
def test_every_meter_of_a_tunnel_equals_what_was_sent(topology: Topology, tunnel: EspTunnel) -> None:
    six = ":" in tunnel.inner_local
    add_esp_tunnel(topology, tunnel)
    topology.run("router", "nft", "-f", "-", text=RULES)
    before = topology.nic("router", "wan0")

    here, there = (LAN6, FAR_LAN6) if six else (LAN, FAR_LAN)
    away = exchange_udp(topology, "lan", "parent", there, packets=PACKETS, sizes=(200,))
    home = exchange_udp(topology, "parent", "lan", here, packets=PACKETS, sizes=(1000,), source_address=there)

    inner_away, inner_home = away.sent.octets // PACKETS, home.sent.octets // PACKETS
    wire_away = Volume(PACKETS, PACKETS * tunnel.esp_octets(inner_away))
    wire_home = Volume(PACKETS, PACKETS * tunnel.esp_octets(inner_home))
    assert away.sent == away.received == sa_volume(topology, "router", tunnel.spi)
    assert home.sent == home.received == sa_volume(topology, "router", tunnel.spi + 1)
    assert carried(topology.nic("router", "wan0").since(before)) == (wire_home, wire_away)
    none = Volume(0, 0)
    by_peer = {"in_peer": home.sent, "in_peer6": none, "out_peer": away.sent, "out_peer6": none}
    if tunnel.outer == 6:
        by_peer = {"in_peer": none, "in_peer6": home.sent, "out_peer": none, "out_peer6": away.sent}
    assert counters(topology) == {
        "in_esp": wire_home,
        "in_inner": home.sent,
        "out_esp": wire_away,
        "out_inner": away.sent,
        "out_clear": none,
        **by_peer,
    }


def test_a_ping_passes_the_tunnel(topology: Topology) -> None:
    tunnel = EspTunnel()
    add_esp_tunnel(topology, tunnel)

    topology.run("lan", "ping", "-q", "-c", "3", "-i", "0.01", "-W", "2", "-s", "200", FAR_LAN)

    assert sa_volume(topology, "router", tunnel.spi) == Volume(3, 3 * 228)


def test_a_second_pair_of_sas_takes_over_and_the_first_keeps_its_counters(topology: Topology) -> None:
    old, new = EspTunnel(spi=0x100), EspTunnel(spi=0x200)
    add_esp_tunnel(topology, old)
    first = exchange_udp(topology, "lan", "parent", FAR_LAN, packets=10)
    add_sas(topology, new)
    second = exchange_udp(topology, "lan", "parent", FAR_LAN, packets=20)

    carriers = [sa_volume(topology, "router", tunnel.spi) for tunnel in (old, new)]
    assert sum(volume.octets for volume in carriers) == first.sent.octets + second.sent.octets
    delete_sas(topology, old)
    third = exchange_udp(topology, "lan", "parent", FAR_LAN, packets=30)
    assert sa_volume(topology, "router", new.spi).octets - carriers[1].octets == third.sent.octets


MULTICAST_RULES = """
table inet smoke {
  counter out_local { }
  counter in_local { }
  counter in_far { }
  chain inc { type filter hook prerouting priority -99;
    iifname wan0 icmpv6 type echo-request fib daddr type multicast fib saddr type local counter name in_local
    iifname wan0 icmpv6 type echo-request fib daddr type multicast fib saddr type != local counter name in_far
  }
  chain outc { type filter hook postrouting priority 300;
    oifname wan0 icmpv6 type echo-request fib saddr type local fib daddr type multicast counter name out_local
  }
}
"""


def test_nft_tells_the_copy_that_the_kernel_loops_back_from_a_multicast_of_others(topology: Topology) -> None:
    topology.run("router", "nft", "-f", "-", text=MULTICAST_RULES)

    for role, interface in (("router", "wan0"), ("parent", "eth0")):
        topology.run(role, "sh", "-c", f"ping -q -c 1 -W 0.1 -I {interface} ff02::1 > /dev/null || true")

    once = Volume(1, 104)
    assert counters(topology) == {"out_local": Volume(2, 208), "in_local": once, "in_far": once}


def test_the_clear_path_beside_the_tunnel_stays_clear(topology: Topology) -> None:
    add_esp_tunnel(topology, EspTunnel())
    topology.run("router", "nft", "-f", "-", text=RULES)

    done = exchange_udp(topology, "lan", "parent", FAR, packets=PACKETS)

    assert counters(topology)["out_clear"] == done.sent == done.received
