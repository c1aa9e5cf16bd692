"""When rules are others than before: told by the counters' names, and once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ipsecmon.agent.journal import Journal
from ipsecmon.agent.observe import Counters
from ipsecmon.agent.rule_changes import RuleWatch
from ipsecmon.model import Direction, ObservationPoint
from ipsecmon.ruleset.model import Kind, Match, Part, Plan, Tap
from ipsecmon.store import Store, events
from tests.unit.agent.made_up import SteppedClock


def part(name: str, group: int, protocol: int = 6) -> Part:
    tap = Tap(name, Direction.IN, ObservationPoint.WIRE, group)
    return Part(Kind.CLEAR, tap, match=Match(protocols=(protocol,)))


PLAN = Plan("ipsecmon", ("wan0",), (part("web", 10), part("voip", 11)), ())


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path, 10, 86400)
    made.start(SteppedClock().now())
    yield made
    made.stop()


def told(store: Store, tmp_path: Path, *plans: Plan) -> list[str]:
    watch = RuleWatch(Journal(store, SteppedClock(), Counters()), store)
    for plan in plans:
        watch.look(plan)
    return [one.text for one in events(tmp_path, 0, 2**62)]


def test_the_first_rules_and_the_same_rules_on_other_groups_are_no_event(
    store: Store, tmp_path: Path
) -> None:
    regrouped = replace(PLAN, parts=(part("web", 20), part("voip", 21)))
    assert told(store, tmp_path, PLAN, PLAN, regrouped) == []


def test_a_change_is_told_by_name_and_once(store: Store, tmp_path: Path) -> None:
    changed = replace(PLAN, parts=(part("web", 10, protocol=17), part("ssh", 12)))
    assert told(store, tmp_path, PLAN, changed, changed) == [
        "rules: counter web (wire) changed; counter voip (wire) removed; counter ssh (wire) added"
    ]


def test_another_order_is_a_change(store: Store, tmp_path: Path) -> None:
    turned = replace(PLAN, parts=PLAN.parts[::-1])
    assert told(store, tmp_path, PLAN, turned) == ["rules: order or interface changed"]


def test_a_change_since_the_last_run_reaches_from_its_end(store: Store, tmp_path: Path) -> None:
    watch = RuleWatch(Journal(store, SteppedClock(), Counters()), store)
    watch.look(PLAN)
    watch.look(replace(PLAN, parts=PLAN.parts[:1]), since_ns=77)
    (event,) = events(tmp_path, 0, 2**62)
    assert event.text == "rules: counter voip (wire) removed (while no agent ran)"
    assert (event.start_ns, event.end_ns) == (77, SteppedClock().now().wall_ns)
