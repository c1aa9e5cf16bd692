"""The doctor in the running agent: at start and each hour; in the log on a change, as levels in series."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, Optional

from ipsecmon.agent.doctor import Diagnosis, diagnose
from ipsecmon.agent.doctor_facts import AgentFacts
from ipsecmon.agent.doctor_findings import Finding
from ipsecmon.agent.doctor_machine import fragments_made, read_facts
from ipsecmon.agent.wiring import Wired
from ipsecmon.errors import DecodeError, HelperGone, SourceError
from ipsecmon.model import SelfMeasurement

__all__ = ["CHECKUP_NS", "Checkup"]

_logger = logging.getLogger(__name__)
CHECKUP_NS = 3600 * 10**9
_Made = tuple[int, int]  # fragments, and when (monotonic)


class Checkup:
    """look() on the loop's thread; standing: of the last look, notes left out."""

    def __init__(self, wired: Wired) -> None:
        self._wired = wired
        self._standing: dict[str, Finding] = {}
        self._made: Optional[_Made] = None

    @property
    def standing(self) -> list[Finding]:
        return list(self._standing.values())

    def look(self) -> Diagnosis:
        """Read all facts anew; fragments count from here on. Raises HelperGone."""
        diagnosis = self._examine(self.facts())
        self._made = self._fragments() or self._made
        return diagnosis

    def facts(self) -> AgentFacts:
        """What only this process knows. Raises HelperGone."""
        wired = self._wired
        return AgentFacts(
            rules_stand=self._rules_stand(),
            receive_buffer=wired.copies.receive_buffer(),
            ports=wired.copies.ports(),
            sas=wired.tunnels.describe()["sas"],
            offloaded=wired.tunnels.offloaded,
            fragments=self._fragments_since(),
        )

    def describe(self) -> dict[str, Any]:
        """facts(), for the control socket; what stands is looked at anew. Raises HelperGone."""
        facts = self.facts()
        self._examine(facts)
        return {"router": self._wired.router, "facts": asdict(facts)}

    def levels(self) -> Iterator[SelfMeasurement]:
        """One for each kind that stands."""
        return (SelfMeasurement("doctor", kind, 1) for kind in sorted(self._standing))

    def _examine(self, facts: AgentFacts) -> Diagnosis:
        diagnosis = diagnose(read_facts(self._wired.config, facts, self._wired.folder))
        self._tell({one.kind: one for one in reversed(diagnosis.standing())})
        return diagnosis

    def _tell(self, standing: dict[str, Finding]) -> None:
        """Of several findings of a kind, the worst one stands for all."""
        for kind, one in standing.items():
            before = self._standing.get(kind)
            if before is None or before.severity is not one.severity:
                _logger.warning(
                    "doctor kind=%s severity=%s what=%r mend=%r", kind, one.severity.value, one.what, one.mend
                )
        for kind in sorted(set(self._standing) - set(standing)):
            _logger.info("doctor kind=%s is over", kind)
        self._standing = standing

    def _rules_stand(self) -> Optional[bool]:
        try:
            return self._wired.helper.rules_stand()
        except HelperGone:
            raise
        except SourceError:
            return None

    def _fragments(self) -> Optional[_Made]:
        try:
            return fragments_made(), self._wired.clock.now().monotonic_ns
        except (OSError, DecodeError):
            return None

    def _fragments_since(self) -> Optional[tuple[int, float]]:
        now = self._fragments()
        if now is None or self._made is None:
            return None
        return now[0] - self._made[0], (now[1] - self._made[1]) / 1e9
