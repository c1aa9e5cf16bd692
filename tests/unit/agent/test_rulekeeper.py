"""Rules whose installation was cut off by a kill: what they count still counts from 0."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable, cast

import pytest

from ipsecmon.agent.rulekeeper import RuleKeeper
from ipsecmon.agent.wiring import Wired
from ipsecmon.clock import SystemClock
from ipsecmon.errors import RulesRefused
from ipsecmon.helper.netfilter import CounterDump
from ipsecmon.helper.rules import Applied
from ipsecmon.model import CounterKey, Direction, ObservationPoint, Reading
from ipsecmon.sources.rule_counters import RuleCounterSource
from ipsecmon.store import Store
from ipsecmon.wire.nftables import NamedCounter

OLD, NEW = (CounterKey(name, Direction.IN, ObservationPoint.WIRE) for name in ("old", "new"))
NAMES = {"old": OLD, "new": NEW}


class Killed(BaseException):
    """Nothing of ours catches it."""


class Kernel:
    """Counters as the helper reads them. apply: what happens when rules are applied."""

    def __init__(self) -> None:
        self.there = {"old": NamedCounter("old", 1, 700, 7)}
        self.apply: Callable[[], object] = self.make

    def make(self) -> None:
        self.there["new"] = NamedCounter("new", 2, 500, 5)

    def counters(self) -> CounterDump:
        return CounterDump(9, 1, list(self.there.values()))

    def apply_rules(self) -> Applied:
        self.apply()
        return Applied(False, [])


class World:
    """What a keeper is wired to. run: another run's keeper, on the same store and kernel."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.helper = Kernel()
        self.clock = SystemClock()
        self.run()

    def run(self) -> RuleKeeper:
        self.rules = RuleCounterSource(self.helper.counters, NAMES)
        return RuleKeeper(cast(Wired, self))

    def newborn(self) -> list[Reading]:
        return self.run().newborn(self.rules.poll().readings)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    store = Store(tmp_path, 10, 86400)
    store.start(SystemClock().now())
    yield World(store)
    store.stop()


def killed_in(world: World, apply: Callable[[], Any]) -> None:
    world.helper.apply = apply
    with pytest.raises(Killed):
        world.run().install()
    world.helper.apply = world.helper.make


def test_a_counter_is_saved_where_it_began_as_soon_as_it_is_made(world: World) -> None:
    world.run().install()
    saved = world.store.readings()
    assert (saved[NEW].octets, saved[NEW].packets) == (0, 0) and OLD not in saved
    assert world.newborn() == []


def test_a_kill_between_the_rules_and_the_store_leaves_the_new_ones_known(world: World) -> None:
    def apply() -> None:
        world.helper.make()
        raise Killed

    killed_in(world, apply)
    assert NEW not in world.store.readings()
    assert [(one.key, one.octets, one.packets) for one in world.newborn()] == [(NEW, 0, 0)]


def test_a_kill_before_the_rules_leaves_nothing_to_know(world: World) -> None:
    def apply() -> None:
        raise Killed

    killed_in(world, apply)
    assert world.newborn() == []


def test_rules_that_are_refused_leave_nothing_to_know(world: World) -> None:
    def apply() -> None:
        raise RulesRefused("nft refused our rules")

    world.helper.apply = apply
    with pytest.raises(RulesRefused):
        world.run().install()
    world.helper.make()  # by somebody else
    assert world.newborn() == []


def test_what_the_store_has_taken_over_is_not_newborn_again(world: World) -> None:
    def apply() -> None:
        world.helper.make()
        raise Killed

    killed_in(world, apply)
    world.run().forget_newborn()
    assert world.newborn() == []
