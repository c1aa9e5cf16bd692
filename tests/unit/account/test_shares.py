"""Shares of esp and nat-t by SPI: each copy is in one tunnel's share, in nobody's, or told as not known."""

from __future__ import annotations

import ipaddress
import struct
from typing import Optional

import numpy as np
import pytest

from ipsecmon.account import esp_copies, spi_book
from ipsecmon.account.shares import Shares
from ipsecmon.account.spi_book import SpiBook
from ipsecmon.agent.observe import Counters
from ipsecmon.model import UNNAMED, CounterKey, Direction, Increment, ObservationPoint
from ipsecmon.packets import EspColumns, Packets
from tests.unit.account.sas import esp_sa

IN, OUT = Direction.IN, Direction.OUT
WIRE, SHARE, NATT = ObservationPoint.WIRE, ObservationPoint.ESP_SHARE, ObservationPoint.NATT_SHARE
ESP_IN, ESP_OUT = CounterKey("esp", IN, WIRE), CounterKey("esp", OUT, WIRE)
NATT_IN = CounterKey("nat-t", IN, WIRE)
PARTS = {10: ESP_IN, 11: ESP_OUT, 12: NATT_IN}
HERE, PEER, PEER6 = "192.0.2.1", "198.51.100.7", "2001:db8::7"

Copy = tuple[int, int, str, int]  # group, SPI, destination, octets


def packets(*copies: Copy) -> Packets:
    """And one copy of a group that nobody asked about."""
    rows = [*copies, (99, 0, HERE, 40)]
    groups, spis, destinations, octets = zip(*rows)
    asked = [number for number, group in enumerate(groups) if group != 99]
    return Packets(
        np.array(groups, np.uint16),
        np.array(octets, np.uint32),
        np.arange(len(rows), dtype=np.int64),
        esp=EspColumns(
            np.array(asked, np.int64),
            np.array(spis, np.uint32)[asked],
            np.array([words(one) for one in destinations], np.uint32)[asked],
        )
        if asked
        else None,
    )


def words(address: str) -> tuple[int, ...]:
    made = ipaddress.ip_address(address)
    return struct.unpack(">4I", made.packed if made.version == 6 else bytes(10) + b"\xff\xff" + made.packed)


class Meter:
    """Shares with a book of SPIs, and the sums of what they told."""

    def __init__(self) -> None:
        self.counts = Counters()
        self.shares = Shares(PARTS, self.counts)
        self.spis = SpiBook()
        self.sums: dict[tuple[str, Direction, ObservationPoint], tuple[int, int]] = {}

    def copied(self, *copies: Copy) -> None:
        self.shares.fold(packets(*copies))

    def settle(
        self, is_complete: bool = True, counted: Optional[dict[CounterKey, tuple[int, int]]] = None
    ) -> None:
        """counted: without it, rules have counted more than any test sends."""
        self.spis.settle()
        enough = dict.fromkeys(PARTS.values(), (10**9, 10**6)) if counted is None else counted
        self.shares.mark()
        rules = [Increment(key, *volume) for key, volume in enough.items()]
        for one in self.shares.settle(self.spis, is_complete, rules):
            had = self.sums.get(one.key, (0, 0))
            self.sums[one.key] = (had[0] + one.octets, had[1] + one.packets)


@pytest.fixture
def meter() -> Meter:
    made = Meter()
    made.spis.open(esp_sa(1), "a")
    made.spis.open(esp_sa(2), "b")
    made.spis.open(esp_sa(1, PEER), "b")  # a peer may choose the SPI that we chose
    made.spis.open(esp_sa(3), UNNAMED)
    return made


def test_copies_are_told_apart_by_direction_destination_and_spi(meter: Meter) -> None:
    meter.copied((10, 1, HERE, 100), (10, 2, HERE, 200), (11, 1, PEER, 1000), (10, 1, HERE, 50))
    meter.copied((12, 2, HERE, 7))
    meter.settle()

    assert meter.sums == {
        ("a", IN, SHARE): (150, 2),
        ("b", IN, SHARE): (200, 1),
        ("b", OUT, SHARE): (1000, 1),
        ("b", IN, NATT): (7, 1),
    }


def test_shares_of_one_of_several_lines_have_its_name_behind_them(meter: Meter) -> None:
    part = CounterKey("esp@T2", IN, WIRE)
    meter.shares.change({10: part})
    meter.copied((10, 1, HERE, 100), (10, 0, HERE, 7))
    meter.settle(counted={part: (1000, 10)})

    assert meter.sums == {("a@T2", IN, SHARE): (100, 1), ("esp@T2", IN, SHARE): (7, 1)}


def test_an_ipv6_destination_is_another_one_than_the_ipv4_that_ends_alike(meter: Meter) -> None:
    meter.spis.open(esp_sa(1, PEER6), "six")
    meter.copied((11, 1, PEER6, 100), (11, 1, PEER, 10))
    meter.settle()

    assert meter.sums == {("six", OUT, SHARE): (100, 1), ("b", OUT, SHARE): (10, 1)}


def test_what_is_of_no_tunnel_of_the_config_stays_in_the_rest(meter: Meter) -> None:
    meter.copied((10, 3, HERE, 100), (10, 77, HERE, 200), (10, 1, PEER6, 300))
    meter.settle()

    assert meter.sums == {}
    assert meter.counts.totals() == {}


def test_copies_that_come_after_the_end_of_their_sa_are_still_its_tunnel_s(meter: Meter) -> None:
    meter.settle()
    meter.spis.end(esp_sa(1), "a")
    meter.settle()
    meter.copied((10, 1, HERE, 100))
    meter.settle()
    meter.settle()
    meter.settle()
    meter.copied((10, 1, HERE, 100))
    meter.settle()

    assert meter.sums == {("a", IN, SHARE): (100, 1)}
    assert len(meter.spis) == 3


