"""What is said of rules that are not ours: which group counts what, and what is amiss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ipsecmon.helper.foreign_rules import ForeignDump
from ipsecmon.model import CounterKey, Direction
from ipsecmon.ruleset.model import Plan, Tap

__all__ = ["describe_foreign", "rule_troubles", "tap_words"]


def describe_foreign(plan: Plan, dump: ForeignDump) -> tuple[list[str], list[str]]:
    """A line for each group with what its rules have counted; and the troubles."""
    said = []
    for tap in plan.watched:
        rules = [rule for rule in dump.rules if rule.group == tap.group]
        octets, packets = sum(rule.octets for rule in rules), sum(rule.packets for rule in rules)
        said.append(f"{tap_words(tap)}: rules={len(rules)} packets={packets} octets={octets}")
    counted = {rule.group for rule in dump.rules}
    missing = [tap.key for tap in plan.watched if tap.group not in counted]
    return said, rule_troubles(plan, missing, dump.problems)


def rule_troubles(
    plan: Plan, missing: Sequence[CounterKey], problems: Sequence[tuple[int, str]]
) -> list[str]:
    """One sentence for each group without a rule, and for each rule that cannot be counted."""
    taps: Mapping[int, Tap] = {tap.group: tap for tap in plan.watched}
    uncounted = {group for group, _ in problems}
    absent = [tap for tap in plan.watched if tap.key in set(missing) and tap.group not in uncounted]
    return [
        *(f"{tap_words(tap)}: no rule logs to it: {_example(tap)}" for tap in absent),
        *(f"{tap_words(taps[group])}: {said} group {group}" for group, said in problems),
    ]


def tap_words(tap: Tap) -> str:
    return f"group {tap.group} ({tap.name} {tap.direction.value}, {tap.observed_at.value})"


def _example(tap: Tap) -> str:
    chain = "PREROUTING" if tap.direction is Direction.IN else "POSTROUTING"
    return f"iptables -t mangle -A {chain} … -j NFLOG --nflog-group {tap.group} --nflog-size 64"
