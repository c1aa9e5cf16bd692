"""The doctor in the running agent: at start and each hour; in the log on a change, as levels in series."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, Optional

from ipsecmon.agent.doctor import Diagnosis, diagnose
from ipsecmon.agent.doctor_facts import AgentFacts
from ipsecmon.agent.doctor_findings import Finding
from ipsecmon.agent.doctor_machine import Fragments, count_fragments, read_facts
from ipsecmon.agent.foreign_rules import Keeper
from ipsecmon.agent.wiring import Wired
from ipsecmon.errors import DecodeError, HelperGone, SourceError
from ipsecmon.helper.rules import Condition
from ipsecmon.model import SelfMeasurement

__all__ = ["CHECKUP_NS", "Checkup"]

_logger = logging.getLogger(__name__)
CHECKUP_NS = 3600 * 10**9
_Made = tuple[Fragments, int]  # and when (monotonic)
_Gaps = tuple[int, int]  # how often rules did not stand, and for how many milliseconds at most


class Checkup:
    """look() on the loop's thread; standing: of the last look, notes left out."""

    def __init__(self, wired: Wired, keeper: Keeper) -> None:
        self._wired = wired
        self._keeper = keeper
        self._standing: dict[str, Finding] = {}
        self._made: Optional[_Made] = None
        self._gaps: _Gaps = (0, 0)

    @property
    def standing(self) -> list[Finding]:
        return list(self._standing.values())

    def look(self) -> Diagnosis:
        """Read all facts anew; what grows counts from here on. Raises HelperGone.

        Rules are fitted to what no rule set tells of, such as `ip rule`.
        """
        made = self._fragments()  # first: what grows during a slow look belongs to the next one
        self._fit_rules()
        facts, gaps = self.facts(), self._gaps_so_far()
        self._made, self._gaps = made or self._made, gaps
        return self._examine(facts)

    def facts(self) -> AgentFacts:
        """What only this process knows. Raises HelperGone."""
        wired = self._wired
        grown = self._grown()
        gaps = self._gaps_so_far()
        return AgentFacts(
            rules_stand=self._rules_stand(),
            receive_buffer=wired.copies.receive_buffer(),
            ports=wired.copies.ports(),
            sas=wired.tunnels.describe()["sas"],
            offloaded=wired.tunnels.offloaded,
            fragments=grown and (grown[0].made, grown[1]),
            too_big=grown and grown[0].too_big,
            gaps=(gaps[0] - self._gaps[0], gaps[1] - self._gaps[1]),
            ends=wired.tunnels.ends,
            nfmarks_refused=self._keeper.nfmarks_refused,
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
        """Whole ones count right, also where they are not fitted to this router any more."""
        condition = self._condition()
        return condition and condition.whole

    def _fit_rules(self) -> None:
        """Those that are not whole are the next round's, which knows what that costs."""
        condition = self._condition()
        if condition and condition.whole and not condition.stand:
            try:
                self._keeper.check(())
            except HelperGone:
                raise
            except SourceError as error:
                _logger.error("our rules could not be fitted to this router error=%s", error)

    def _condition(self) -> Optional[Condition]:
        try:
            return self._wired.helper.rules_condition()
        except HelperGone:
            raise
        except SourceError:
            return None

    def _fragments(self) -> Optional[_Made]:
        try:
            return count_fragments(), self._wired.clock.now().monotonic_ns
        except (OSError, DecodeError):
            return None

    def _grown(self) -> Optional[tuple[Fragments, float]]:
        """Since the last look(), and in how many seconds."""
        now = self._fragments()
        if now is None or self._made is None:
            return None
        (counted, at_ns), (before, before_ns) = now, self._made
        grown = Fragments(counted.made - before.made, counted.too_big - before.too_big)
        return grown, (at_ns - before_ns) / 1e9

    def _gaps_so_far(self) -> _Gaps:
        counted = self._wired.counts.totals()
        return counted.get("rules.gaps", 0), counted.get("rules.gap-ms", 0)
