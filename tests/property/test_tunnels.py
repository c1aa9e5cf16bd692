"""Tunnel totals against what really passed: exact while every end is seen, within the bound where not.

IPSECMON_LONGER multiplies the number of examples.
"""

from __future__ import annotations

import os
from collections import Counter
from typing import NamedTuple

from hypothesis import example, given, settings
from hypothesis import strategies as st

from ipsecmon.account.tunnels import Volume
from tests.unit.account.simulated_xfrm import SimulatedAgent, SimulatedXfrm

LONGER = int(os.environ.get("IPSECMON_LONGER", "1"))
SEEN = ["add"] * 4 + ["carry"] * 8 + ["delete", "delete_slowly", "expire", "expire_softly", "update"]
SEEN += ["migrate", "move", "wait"]
UNSEEN = [*SEEN, "flush", "overrun"]
BETWEEN = [name for name in SEEN if name != "delete_slowly"]


class Step(NamedTuple):
    """Something the kernel does, or the agent; between: what happens while a poll is under way."""

    name: str
    pick: int
    between: tuple[tuple[str, int], ...] = ()


ADDED_WHILE_AWAY = [
    Step("poll", 0, (("delete", 0),)),
    Step("restart", 0, (("add", 0), ("carry", 182))),
    Step("migrate", 0),
    Step("restart", 0, (("migrate", 0),)),
    Step("delete_slowly", 0),
    Step("poll", 0),
]
MOVED_THRICE = [
    *(Step("delete", 0), Step("delete", 0), Step("add", 0), Step("carry", 1), Step("migrate", 65)),
    Step("poll", 0, (("carry", 1), ("migrate", 1), ("move", 1))),
]
picks = st.integers(0, 1 << 20)


def steps(names: list[str], between: list[str], agent: list[str]) -> st.SearchStrategy[list[Step]]:
    meanwhile = st.lists(st.tuples(st.sampled_from(between), picks), max_size=4).map(tuple)
    kernel = st.builds(Step, st.sampled_from(names), picks)
    return st.lists(
        kernel | kernel | kernel | st.builds(Step, st.sampled_from(agent), picks, meanwhile), max_size=40
    )


def run_all(run: list[Step], is_hasty: bool = True) -> tuple[SimulatedXfrm, SimulatedAgent]:
    """With SAs that were there before the agent and are not counted before its first dump."""
    kernel = SimulatedXfrm(is_hasty)
    for pick in range(4):
        kernel.add(pick)
        kernel.carry(pick)
    agent = SimulatedAgent(kernel)
    kernel.wait(0)
    agent.poll(False)
    kernel.truth.clear()
    kernel.added = kernel.moved_unused = 0
    agent._rules_before = {}
    for step in run:
        take(kernel, agent, step)
    kernel.send_delayed()
    for _ in range(3):
        agent.poll(True)
    return kernel, agent


def take(kernel: SimulatedXfrm, agent: SimulatedAgent, step: Step) -> None:
    if step.name == "poll":
        agent.poll(bool(step.pick % 2), step.between)
        kernel.send_delayed()
    elif step.name == "restart":
        kernel.send_delayed()
        for name, pick in step.between:
            getattr(kernel, name)(pick)
        agent.restart()
        kernel.wait(0)
    else:
        kernel.send_delayed()
        getattr(kernel, step.name)(step.pick)


def counted(agent: SimulatedAgent) -> dict[object, Volume]:
    return {
        place: Volume(total["octets"], total["packets"])
        for place, total in agent.totals.items()
        if total["octets"]
    }


@settings(max_examples=100 * LONGER)
@given(steps(SEEN, BETWEEN, ["poll"]))
@example([Step("carry", 0), Step("poll", 0, (("migrate", 0), ("update", 104), ("expire", 2)))])
def test_totals_are_exact_whenever_the_agent_polls_and_whatever_becomes_of_sas(run: list[Step]) -> None:
    kernel, agent = run_all(run)

    assert counted(agent) == kernel.truth
    assert not any(total["unseen_ends"] or total["lost_packets"] for total in agent.totals.values())
    births = sum(total["births"] for total in agent.totals.values())
    assert kernel.added <= births <= kernel.added + kernel.moved_unused


@settings(max_examples=100 * LONGER)
@given(steps(UNSEEN, BETWEEN, ["poll", "poll", "restart"]))
@example(ADDED_WHILE_AWAY)
@example(MOVED_THRICE)
def test_totals_are_within_their_bound_through_flushes_overruns_and_restarts(run: list[Step]) -> None:
    kernel, agent = run_all(run, is_hasty=False)

    for place, truth in kernel.truth.items():
        total = agent.totals.get(place, Counter())
        assert total["octets"] <= truth.octets and total["packets"] <= truth.packets
        if total["unbounded_ends"]:  # as it says: an end was awaited when the agent was started again
            continue
        unheard = Counter[str]()
        for state in kernel.every:
            if state.place == place and not state.is_told:
                unheard += state.passed
        assert truth.octets <= total["octets"] + total["error_bound_octets"] + unheard["octets"]
        assert truth.packets <= total["packets"] + total["error_bound_packets"] + unheard["packets"]


@settings(max_examples=30 * LONGER)
@given(steps(SEEN, BETWEEN, ["poll"]), st.integers(1, 5))
def test_how_often_is_polled_does_not_change_the_totals(run: list[Step], every: int) -> None:
    seldom = [step for number, step in enumerate(run) if step.name != "poll" or number % every == 0]
    quiet = [step._replace(between=()) for step in run]

    assert counted(run_all(quiet)[1]) == counted(run_all([step._replace(between=()) for step in seldom])[1])
