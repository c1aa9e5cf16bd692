"""Shares against a simulated kernel: whenever somebody looks, they are a subdivision of their part."""

from __future__ import annotations

import random
from collections import Counter
from typing import NamedTuple

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ipsecmon.account.shares import Shares
from ipsecmon.account.spi_book import SpiBook
from ipsecmon.agent.observe import Counters
from ipsecmon.ipsec import SecurityAssociation
from ipsecmon.model import CounterKey, Direction, Increment, ObservationPoint
from ipsecmon.packets import EspColumns, Packets
from tests.unit.account.sas import esp_sa

GROUP = 10
ESP = CounterKey("esp", Direction.IN, ObservationPoint.WIRE)
TUNNELS = ("a", "b", "c")
MAPPED = [0, 0, 0xFFFF, 0xC0000201]  # 192.0.2.1
SPIS = 6  # few: they are used again


class Step(NamedTuple):
    """One of what happens: packets of a tunnel pass, it is rekeyed, copies are drained, somebody looks."""

    then: str
    tunnel: str
    packets: int
    lost: int


steps = st.lists(
    st.builds(
        Step,
        st.sampled_from(["pass", "pass", "pass", "rekey", "drain", "read", "settle"]),
        st.sampled_from(TUNNELS),
        st.integers(0, 20),
        st.integers(0, 2),
    ),
    max_size=60,
)


class Line:
    """A rule counter, SAs that use few SPIs, and copies that are drained some time later."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._seconds = 0
        self._free = list(range(1, SPIS + 1))
        self._alive: dict[str, SecurityAssociation] = {}
        self._waiting: list[tuple[int, int]] = []  # SPI, octets
        self.counted = Counter({"octets": 0, "packets": 0})
        self.true: Counter[str] = Counter()
        self.told: Counter[str] = Counter()
        self.lost = 0
        self.spis = SpiBook()
        self.shares = Shares({GROUP: ESP}, Counters())
        for tunnel in TUNNELS:
            self.rekey(tunnel)

    def step(self, one: Step) -> None:
        if one.then == "pass":
            self.let_pass(one)
        elif one.then == "rekey":
            self.rekey(one.tunnel)
        elif one.then == "drain":
            self.drain()
        elif one.then == "settle":
            self.drain()  # copies come within a tenth of a second
            self.read()
            self.settle()
        else:
            self.read()

    def let_pass(self, one: Step) -> None:
        for number in range(one.packets):
            octets = self._random.randrange(60, 1500)
            self.counted.update(octets=octets, packets=1)
            self.true[one.tunnel] += octets
            if number < one.lost:
                self.lost += octets
            else:
                self._waiting.append((self._alive[one.tunnel].spi, octets))

    def rekey(self, tunnel: str) -> None:
        """The new SA has another SPI, which a tunnel may have had before."""
        self._seconds += 1
        made = esp_sa(self._free.pop(0), added_s=self._seconds)
        if tunnel in self._alive:
            self.spis.end(self._alive[tunnel], tunnel)
            self._free.append(self._alive[tunnel].spi)
        self._alive[tunnel] = made
        self.spis.open(made, tunnel)

    def drain(self) -> None:
        if self._waiting:
            spis, octets = zip(*self._waiting)
            rows = np.arange(len(spis), dtype=np.int64)
            columns = EspColumns(rows, np.array(spis, np.uint32), np.array([MAPPED] * len(spis), np.uint32))
            group = np.full(len(spis), GROUP, np.uint16)
            self.shares.fold(Packets(group, np.array(octets, np.uint32), rows, esp=columns))
        self._waiting = []

    def read(self) -> None:
        """As a round does: what is drained before the counter is read belongs to the reading."""
        self.shares.mark()
        self._reading = Increment(ESP, self.counted["octets"], self.counted["packets"])

    def settle(self) -> None:
        self.spis.settle()
        for one in self.shares.settle(self.spis, True, [self._reading]):
            self.told[one.key.name] += one.octets
            assert one.octets >= 0 and one.packets >= 0
        shared = sum(octets for name, octets in self.told.items() if name != "esp")
        assert shared <= self._reading.octets
        for tunnel in TUNNELS:
            assert self.told[tunnel] <= self.true[tunnel]


@given(st.integers(), steps)
def test_shares_are_never_more_than_the_truth_and_at_rest_nothing_is_missing_but_what_is_told(
    seed: int, run: list[Step]
) -> None:
    line = Line(seed)
    for one in run:
        line.step(one)
    line.drain()
    line.read()
    line.settle()
    rest = line.counted["octets"] - sum(line.told[tunnel] for tunnel in TUNNELS)

    assert rest == line.lost + line.told["esp"]


@given(st.integers(), steps)
def test_the_order_and_number_of_looks_does_not_change_what_tunnels_have(seed: int, run: list[Step]) -> None:
    """Without a rekey, which one look may see and the next one no more."""
    quiet = [one for one in run if one.then != "rekey"]
    often, seldom = Line(seed), Line(seed)
    for one in quiet:
        often.step(one)
        if one.then == "pass":
            seldom.step(one)
    for line in (often, seldom):
        line.drain()
        line.read()
        line.settle()

    assert often.told == seldom.told
