"""Which concrete class stands in which place: the only module that names them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Union

from ipsecmon.agent.observe import Counters
from ipsecmon.agent.plan import line_parts
from ipsecmon.clock import Clock, SystemClock
from ipsecmon.config import Config
from ipsecmon.helper.client import Helper
from ipsecmon.model import CounterKey
from ipsecmon.ruleset.model import Plan, object_name
from ipsecmon.sinks import SINKS, Sink
from ipsecmon.sinks.delivery import Delivery, DeliveryState
from ipsecmon.sources.foreign_counters import ForeignCounterSource
from ipsecmon.sources.interfaces import InterfaceSource
from ipsecmon.sources.nflog import NflogSource
from ipsecmon.sources.rule_counters import RuleCounterSource
from ipsecmon.store import Spool, Store, report

__all__ = ["Outlet", "Wired", "build_wired"]


class Outlet:
    """One configured sink with its thread and its place in the spool."""

    def __init__(self, name: str, sink: Sink, delivery: Delivery) -> None:
        self.name = name
        self._sink = sink
        self._delivery = delivery

    def start(self) -> None:
        self._delivery.start()

    def notify(self) -> None:
        self._delivery.notify()

    def state(self) -> DeliveryState:
        return self._delivery.state()

    def reopen(self) -> None:
        """For sinks that write to files which somebody rotates; others have nothing to reopen."""
        reopen = getattr(self._sink, "reopen", None)
        if reopen:
            reopen()

    def stop(self, deadline_s: float) -> bool:
        return self._delivery.stop(deadline_s)


@dataclass
class Wired:
    """Everything concrete of one agent, not started but for the helper."""

    router: str
    interval_s: int
    folder: Path
    plan: Plan
    lines: Mapping[CounterKey, list[CounterKey]]
    helper: Helper
    clock: Clock
    counts: Counters
    store: Store
    rules: Union[RuleCounterSource, ForeignCounterSource]
    interfaces: InterfaceSource
    outlets: Sequence[Outlet]
    nflog: Optional[NflogSource] = None

    @property
    def foreign(self) -> Optional[ForeignCounterSource]:
        """Where the rules are not ours: their counters."""
        return self.rules if isinstance(self.rules, ForeignCounterSource) else None

    def open_nflog(self) -> NflogSource:
        """Raises GroupInUse or SourceError."""
        opened = self.helper.open_nflog()
        self.nflog = NflogSource(opened.socket, self.plan.groups(), self.counts)
        try:
            self.nflog.start()
        except BaseException:
            self.nflog.stop()
            raise
        return self.nflog

    def know_saved(self, keys: Sequence[CounterKey]) -> None:
        """Counters of an earlier config are read once more: what passed since belongs to the line."""
        self.rules.know({object_name(key): key for key in keys})
        tapped = {tap.key for tap in self.plan.taps()}
        for line, parts in self.lines.items():
            parts.extend(
                key
                for key in keys
                if key not in tapped
                and (key.direction, key.observed_at) == (line.direction, line.observed_at)
            )

    def pending(self) -> dict[CounterKey, int]:
        """Copies that were on their way when the last batch was closed."""
        start_ns, end_ns = self.store.last_start_ns(), self.store.last_end_ns()
        if start_ns is None or end_ns is None:
            return {}
        rows = report(self.folder, start_ns, end_ns).rows
        return {
            row.key: row.pending_packets for row in rows if row.pending_packets and row.key not in self.lines
        }


def build_wired(config: Config, plan: Plan, helper: Helper) -> Wired:
    folder = Path(config.store.path)
    counts = Counters()
    return Wired(
        router=config.router,
        interval_s=config.interval_s,
        folder=folder,
        plan=plan,
        lines=line_parts(config, plan),
        helper=helper,
        clock=SystemClock(),
        counts=counts,
        store=Store(folder, config.interval_s, config.store.retention_s),
        rules=_rules(plan, helper, counts),
        interfaces=InterfaceSource(plan.interfaces),
        outlets=_outlets(config, folder),
    )


def _rules(plan: Plan, helper: Helper, counts: Counters) -> Union[RuleCounterSource, ForeignCounterSource]:
    if plan.managed:
        return RuleCounterSource(helper.counters, {tap.object_name: tap.key for tap in plan.taps()})
    return ForeignCounterSource(helper.foreign_rules, {tap.group: tap.key for tap in plan.taps()}, counts)


def _outlets(config: Config, folder: Path) -> list[Outlet]:
    """A kind's first sink has its kind's name, the next ones a number: stable as long as the file's order."""
    outlets: list[Outlet] = []
    for entry in config.sinks:
        position = sum(outlet.name.split("-")[0] == entry.kind for outlet in outlets)
        name = f"{entry.kind}-{position + 1}" if position else entry.kind
        sink = SINKS[entry.kind].build(entry.settings)
        counters = getattr(entry.settings, "counters", None)
        outlets.append(Outlet(name, sink, Delivery(name, sink, Spool(folder, name), counters=counters)))
    return outlets
