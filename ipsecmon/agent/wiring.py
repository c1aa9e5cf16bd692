"""Which concrete class stands in which place: the only module that names them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional, Union

from ipsecmon.account.shares import Shares
from ipsecmon.agent.changes import name_sinks
from ipsecmon.agent.journal import Journal
from ipsecmon.agent.layers import LayerMeter, Told, inside_of
from ipsecmon.agent.observe import Counters
from ipsecmon.agent.plan import line_parts, part_sums
from ipsecmon.agent.queues import QueueMeter
from ipsecmon.agent.rule_changes import RuleWatch
from ipsecmon.agent.share_groups import share_groups
from ipsecmon.agent.tunnel_rules import planned_rules
from ipsecmon.agent.tunnels import Outside, TunnelMeter
from ipsecmon.clock import Clock, SystemClock
from ipsecmon.config import Config, SinkEntry
from ipsecmon.config.advice import resolve_host
from ipsecmon.helper.client import Helper
from ipsecmon.model import CounterKey, bare_name, line_of
from ipsecmon.ruleset.model import Plan, object_name
from ipsecmon.sinks import SINKS, Sink
from ipsecmon.sinks.delivery import Delivery, DeliveryState
from ipsecmon.sources.addresses import own_addresses
from ipsecmon.sources.copies import Copies
from ipsecmon.sources.foreign_counters import ForeignCounterSource
from ipsecmon.sources.ike import IkeSource
from ipsecmon.sources.interfaces import InterfaceSource
from ipsecmon.sources.links import LinkSource, is_pppoe, read_l2tp
from ipsecmon.sources.nflog import NflogSource
from ipsecmon.sources.rule_counters import RuleCounterSource
from ipsecmon.sources.tc import TcSource
from ipsecmon.sources.warriors import WarriorNames
from ipsecmon.sources.xfrm import XfrmSource
from ipsecmon.sources.xfrm_stat import read_xfrm_stat
from ipsecmon.store import LINE_NAMES, Spool, Store, report

__all__ = ["Outlet", "Wired", "build_wired"]


class Outlet:
    """One configured sink with its thread and its place in the spool. told: tells its settings."""

    def __init__(self, name: str, told: str, sink: Sink, delivery: Delivery) -> None:
        self.name = name
        self.told = told
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
    """Everything concrete of one agent, not started but for the helper. file: the config's, if there is one.

    outlets: filled when the store, which knows their names, is open.
    """

    config: Config
    file: Optional[Path]
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
    copies: Copies
    tunnels: TunnelMeter
    layers: LayerMeter
    shares: Shares
    tc: TcSource
    journal: Journal
    outlets: Sequence[Outlet] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.queues = QueueMeter(self.tc, self._line_names, self.journal, self.counts, self.clock)
        self.rule_watch = RuleWatch(self.journal, self.store)

    def _line_names(self) -> Mapping[str, str]:
        """By interface, as they are now: a reload changes them."""
        return {name: line.name for line in self.config.lines for name in line.interfaces}

    @property
    def foreign(self) -> Optional[ForeignCounterSource]:
        """Where the rules are not ours: their counters."""
        return self.rules if isinstance(self.rules, ForeignCounterSource) else None

    def open_nflog(self, groups: Sequence[int]) -> NflogSource:
        """A socket of these groups of the plan. Raises GroupInUse or SourceError."""
        nflog = NflogSource(self.helper.open_nflog(groups).socket, groups, self.counts)
        try:
            nflog.start()
        except BaseException:
            nflog.stop()
            raise
        return nflog

    def outlets_of(self, config: Config, before: Mapping[str, str]) -> list[Outlet]:
        """before: names of the last time, each with what told its settings. One that runs stays as it is."""
        told = [_told(entry) for entry in config.sinks]
        kinds = [entry.kind for entry in config.sinks]
        running = {(one.name, one.told): one for one in self.outlets}
        return [
            running.get((name, one)) or _outlet(name, one, entry, self._spool(name), self.counts)
            for name, one, entry in zip(name_sinks(list(zip(kinds, told)), before), told, config.sinks)
        ]

    def _spool(self, sink: str) -> Spool:
        return Spool(self.folder, sink, self.store.turns)

    def interfaces_of(self, plan: Plan) -> InterfaceSource:
        """Those of a plan, opened; ours if they are the same. Raises SourceError if one is not there."""
        if plan.interfaces == self.plan.interfaces:
            return self.interfaces
        source = InterfaceSource(plan.interfaces, self.tc)
        try:
            source.start()
        except BaseException:
            source.stop()
            raise
        return source

    def follow_inside(self, config: Config) -> None:
        """A new config's layers inside tunnels."""
        inside = inside_of(config)
        self.tunnels.asks_carried = bool(inside)
        self.layers.change(inside, _told_of_links(config, self.counts))

    def know_saved(self, keys: Sequence[CounterKey]) -> None:
        """Counters of an earlier config are read once more: what passed since belongs to the line."""
        self.rules.know({object_name(key): key for key in keys}, self.store.readings())
        self.lines = with_parts(self.lines, keys, self.plan, self.config)

    def remember_lines(self) -> None:
        """Their names, so that a line that is renamed is never taken for a part. Raises StoreError."""
        before = json.loads(self.store.state(LINE_NAMES) or "[]")
        names = sorted({*before, *(line.name for line in self.config.lines)})
        if names != before:
            self.store.set_state(LINE_NAMES, json.dumps(names))

    def lines_of(self, config: Config, plan: Plan) -> dict[CounterKey, list[CounterKey]]:
        """A new config's lines; what were parts until now and are none any more stay in their sums."""
        former = {key for parts in self.lines.values() for key in parts}
        return with_parts(_sums(config, plan), former, plan, config)

    def share(self, config: Config, plan: Plan) -> None:
        """Tell other parts apart from now on."""
        shared = share_groups(config, plan)
        self.shares.change(shared)
        self.copies.tell_esp(shared)

    def pending(self) -> dict[CounterKey, int]:
        """Copies that were on their way when the last batch was closed."""
        start_ns, end_ns = self.store.last_start_ns(), self.store.last_end_ns()
        if start_ns is None or end_ns is None:
            return {}
        told = {row.key: row.pending_packets for row in report(self.folder, start_ns, end_ns).rows}
        tapped = {tap.key for tap in self.plan.taps()}
        own = {
            key: packets - sum(told.get(one, 0) for one in self.lines.get(key, ()))
            for key, packets in told.items()
            if key not in self.lines or key in tapped
        }
        return {key: packets for key, packets in own.items() if packets > 0}


