"""The doctor: says where this router's kernel or setup makes a number false, which one, and what to do.

In: Facts. Out: a Diagnosis. Pure; who reads the facts is in doctor_machine.py, and who asks at which time in
checkup.py (the agent) and cli/doctor.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from ipsecmon.agent.doctor_facts import Facts
from ipsecmon.agent.doctor_findings import UNKNOWN, Check, Finding, Seen, Severity
from ipsecmon.agent.doctor_kernel import KERNEL_CHECKS
from ipsecmon.agent.doctor_path import PATH_CHECKS
from ipsecmon.agent.doctor_reading import READING_CHECKS
from ipsecmon.agent.doctor_rules import RULE_CHECKS
from ipsecmon.errors import SourceError

__all__ = ["CHECKS", "KINDS", "Diagnosis", "diagnose"]

CHECKS: tuple[Check, ...] = (*KERNEL_CHECKS, *RULE_CHECKS, *READING_CHECKS, *PATH_CHECKS)
KINDS = tuple(check.kind for check in CHECKS)
_ORDER = {severity: place for place, severity in enumerate(Severity)}


@dataclass(frozen=True)
class Diagnosis:
    """findings: the worst first. checked: the kinds that were looked for."""

    findings: tuple[Finding, ...]
    checked: tuple[str, ...] = KINDS

    def standing(self) -> list[Finding]:
        """Those that are more than a note."""
        return [one for one in self.findings if one.severity is not Severity.NOTE]

    def describe(self) -> dict[str, Any]:
        """JSON values only."""
        findings = [{**asdict(one), "severity": one.severity.value} for one in self.findings]
        return {"findings": findings, "checked": list(self.checked)}


def diagnose(facts: Facts, checks: Iterable[Check] = CHECKS) -> Diagnosis:
    """What the checks find; a check without the facts that it needs says so in a note."""
    tried = tuple(checks)
    found = [finding for check in tried for finding in _findings(check, facts)]
    found.sort(key=lambda one: _ORDER[one.severity])
    return Diagnosis(tuple(found), tuple(check.kind for check in tried))


def _findings(check: Check, facts: Facts) -> Iterator[Finding]:
    try:
        seen = list(check.look(facts))
    except SourceError as error:
        seen = [Seen(Severity.NOTE, UNKNOWN + str(error))]
    yield from map(check.finding, seen)
