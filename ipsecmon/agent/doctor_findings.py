"""The nouns of the doctor: a check over facts, and what it finds."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Callable, NamedTuple

from ipsecmon.agent.doctor_facts import Facts

__all__ = ["UNKNOWN", "Check", "Finding", "Seen", "Severity"]

UNKNOWN = "unknown: "  # what the `what` of a check without its facts begins with


class Severity(str, enum.Enum):
    """WRONG: numbers are false now. RISK: they can become false, or a part of them is missing."""

    WRONG = "wrong"
    RISK = "risk"
    NOTE = "note"


class Seen(NamedTuple):
    """What a check sees, before it is told which number that falsifies."""

    severity: Severity
    what: str


@dataclass(frozen=True)
class Finding:
    """kind: a short fixed word. falsifies: which number, and how. mend: what to do."""

    kind: str
    severity: Severity
    what: str
    falsifies: str
    mend: str


@dataclass(frozen=True)
class Check:
    """look: pure; raises SourceError where a fact that it needs is unread."""

    kind: str
    falsifies: str
    mend: str
    look: Callable[[Facts], Iterable[Seen]]

    def finding(self, seen: Seen) -> Finding:
        return Finding(self.kind, seen.severity, seen.what, self.falsifies, self.mend)
