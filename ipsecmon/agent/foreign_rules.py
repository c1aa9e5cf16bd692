"""Rules that are not ours (`rules: manual`): looked at, never touched; what is amiss with them is said."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Optional, Protocol, Union

from ipsecmon.agent.foreign_words import rule_troubles
from ipsecmon.agent.rounds import Checked
from ipsecmon.agent.rulekeeper import RuleKeeper
from ipsecmon.agent.wiring import Wired
from ipsecmon.model import CounterKey, Reading
from ipsecmon.qos import EventKind

__all__ = ["ForeignRuleKeeper", "Keeper", "build_keeper", "tell_of_other_rules"]

_CHANGED = "rules: those that log to our NFLOG groups were changed, loaded anew or removed"
_logger = logging.getLogger(__name__)


class ForeignRules(Protocol):
    """The source, as the keeper of rules that are not ours needs it."""

    @property
    def generation(self) -> int: ...
    @property
    def problems(self) -> Sequence[tuple[int, str]]: ...


class ForeignRuleKeeper:
    """Says on a change which groups no rule logs to, and which rules cannot be counted. Never touches one."""

    def __init__(self, wired: Wired, rules: ForeignRules) -> None:
        self._wired = wired
        self._rules = rules
        self._said: list[str] = []
        self._generation: Optional[int] = None
        self.nfmarks_refused: list[str] = []

    def install(self) -> int:
        """There is nothing to install."""
        return self._rules.generation

    def newborn(self, readings: Sequence[Reading]) -> list[Reading]:
        """Nothing here is made by us."""
        return []

    def forget_newborn(self) -> None:
        """There is none."""

    def check(self, missing: Sequence[CounterKey]) -> Checked:
        """The rules of a tap have changed, or one has none."""
        if self._generation not in (None, self._rules.generation):
            self._wired.journal.note(EventKind.RULES_CHANGED, _CHANGED)
        self._generation = self._rules.generation
        found = rule_troubles(self._wired.plan, missing, self._rules.problems)
        if missing:
            self._wired.counts.add("rules", "missing-counters", len(missing))
        for trouble in found:
            if trouble not in self._said:
                _logger.warning("%s", trouble)
        if self._said and not found:
            _logger.info("every group has a rule with a counter again")
        self._said = found
        return Checked(self._rules.generation)


Keeper = Union[RuleKeeper, ForeignRuleKeeper]


def tell_of_other_rules(births: Mapping[CounterKey, str], readings: Iterable[Reading]) -> None:
    """births: of the last run. What passed since is not known where other rules count now."""
    for one in readings:
        if births.get(one.key, one.birth) != one.birth:
            name, way, point = one.key
            _logger.warning(
                "rules changed while nobody read, their counter began afresh counter=%s direction=%s at=%s",
                name,
                way.value,
                point.value,
            )


def build_keeper(wired: Wired) -> Keeper:
    foreign = wired.foreign
    return RuleKeeper(wired) if foreign is None else ForeignRuleKeeper(wired, foreign)
