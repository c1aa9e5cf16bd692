"""Tunnels stay exact through whatever ends SAs, under traffic that does not rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

import pytest

from tests.guest.conversation import converse
from tests.guest.ike import ike_connection
from tests.guest.rekeys import Rekeyer
from tests.guest.routers import wait_until
from tests.guest.sites import Sites
from tests.guest.topology import EspTunnel, add_esp_tunnel
from tests.guest.tunnel_meter import NOTHING, TunnelMeter, carried, encrypted

NAME = "VPN-to-parent"
REKEYS = 100
RATE = 200  # packets a second, each way


def is_certain(row: dict[str, Any]) -> bool:
    return not any(row[way]["error_bound_octets"] or row[way]["unseen_ends"] for way in ("in", "out"))


@pytest.mark.parametrize("beside_s", [0.0, 1.0])
def test_a_hundred_rekeys_under_traffic_cost_nothing(
    sites: Sites, meter: TunnelMeter, rekeyer: Rekeyer, beside_s: float
) -> None:
    with converse(sites, packets=12 * REKEYS, rate=RATE) as talk:
        rekeyer.rekey(REKEYS, 10 / RATE, beside_s)
    row = meter.row(NAME)

    assert meter.passed(NAME) == carried(talk)
    assert (row["rekeys"], row["sas"], is_certain(row)) == (REKEYS, 2 * len(rekeyer.alive), True)


def test_an_sa_that_is_deleted_and_added_again_under_its_spi_is_another_one(
    sites: Sites, meter: TunnelMeter, rekeyer: Rekeyer
) -> None:
    talks = []
    for number in range(3):
        if number == 1:
            meter.rows()
        with converse(sites, packets=40 + number) as talk:
            pass
        talks.append(talk)
        rekeyer.add_again()

    assert meter.passed(NAME) == carried(*talks)
    assert is_certain(meter.row(NAME))


@pytest.mark.parametrize(
    ("limits", "rate"), [("packet-hard 150", 4 * RATE), ("byte-hard 70000", 4 * RATE), ("time-hard 2", RATE)]
)
def test_a_hard_expiry_takes_nothing_along(
    sites: Sites, meter: TunnelMeter, rekeyer: Rekeyer, limits: str, rate: int
) -> None:
    packets = 6 * rate  # on a busy machine seconds pass before the limit begins
    with converse(sites, packets=packets, rate=rate) as through:
        rekeyer.add(f"limit {limits}")
        rekeyer.delete_oldest()
    wait_until(lambda: has_no_sa(sites))
    rekeyer.add()
    with converse(sites, packets=100) as later:
        pass

    assert 0 < through.away.received.packets < packets and 0 < through.home.received.packets < packets
    assert later.away.received == later.away.sent
    assert meter.passed(NAME) == encrypted(through, later)
    assert is_certain(meter.row(NAME))


@pytest.mark.parametrize("rekey_time", [None, "2s"])
def test_rekeys_of_strongswan_cost_nothing(
    sites: Sites, meter: TunnelMeter, tmp_path: Path, rekey_time: Optional[str]
) -> None:
    meter.start_again()
    with ike_connection(sites, tmp_path, rekey_time=rekey_time or "1h") as charon:
        with converse(sites, packets=1200, rate=RATE) as talk:
            for _ in range(0 if rekey_time else 10):
                charon.rekey()
        row = meter.row(NAME)
    meter.rows()

    assert meter.passed(NAME) == carried(talk)
    assert carried(talk)["in"] == talk.home.sent, "strongSwan itself loses nothing"
    assert is_certain(row)
    assert row["rekeys"] == 10 if rekey_time is None else row["rekeys"] >= 2


@pytest.mark.parametrize("dropped", [1, 40])
def test_esp_that_is_dropped_before_decryption_is_the_path_loss(
    sites: Sites, meter: TunnelMeter, rekeyer: Rekeyer, dropped: int
) -> None:
    sites.run("router", "nft", "-f", "-", text=DROPS.format(dropped))
    with converse(sites, packets=300) as talk:
        pass
    sites.run("router", "nft", "delete", "table", "inet", "lossy")
    row = meter.row(NAME)

    assert talk.home.sent.packets - talk.home.received.packets == dropped
    assert row["path_loss_packets"] == dropped
    assert meter.passed(NAME) == carried(talk)


def test_without_anti_replay_the_path_loss_is_not_known(sites: Sites, meter: TunnelMeter) -> None:
    meter.start_again()
    add_esp_tunnel(sites, EspTunnel(window=0))
    with converse(sites) as talk:
        pass
    row = meter.row(NAME)

    assert meter.passed(NAME) == carried(talk) and NOTHING not in carried(talk).values()
    assert row["path_loss_packets"] is None


def has_no_sa(sites: Sites) -> bool:
    return not sites.run("router", "ip", "xfrm", "state", "list", "nokeys")


DROPS = """
table inet lossy {{
  chain drops {{
    type filter hook prerouting priority -300
    iifname wan0 meta l4proto esp numgen inc mod 1000000 < {} drop
  }}
}}
"""
