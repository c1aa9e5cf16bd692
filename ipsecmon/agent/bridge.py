"""The first look of an agent: what passed since the last one read the counters.

The batch of it moves the readings that bound what SAs carried unread. If this agent ends before it has
read the SAs, the next one must not take the moved ones for a bound.
"""

from __future__ import annotations

import logging
from typing import NamedTuple

from ipsecmon.account.ledger import Ledger
from ipsecmon.agent.foreign_rules import Keeper, tell_of_other_rules
from ipsecmon.agent.wiring import Wired
from ipsecmon.ipsec import SavedSas
from ipsecmon.model import Reading

__all__ = ["Bridged", "bridge"]

_logger = logging.getLogger(__name__)


class Bridged(NamedTuple):
    """is_whole: rule counters are the same ones as then, and know all that passed."""

    ledger: Ledger
    is_whole: bool


def bridge(wired: Wired, keeper: Keeper, sas: SavedSas) -> Bridged:
    """Go on where the last run ended, and make a batch of what passed since."""
    saved = wired.store.readings()
    wired.know_saved(list(saved))
    rules = wired.rules.poll()
    if not wired.plan.managed:
        tell_of_other_rules({key: one.birth for key, one in saved.items()}, rules.readings)
    began = [
        one
        for one in keeper.newborn(rules.readings)
        if one.key not in saved or saved[one.key].birth != one.birth
    ]
    ledger = Ledger(
        wired.router,
        {tap.group: tap.key for tap in wired.plan.taps()},
        wired.lines,
        [*(Reading(key, one.octets, one.packets, one.birth) for key, one in saved.items()), *began],
    )
    readings = [*wired.interfaces.poll(), *rules.readings]
    now = wired.clock.now()
    if ledger.adopt(readings, wired.pending()):
        start_ns = max([wired.store.last_end_ns() or 0, *(one.at_ns for one in saved.values())])
        batch = ledger.batch(start_ns, max(now.wall_ns, start_ns + 1))
        sinks = [one.name for one in wired.outlets]
        wired.store.commit(batch, readings, sinks, now, sas=sas.without_bound())
        _logger.info("bridged what passed since the last run seconds=%.1f", (now.wall_ns - start_ns) / 1e9)
    else:
        wired.store.save_readings(readings, now.wall_ns)
    keeper.forget_newborn()
    ledger.close()
    births = {one.key: one.birth for one in rules.readings}
    return Bridged(ledger, all(saved[key].birth == birth for key, birth in births.items() if key in saved))
