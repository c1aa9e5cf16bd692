"""Births of rule counters: which readings go on from a saved one, and which begin anew."""

from __future__ import annotations

import pytest

from ipsecmon.helper.netfilter import CounterDump
from ipsecmon.model import CounterKey, Direction, ObservationPoint, Reading
from ipsecmon.ruleset.model import object_name
from ipsecmon.sources.rule_counters import RuleCounterSource
from ipsecmon.wire.nftables import NamedCounter

WEB = CounterKey("web", Direction.IN, ObservationPoint.WIRE)
NAME = object_name(WEB)
DIGEST = NAME.rpartition("_")[2]  # all that a chain of iptables has room for


class Kernel:
    """Says what a test sets."""

    def __init__(self, reloadable: bool = True, name: str = DIGEST) -> None:
        self.packets = 0
        self.life = 7
        self._reloadable = reloadable
        self._name = name

    def dump(self) -> CounterDump:
        counter = NamedCounter(self._name, 1, 100 * self.packets, self.packets)
        return CounterDump(self.life, 1, [counter], self._reloadable)


def polled(kernel: Kernel, saved: Reading | None = None, packets: int = 0) -> Reading:
    """What a source that was just started reads."""
    source = RuleCounterSource(kernel.dump, {NAME: WEB})
    if saved:
        source.know({NAME: WEB}, {WEB: saved})
    kernel.packets = packets
    (reading,) = source.poll().readings
    return reading


@pytest.mark.parametrize("name", [NAME, DIGEST])
def test_a_counter_is_known_by_its_whole_name_or_by_the_end_of_it(name: str) -> None:
    assert polled(Kernel(name=name), packets=3).key == WEB


def test_a_value_that_went_on_has_the_saved_birth() -> None:
    kernel = Kernel()
    saved = polled(kernel, packets=5)
    for packets in (5, 6):
        assert polled(kernel, saved, packets).birth == saved.birth


def test_a_value_below_the_saved_one_was_put_back_and_is_not_gone_on_from() -> None:
    kernel = Kernel()
    saved = polled(kernel, packets=5)
    again = polled(kernel, saved, packets=3)
    assert again.birth != saved.birth and not again.from_zero
    later = polled(kernel, again, packets=4)
    assert later.birth == again.birth
    assert polled(kernel, later, packets=2).birth not in (saved.birth, later.birth)


def test_the_first_reading_decides_for_as_long_as_the_agent_runs() -> None:
    kernel = Kernel()
    saved = polled(kernel, packets=5)
    source = RuleCounterSource(kernel.dump, {NAME: WEB})
    source.know({NAME: WEB}, {WEB: saved})
    births = []
    for packets in (3, 4, 9):
        kernel.packets = packets
        births.append(source.poll().readings[0].birth)
    assert len(set(births)) == 1 and saved.birth not in births


def test_a_lower_value_of_what_no_dump_can_bring_back_is_a_reset_of_the_same_counter() -> None:
    kernel = Kernel(reloadable=False)
    saved = polled(kernel, packets=5)
    assert polled(kernel, saved, packets=3).birth == saved.birth


def test_another_life_is_another_counter() -> None:
    kernel = Kernel()
    saved = polled(kernel, packets=5)
    kernel.life = 8
    assert not polled(kernel, saved, packets=9).birth.startswith(saved.birth)
