"""Counters of the administrator's own NFLOG rules, as Readings: a tap's value is the sum over its rules.

In: the helper's `counters` verb. Out: one Reading a tap that any counted rule logs to. A birth names the set
of rules: an agent that is started again goes on exactly where the same rules stand, and else begins afresh.

In one run each rule is followed by itself, so a Reading says what to go on from whenever the rules of a tap
have changed: a new rule counts from what it began with, one that reads less than before from 0, and what has
gone keeps what it had. What passed between the last poll and a reload that zeroed counters is not known.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Callable, Optional, Protocol

from ipsecmon.model import CounterKey, Counts, Reading
from ipsecmon.sources.rule_counters import RuleReadings, boot

__all__ = ["ForeignCounterSource"]

_Volume = tuple[int, int]


class ForeignRule(Protocol):
    """As the helper reads it."""

    @property
    def group(self) -> int: ...
    @property
    def identity(self) -> str: ...
    @property
    def octets(self) -> int: ...
    @property
    def packets(self) -> int: ...
    @property
    def born(self) -> Optional[_Volume]: ...


class ForeignDump(Protocol):
    @property
    def rules(self) -> Sequence[ForeignRule]: ...
    @property
    def problems(self) -> Sequence[tuple[int, str]]: ...


class ForeignCounterSource:
    """groups: NFLOG group to key. generation in its readings: changes whenever the rules of a tap do.

    problems: why a tap has no counter, or not all of it, as of the last poll.
    """

    def __init__(
        self, read: Callable[[], ForeignDump], groups: Mapping[int, CounterKey], counts: Counts
    ) -> None:
        self._read = read
        self._groups = dict(groups)
        self._counts = counts
        self._boot = boot()
        self._last: Optional[dict[str, _Volume]] = None  # by identity; None before the first poll
        self._births: dict[int, str] = {}
        self._generation = 0
        self.problems: list[tuple[int, str]] = []

    @property
    def generation(self) -> int:
        return self._generation

    def know(self, names: Mapping[str, CounterKey], saved: Optional[object] = None) -> None:
        """Counters of an earlier config: their rules are not ours to find."""

    def want(self, names: Mapping[str, CounterKey]) -> None:
        """The groups are fixed at start."""

    def forget_others(self) -> None:
        """There are no others."""

    def made(self, before: RuleReadings, after: RuleReadings) -> None:
        """Nothing here is made by us."""

    def poll(self) -> RuleReadings:
        """Raises SourceError."""
        dump = self._read()
        rules = {group: [rule for rule in dump.rules if rule.group == group] for group in self._groups}
        readings = [self._reading(group, found) for group, found in rules.items() if found]
        births = {group: self._birth(found) for group, found in rules.items()}
        problems = list(dump.problems)
        if (births, problems) != (self._births, self.problems):
            self._generation += 1
            if self._last is not None:
                self._counts.add("rules", "changed")
        self._births, self.problems = births, problems
        self._last = {rule.identity: (rule.octets, rule.packets) for rule in dump.rules}
        missing = [self._groups[group] for group, found in rules.items() if not found]
        return RuleReadings(readings, missing, self._generation)

    def _reading(self, group: int, rules: Sequence[ForeignRule]) -> Reading:
        octets, packets = (sum(rule.octets for rule in rules), sum(rule.packets for rule in rules))
        return Reading(
            self._groups[group],
            octets,
            packets,
            self._birth(rules),
            from_zero=False,
            before=self._before(group, rules),
        )

    def _before(self, group: int, rules: Sequence[ForeignRule]) -> Optional[_Volume]:
        """What the rules of a changed tap had counted by the last poll; None where nothing has changed."""
        if self._last is None:
            return None
        starts = [self._start(rule, self._last) for rule in rules]
        same = self._births.get(group) == self._birth(rules)
        if same and starts == [self._last[rule.identity] for rule in rules]:
            return None
        return sum(octets for octets, _ in starts), sum(packets for _, packets in starts)

    def _start(self, rule: ForeignRule, last: Mapping[str, _Volume]) -> _Volume:
        """Where a rule's counter stood when it was last ours to know. Unknown: where it stands now."""
        before = last.get(rule.identity, rule.born)
        if before is None:
            return rule.octets, rule.packets
        if before[0] > rule.octets or before[1] > rule.packets:
            self._counts.add("rules", "zeroed")
            return 0, 0
        return before[0], before[1]

    def _birth(self, rules: Iterable[ForeignRule]) -> str:
        digest = hashlib.sha256("\n".join(sorted(rule.identity for rule in rules)).encode())
        return f"{self._boot}/{digest.hexdigest()[:16]}"