def test_an_sa_that_began_and_ended_between_two_polls_has_its_copies(meter: Meter) -> None:
    meter.spis.end(esp_sa(9), "a")
    meter.copied((10, 9, HERE, 100))
    meter.settle()

    assert meter.sums == {("a", IN, SHARE): (100, 1)}


def test_a_rekey_that_uses_its_spi_again_costs_the_tunnel_nothing(meter: Meter) -> None:
    meter.spis.end(esp_sa(1), "a")
    meter.spis.open(esp_sa(1, added_s=1001), "a")
    meter.copied((10, 1, HERE, 100))
    meter.settle()

    assert meter.sums == {("a", IN, SHARE): (100, 1)}


def test_an_spi_that_two_tunnels_had_lately_is_not_guessed(meter: Meter) -> None:
    meter.spis.end(esp_sa(1), "a")
    meter.spis.open(esp_sa(1, added_s=1001), "b")
    meter.copied((10, 1, HERE, 100))
    meter.settle()
    for _ in range(3):
        meter.settle()
    meter.copied((10, 1, HERE, 10))
    meter.settle()

    assert meter.sums == {("esp", IN, SHARE): (100, 1), ("b", IN, SHARE): (10, 1)}
    assert meter.counts.totals() == {"shares.untold": 1}


def test_a_copy_without_an_spi_is_told_as_not_known(meter: Meter) -> None:
    meter.copied((10, 0, HERE, 100))
    meter.settle()

    assert meter.sums == {("esp", IN, SHARE): (100, 1)}


def test_where_sas_may_have_come_and_gone_unheard_a_strange_spi_is_not_known(meter: Meter) -> None:
    meter.copied((10, 77, HERE, 100), (10, 1, HERE, 5))
    meter.settle(is_complete=False)

    assert meter.sums == {("esp", IN, SHARE): (100, 1), ("a", IN, SHARE): (5, 1)}


def test_shares_never_exceed_what_their_rule_counted(meter: Meter) -> None:
    """A counter that was made anew has not counted what passed in between."""
    meter.copied((10, 1, HERE, 100), (10, 2, HERE, 100), (10, 1, HERE, 100))
    meter.settle(counted={ESP_IN: (250, 2)})
    meter.copied((10, 1, HERE, 100))
    meter.settle(counted={ESP_IN: (350, 4)})

    assert sum(octets for octets, _ in meter.sums.values()) == 350
    assert sum(number for _, number in meter.sums.values()) == 3
    assert meter.counts.totals() == {"shares.beyond-part": 1}


def test_what_is_folded_after_the_mark_waits_for_the_next_reading(meter: Meter) -> None:
    meter.copied((10, 1, HERE, 100))
    meter.shares.mark()
    meter.copied((10, 1, HERE, 10))
    told = meter.shares.settle(meter.spis, True, [Increment(ESP_IN, 1000, 10)])

    assert [(one.octets, one.packets) for one in told] == [(100, 1)]
    meter.settle()
    assert meter.sums == {("a", IN, SHARE): (10, 1)}


def test_copies_wait_as_long_as_nobody_knows_the_sas(meter: Meter) -> None:
    for _ in range(3):
        meter.copied((10, 1, HERE, 100))
        meter.shares.mark()
    meter.settle()

    assert meter.sums == {("a", IN, SHARE): (300, 3)}


def test_made_up_spis_fill_no_memory_and_are_counted(meter: Meter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(esp_copies, "FLOWS_KEPT", 3)
    meter.copied((10, 1, HERE, 100))
    meter.copied(*((10, 1000 + number, HERE, 1) for number in range(5)))
    meter.copied((10, 1, HERE, 100), (11, 5, PEER, 1))
    meter.settle()

    assert meter.sums[("a", IN, SHARE)] == (200, 2)
    assert meter.sums[("esp", IN, SHARE)] == (3, 3)
    assert meter.counts.totals()["shares.overflow"] == 4


def test_made_up_spis_fill_no_memory_while_sas_cannot_be_read(
    meter: Meter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(esp_copies, "FLOWS_KEPT", 3)
    for number in range(20):
        meter.copied((10, 1, HERE, 100), (10, 1000 + number, HERE, 1))
        meter.shares.mark()
    assert len(meter.shares._copies._marked) <= 4

    meter.settle()
    assert meter.sums[("a", IN, SHARE)] == (2000, 20)


def test_more_sas_than_the_book_has_room_for_make_strange_spis_not_known(
    meter: Meter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spi_book, "SPIS_KEPT", 4)
    meter.spis.open(esp_sa(5), "a")
    meter.copied((10, 5, HERE, 100), (10, 2, HERE, 10))
    meter.settle()

    assert meter.sums == {("esp", IN, SHARE): (100, 1), ("b", IN, SHARE): (10, 1)}
    assert (len(meter.spis), meter.spis.dropped) == (4, 1)


def test_flows_whose_numbers_mix_alike_are_told_apart() -> None:
    """Destinations of four words whose products cancel out: sorted as rows then."""
    keys = np.zeros((2, 6), np.uint32)
    keys[0, 4], keys[1, 0] = 0, 0
    keys[0, 4] = np.uint32((0x9E3779B97F4A7C15) & 0xFFFFFFFF)
    keys[0, 5] = np.uint32((0x9E3779B97F4A7C15) >> 32)
    keys[1, 0] = 1
    first, which = esp_copies._distinct(keys)

    assert len(first) == 2 and which[0] != which[1]
