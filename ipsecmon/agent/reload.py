"""A changed config, taken over by a running agent without missing a packet.

All that can be wrong is tried before anything is changed, and then: the running interval is closed, as the
last one of the old config; the helper learns the new plan, and new NFLOG groups are bound; the rules are
replaced in one transaction. A counter that stays keeps its value, its group and its books. A new one begins
at 0, with its group bound before. One that has left stands still in the kernel, with its last value: it is
read, and its copies that are on their way are counted, until both agree. It stays there, so that it goes on
where it stood if it ever comes back.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ipsecmon.account.ledger import Ledger
from ipsecmon.account.loss import SETTLE_NS
from ipsecmon.account.tunnel_match import TunnelRule
from ipsecmon.agent.agreement import lines_of
from ipsecmon.agent.assignment import save_groups
from ipsecmon.agent.changes import check_reloadable, plan_changes, sink_changes
from ipsecmon.agent.foreign_rules import Keeper
from ipsecmon.agent.loop import Loop
from ipsecmon.agent.plan import build_plan, capacities
from ipsecmon.agent.rounds import Rounds
from ipsecmon.agent.tunnel_rules import planned_rules
from ipsecmon.agent.wiring import Outlet, Wired
from ipsecmon.config import Config, load
from ipsecmon.config.advice import resolve_host
from ipsecmon.errors import ConfigError, HelperAway, HelperGone, RulesRefused, SourceError, StoreError
from ipsecmon.model import CounterKey
from ipsecmon.ruleset.model import Plan

__all__ = ["SINKS", "Reload", "remember_outlets"]

_logger = logging.getLogger(__name__)
SINKS = "sinks"  # in the store: the names of the sinks, each with what tells its settings
_RETIRE_NS = SETTLE_NS + 20_000_000  # and a tick of the slowest kernel clock, 100 Hz
_SINKS_STOP_S = 0.5  # counting waits so long; what is not sent by then stays in the spool
_STUCK_NS = 500_000_000
_UNKNOWN_GENERATION = -1  # makes the next round look whether the rules stand


@dataclass(frozen=True)
class _Change:
    config: Config
    plan: Plan
    outlets: Sequence[Outlet]
    tunnels: Sequence[TunnelRule]
    said: list[str]


class Reload:
    """close: closes the running interval. Everything is called on the loop's thread."""

    def __init__(
        self,
        wired: Wired,
        keeper: Keeper,
        rounds: Rounds,
        ledger: Ledger,
        loop: Loop,
        close: Callable[[], object],
    ) -> None:
        self._wired = wired
        self._keeper = keeper
        self._rounds = rounds
        self._ledger = ledger
        self._loop = loop
        self._close = close

    def reload(self) -> list[str]:
        """What has changed, in words. After an IpsecmonError all is as it was."""
        change = self._prepared()
        if not change.said and change.plan == self._wired.plan:
            return []
        wired = self._wired
        wired.rules.know({tap.object_name: tap.key for tap in change.plan.taps()})
        interfaces = wired.interfaces_of(change.plan)
        try:
            self._close()
            same = change.plan == wired.plan
            generation = _UNKNOWN_GENERATION if same else self._replace_rules(change.plan)
        except BaseException:
            if interfaces is not wired.interfaces:
                interfaces.stop()
            raise
        if interfaces is not wired.interfaces:
            self._ledger.rebase(interfaces.poll())
            wired.interfaces.stop()
            wired.interfaces = interfaces
        self._take_over(change, generation)
        return change.said

    def _prepared(self) -> _Change:
        wired = self._wired
        if wired.file is None:
            raise ConfigError("this agent was started without a config file: there is nothing to reload")
        config = load(wired.file)
        check_reloadable(wired.config, config)
        busy = self._ledger.groups()
        kept = {key: group for group, key in busy.items()}
        kept.update((tap.key, tap.group) for tap in wired.plan.taps())
        plan = build_plan(config, resolve_host, wired.plan.table, kept, busy)
        if not plan.managed and plan != wired.plan:
            raise ConfigError("the rules are your own, and their NFLOG groups have changed: restart needed")
        names = {outlet.name: outlet.told for outlet in wired.outlets}
        outlets = wired.outlets_of(config, names)
        tunnels = planned_rules(config, plan, resolve_host)
        said = plan_changes(wired.config, config, wired.tunnels.rules, tunnels)
        said += sink_changes(names, {outlet.name: outlet.told for outlet in outlets})
        return _Change(config, plan, outlets, tunnels, said)

    def _replace_rules(self, plan: Plan) -> int:
        """The generation of the rule sets. After an error the old rules stand."""
        wired = self._wired
        missing = wired.copies.unbound(plan.groups())
        try:
            wired.helper.change_plan(plan)
            fresh = wired.open_nflog(missing) if missing else None
        except SourceError:
            self._go_back()
            raise
        try:
            return self._keeper.install()
        except (HelperGone, RulesRefused):
            if fresh:
                fresh.stop()
                fresh = None
            self._go_back()
            raise
        except (SourceError, StoreError) as error:
            _logger.error("rules are looked at again in the next round error=%s", error)
            return _UNKNOWN_GENERATION
        finally:
            if fresh:
                wired.copies.add(fresh, missing)

    def _go_back(self) -> None:
        with contextlib.suppress(HelperAway):  # the next one is told
            self._wired.helper.change_plan(self._wired.plan)

    def _take_over(self, change: _Change, generation: int) -> None:
        """Nothing in here may fail."""
        wired, config, plan = self._wired, change.config, change.plan
        wired.lines = wired.lines_of(config, plan)
        self._ledger.change(_groups(plan), wired.lines)
        wired.share(config, plan)
        wired.rules.want({tap.object_name: tap.key for tap in plan.taps()})
        if config.interval_s != wired.interval_s:
            self._rounds.parts.intervals.change(config.interval_s)
        wired.store.keep(config.interval_s, config.store.retention_s, config.store.max_octets)
        wired.config, wired.plan, wired.interval_s = config, plan, config.interval_s
        wired.follow_inside(config)
        wired.tunnels.change(change.tunnels)
        self._change_outlets(change.outlets)
        names = [outlet.name for outlet in change.outlets]
        parts = replace(
            self._rounds.parts,
            interfaces=wired.interfaces,
            sinks=names,
            lines=lines_of(config),
            capacities=capacities(config),
        )
        self._rounds.change(parts, generation)
        save_groups(wired.folder, plan)
        self._retire_later()

    def _retire_later(self) -> None:
        self._loop.call_at(self._wired.clock.now().monotonic_ns + _RETIRE_NS, self._retire)

    def _retire(self) -> None:
        """Let go of what has left, once its last copy has come or is lost."""
        groups = _groups(self._wired.plan)
        if self._ledger.groups() == groups:
            return
        settled = False
        try:
            self._rounds.read()
            settled = self._ledger.retire(groups)
        finally:
            if not settled:
                self._retire_later()
        if settled:
            self._wired.rules.forget_others()
            self._wired.copies.keep(groups)

    def _change_outlets(self, outlets: Sequence[Outlet]) -> None:
        wired = self._wired
        leaving = [one for one in wired.outlets if one not in outlets]
        coming = [one for one in outlets if one not in wired.outlets]
        wired.outlets = outlets
        stuck = [one for one in leaving if not one.stop(_SINKS_STOP_S / len(leaving))]
        try:
            remember_outlets(wired)
        except StoreError as error:
            _logger.error("names of sinks are not remembered error=%s", error)
        for outlet in coming:
            self._start(outlet, [one for one in stuck if one.name == outlet.name])

    def _start(self, outlet: Outlet, predecessors: Sequence[Outlet]) -> None:
        """When what had its place in the spool has ended: no batch may be sent by both."""
        if all(one.stop(0) for one in predecessors):
            outlet.start()
            return
        at_ns = self._wired.clock.now().monotonic_ns + _STUCK_NS
        self._loop.call_at(at_ns, lambda: self._start(outlet, predecessors))


def remember_outlets(wired: Wired) -> None:
    """In the store; what waits there for others is dropped, and said."""
    names = {outlet.name: outlet.told for outlet in wired.outlets}
    for sink, batches in wired.store.forget_sinks_except(names).items():
        _logger.warning("sink is not configured any more, dropped sink=%s batches=%d", sink, batches)
    wired.store.set_state(SINKS, json.dumps(names))


def _groups(plan: Plan) -> dict[int, CounterKey]:
    return {tap.group: tap.key for tap in plan.taps()}
