"""The first look of an agent: what passed since the last one read the counters.

The batch of it moves the readings that bound what SAs carried unread. If this agent ends before it has
read the SAs, the next one must not take the moved ones for a bound.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple

from ipsecmon.account.layers import add_outer_layers
from ipsecmon.account.ledger import Ledger
from ipsecmon.account.part_series import PartSeries
from ipsecmon.agent.foreign_rules import Keeper, tell_of_other_rules
from ipsecmon.agent.layers import inside_of
from ipsecmon.agent.wiring import Wired
from ipsecmon.ipsec import SavedSas
from ipsecmon.model import CounterKey, Reading
from ipsecmon.store import SavedReading

__all__ = ["Bridged", "are_same", "bridge"]

_logger = logging.getLogger(__name__)


class Bridged(NamedTuple):
    """is_whole: the plan's rule counters are the same ones as then, and know all that passed."""

    ledger: Ledger
    is_whole: bool


def bridge(wired: Wired, keeper: Keeper, sas: SavedSas) -> Bridged:
    """Go on where the last run ended, and make a batch of what passed since."""
    saved = wired.store.readings()
    wired.know_saved(list(saved))
    wired.remember_lines()
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
    is_whole = are_same((tap.key for tap in wired.plan.taps()), saved, rules.readings)
    readings = [*wired.interfaces.poll(), *rules.readings]
    now = wired.clock.now()
    if ledger.adopt(readings, wired.pending()):
        start_ns = max([wired.store.last_end_ns() or 0, *(one.at_ns for one in saved.values())])
        batch = ledger.batch(start_ns, max(now.wall_ns, start_ns + 1))
        batch = add_outer_layers(batch, inside_of(wired.config))
        batch = replace(batch, parts=PartSeries().tell(batch, ledger.lines()))
        sinks = [one.name for one in wired.outlets]
        wired.store.commit(batch, readings, sinks, now, sas=sas.without_bound())
        _logger.info("bridged what passed since the last run seconds=%.1f", (now.wall_ns - start_ns) / 1e9)
    else:
        wired.store.save_readings(readings, now.wall_ns, None if is_whole else sas.without_bound())
    keeper.forget_newborn()
    ledger.close()
    return Bridged(ledger, is_whole)


def are_same(
    wanted: Iterable[CounterKey], saved: Mapping[CounterKey, SavedReading], readings: Iterable[Reading]
) -> bool:
    """Whether each counter was there then, is there now, and was never made anew."""
    births = {one.key: one.birth for one in readings}
    return all(key in saved and births.get(key) == saved[key].birth for key in wanted)
