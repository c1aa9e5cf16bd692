"""Our rules, kept standing: installed at start, put back when somebody changed or removed them."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Sequence

from ipsecmon.agent.rounds import Checked
from ipsecmon.agent.wiring import Wired
from ipsecmon.errors import RulesRefused, StoreError
from ipsecmon.model import CounterKey, Reading
from ipsecmon.qos import EventKind

__all__ = ["RuleKeeper"]

_logger = logging.getLogger(__name__)
_UNDER_WAY = "rules.under_way"  # in the store: births of the counters before rules are installed


class RuleKeeper:
    """nfmarks_refused: why packets are not tagged; empty when they are, or when nothing asks for it."""

    def __init__(self, wired: Wired) -> None:
        self._wired = wired
        self.nfmarks_refused: list[str] = []
        self._noted: list[str] = []

    def install(self) -> int:
        """What is made now begins at 0; the store knows that at once, lest a kill make it a baseline.

        Returns the generation of the rule sets. Raises RulesRefused when nothing was changed.
        """
        before = self._wired.rules.poll()
        self._note(json.dumps([reading.birth for reading in before.readings]))
        try:
            applied = self._wired.helper.apply_rules()
        except RulesRefused:
            self._note("")
            raise
        after = self._wired.rules.poll()
        self._wired.rules.made(before, after)
        old = {reading.birth for reading in before.readings}
        newborn = [Reading(one.key, 0, 0, one.birth) for one in after.readings if one.birth not in old]
        self._wired.store.save_readings(newborn, self._wired.clock.now().wall_ns)
        self._note("")
        self._say(applied.nfmarks_refused)
        for note in applied.notes:
            if note not in self._noted:
                _logger.warning("rules backend=%s note=%s", applied.backend, note)
        self._noted = list(applied.notes)
        return after.generation

    def newborn(self, readings: Sequence[Reading]) -> list[Reading]:
        """Where they began, of counters that an installation made whose end a kill forestalled."""
        noted = self._wired.store.state(_UNDER_WAY)
        if not noted:
            return []
        old = set(json.loads(noted))
        return [Reading(one.key, 0, 0, one.birth) for one in readings if one.birth not in old]

    def forget_newborn(self) -> None:
        """The store has readings of them by now."""
        self._note("")

    def _note(self, births: str) -> None:
        """The counters that an installation finds. A store that refuses must not keep rules from standing."""
        with contextlib.suppress(StoreError):
            self._wired.store.set_state(_UNDER_WAY, births)

    def check(self, missing: Sequence[CounterKey]) -> Checked:
        """A rule set of this router has changed: if ours no longer stands, put it back.

        missing: keys whose counter is gone.
        """
        condition = self._wired.helper.rules_condition()
        if not condition.whole:
            self._wired.counts.add("rules", "repaired")
            _logger.warning("our rules were changed or removed, put back counters_gone=%d", len(missing))
        elif not condition.stand:
            _logger.info("this router's NAT or use of nfmarks has changed, our rules are fitted to it")
        if not condition.stand:
            self.install()
            if not condition.whole:
                self._wired.journal.note(
                    EventKind.RULES_REPAIRED, "rules: ours were changed or removed, put back"
                )
        return Checked(self._wired.rules.poll().generation, repaired=not condition.whole)

    def _say(self, refused: list[str]) -> None:
        if refused != self.nfmarks_refused:
            for reason in refused:
                _logger.warning(
                    "packets are not tagged by nfmark, the policy match goes on alone reason=%s", reason
                )
        self.nfmarks_refused = refused
