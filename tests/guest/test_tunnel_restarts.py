"""Tunnels through kills of the agent, flushes, and more rekeys than any router sees."""

from __future__ import annotations

import time

from tests.guest.conversation import converse
from tests.guest.rekeys import Rekeyer
from tests.guest.sa_storm import sa_storm
from tests.guest.sites import Sites
from tests.guest.topology import EspTunnel
from tests.guest.tunnel_meter import TunnelMeter, carried, encrypted

NAME = "VPN-to-parent"
RATE = 200
STORM_RATE, STORM_S = 500, 20.0
SPEAK_RATE = 50


def test_an_agent_that_is_killed_between_two_polls_misses_nothing(
    sites: Sites, meter: TunnelMeter, rekeyer: Rekeyer
) -> None:
    meter.rows()
    with converse(sites, packets=400, rate=RATE) as talk:
        rekeyer.add()
        meter.agent.kill()
    meter.agent.start()
    with converse(sites) as later:
        pass
    row = meter.row(NAME)

    assert meter.passed(NAME) == carried(talk, later)
    assert not any(row[way]["error_bound_octets"] or row[way]["unseen_ends"] for way in ("in", "out"))
    assert all(row[way]["bridged_packets"] > 0 for way in ("in", "out"))


def test_an_sa_that_ended_while_no_agent_ran_is_within_the_bound(
    sites: Sites, meter: TunnelMeter, rekeyer: Rekeyer
) -> None:
    meter.rows()
    with converse(sites, packets=400, rate=RATE) as talk:
        meter.agent.kill()
        rekeyer.add()
        time.sleep(0.2)
        rekeyer.delete_oldest()
    meter.agent.start()
    row = meter.row(NAME)

    assert all(row[way]["unseen_ends"] == 1 and not row[way]["unbounded_ends"] for way in ("in", "out"))
    for way, sent in carried(talk).items():
        told, bound = row[way]["octets"], row[way]["error_bound_octets"]
        assert told <= sent.octets <= told + bound, way


def test_after_a_flush_under_traffic_the_error_is_within_the_bound(
    sites: Sites, meter: TunnelMeter, rekeyer: Rekeyer
) -> None:
    with converse(sites) as read:
        pass
    meter.rows()
    with converse(sites, packets=800, rate=RATE) as unread:
        sites.ip("router", "xfrm state flush\n")
        sites.ip("parent", "xfrm state flush\n")
        rekeyer.add()
    row = meter.row(NAME)

    assert all(row[way]["unseen_ends"] == 1 and not row[way]["unbounded_ends"] for way in ("in", "out"))
    for way, passed in encrypted(read, unread).items():
        told, bound = row[way]["octets"], row[way]["error_bound_octets"]
        assert told < passed.octets <= told + bound, way


def test_hundreds_of_rekeys_a_second_are_counted_exactly(
    sites: Sites, meter: TunnelMeter, rekeyer: Rekeyer
) -> None:
    with sa_storm(sites, EspTunnel()) as storm:
        with converse(sites, packets=int(SPEAK_RATE * STORM_S), rate=SPEAK_RATE) as talk:
            reached = storm.blow(STORM_RATE, STORM_S)
        assert not storm.refusals()
    row = meter.row(NAME)
    print(f"{reached:.0f} rekeys a second, {storm.rekeys} in all")

    assert meter.passed(NAME) == carried(talk)
    assert row["rekeys"] == storm.rekeys
    assert not any(row[way]["error_bound_octets"] or row[way]["unseen_ends"] for way in ("in", "out"))