def build_wired(config: Config, plan: Plan, helper: Helper, file: Optional[Path] = None) -> Wired:
    folder = Path(config.store.path)
    counts = Counters()
    clock = SystemClock()
    helper.on_restart = lambda: counts.add("helper", "restarts")
    shared = share_groups(config, plan)
    copies = Copies()
    copies.tell_esp(shared)
    tc = TcSource()
    store = Store(
        folder,
        config.interval_s,
        config.store.retention_s,
        max_octets=config.store.max_octets,
        counts=counts,
    )
    return Wired(
        config=config,
        file=file,
        router=config.router,
        interval_s=config.interval_s,
        folder=folder,
        plan=plan,
        lines=_sums(config, plan),
        helper=helper,
        clock=clock,
        counts=counts,
        store=store,
        rules=_rules(plan, helper, counts),
        interfaces=InterfaceSource(plan.interfaces, tc),
        copies=copies,
        tunnels=_tunnels(config, plan, helper, counts, clock),
        layers=LayerMeter(LinkSource(counts), inside_of(config), _told_of_links(config, counts), counts),
        shares=Shares(shared, counts),
        tc=tc,
        journal=Journal(store, clock, counts),
    )


def _tunnels(config: Config, plan: Plan, helper: Helper, counts: Counters, clock: Clock) -> TunnelMeter:
    meter = TunnelMeter(
        XfrmSource(helper, config.xfrm.reader, counts),
        planned_rules(config, plan, resolve_host),
        Outside(own_addresses, IkeSource().names, read_xfrm_stat),
        counts,
        clock,
    )
    meter.asks_carried = bool(inside_of(config))
    return meter


def _told_of_links(config: Config, counts: Counters) -> Told:
    names = WarriorNames(config.warriors.names, config.warriors.command, counts)
    return Told(read_l2tp, names.names, is_pppoe, [name for line in config.lines for name in line.interfaces])


def _rules(plan: Plan, helper: Helper, counts: Counters) -> Union[RuleCounterSource, ForeignCounterSource]:
    if plan.managed:
        return RuleCounterSource(helper.counters, {tap.object_name: tap.key for tap in plan.taps()})
    return ForeignCounterSource(helper.foreign_rules, {tap.group: tap.key for tap in plan.taps()}, counts)


def _sums(config: Config, plan: Plan) -> dict[CounterKey, list[CounterKey]]:
    return {**line_parts(config, plan), **part_sums(config, plan)}


def with_parts(
    lines: Mapping[CounterKey, Sequence[CounterKey]], keys: Iterable[CounterKey], plan: Plan, config: Config
) -> dict[CounterKey, list[CounterKey]]:
    """The lines with those of the keys that the plan does not count as parts too.

    A part that has no line in its name was of the only one, which the first one is taken to be. Others are in
    the line and in the bare name that theirs has, also where these are no sums any more.
    """
    found = {line: list(parts) for line, parts in lines.items()}
    for one in sorted(set(keys) - {tap.key for tap in plan.taps()}):
        its_line = line_of(one.name)
        for name in (its_line, bare_name(one.name)) if its_line else (config.lines[0].name,):
            key = one._replace(name=name)
            if (its_line or key in found) and one not in found.setdefault(key, []):
                found[key].append(one)
    return found


def _told(entry: SinkEntry) -> str:
    """Tells a sink's settings from any other's, without showing them."""
    return hashlib.sha256(f"{entry.kind} {entry.settings.model_dump_json()}".encode()).hexdigest()[:16]


def _outlet(name: str, told: str, entry: SinkEntry, spool: Spool, counts: Counters) -> Outlet:
    sink = SINKS[entry.kind].build(entry.settings)
    counters = getattr(entry.settings, "counters", None)
    delivery = Delivery(name, sink, spool, counters=counters, counts=counts)
    return Outlet(name, told, sink, delivery)
