"""One round: read every counter in one pass, drain the copies, book, and close the interval when it is due.
Where the interval is closed, the tunnels' SAs are read right after the counters that bound their errors.

The order is what makes the numbers true: counters between two drains (what was seen before has been counted,
what has been counted can be seen after), the store before the sinks (a batch that is sent can be found
again), and books are closed only when the store has them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Optional, Protocol

from ipsecmon.account.agreement import Agreement
from ipsecmon.account.derived import DerivedEsp
from ipsecmon.account.intervals import Intervals
from ipsecmon.account.ledger import Ledger
from ipsecmon.account.part_series import PartSeries
from ipsecmon.account.rule_gaps import RuleGaps
from ipsecmon.account.shares import Shares
from ipsecmon.agent.layers import LayerMeter
from ipsecmon.agent.observe import Counters, ResourceUse
from ipsecmon.agent.tunnels import TunnelMeter
from ipsecmon.clock import Clock, Moment
from ipsecmon.errors import HelperGone, IpsecmonError, SourceError, StoreError
from ipsecmon.ipsec import SavedSas
from ipsecmon.model import Batch, CounterKey, Increment, LineCapacity, Reading, SelfMeasurement
from ipsecmon.packets import Packets
from ipsecmon.qos import Event, QueueIncrement, QueueReading

__all__ = ["STEPS_BACK", "Checked", "Parts", "Rounds"]

_logger = logging.getLogger(__name__)
_DRAIN_READS = 1024  # buffers of 4 MiB at most in one round; more than any socket buffer holds
STEPS_BACK = "clock.steps_back"  # in the store: Intervals.steps_back, kept over restarts


class CopySource(Protocol):
    was_empty: bool

    def poll(self) -> list[Packets]: ...
    def dropped_datagrams(self) -> int: ...


class RuleSource(Protocol):
    def poll(self) -> RuleReadings: ...


class RuleReadings(Protocol):
    @property
    def readings(self) -> list[Reading]: ...
    @property
    def missing(self) -> list[CounterKey]: ...
    @property
    def generation(self) -> int: ...


class InterfaceCounters(Protocol):
    def poll(self) -> list[Reading]: ...
    def skew(self) -> list[Reading]: ...


class Queues(Protocol):
    """Qdiscs and classes, as a round needs them."""

    def read(self) -> None: ...
    def increments(self) -> tuple[QueueIncrement, ...]: ...
    def readings(self) -> Sequence[QueueReading]: ...
    def close(self) -> None: ...


class Backlog(Protocol):
    @property
    def batches(self) -> int: ...
    @property
    def oldest_start_ns(self) -> Optional[int]: ...


class Books(Protocol):
    """The store, as a round needs it."""

    def commit(
        self,
        batch: Batch,
        readings: Iterable[Reading],
        sinks: Sequence[str],
        now: Moment,
        stepped_ns: int = 0,
        sas: Optional[SavedSas] = None,
        queues: Optional[Sequence[QueueReading]] = None,
    ) -> None: ...
    def untold_events(self) -> tuple[Event, ...]: ...
    def set_state(self, key: str, value: str) -> None: ...
    def backlog(self, sink: str) -> Backlog: ...
    def spool_dropped(self) -> Mapping[str, int]: ...


class Checked(NamedTuple):
    """generation: of the rule sets now. repaired: ours did not stand, and do so again."""

    generation: int
    repaired: bool = False


@dataclass(frozen=True)
class Parts:
    """What a round works on. check_rules: called when any rule set here has changed, or a counter is gone.

    more_levels: of the agent about itself, asked for when an interval is closed. save_events: called before
    it is: those that waited for the store. lines: the interfaces of each line whose parts the rules count.
    """

    clock: Clock
    copies: CopySource
    rules: RuleSource
    interfaces: InterfaceCounters
    tunnels: TunnelMeter
    layers: LayerMeter
    shares: Shares
    ledger: Ledger
    intervals: Intervals
    store: Books
    sinks: Sequence[str]
    counts: Counters
    check_rules: Callable[[Sequence[CounterKey]], Checked]
    more_levels: Callable[[], Iterable[SelfMeasurement]] = tuple
    lines: Mapping[str, Sequence[str]] = field(default_factory=dict)
    capacities: tuple[LineCapacity, ...] = ()
    queues: Optional[Queues] = None
    save_events: Callable[[], object] = tuple


class Rounds:
    """generation: of the rule sets when counting began."""

    def __init__(self, parts: Parts, generation: int) -> None:
        self._parts = parts
        self._generation = generation
        self._readings: dict[CounterKey, Reading] = {}
        self._broken: set[CounterKey] = set()
        self._resources = ResourceUse()
        self._dropped_before = 0
        self._saved_steps_back = parts.intervals.steps_back
        self._store_failed = False
        self._source_failed = False
        self.last_closed: Optional[Batch] = None
        self._agreement = Agreement()
        self._gaps = RuleGaps()
        self._gone: set[CounterKey] = set()  # whose rules, which are not ours, have been taken away
        self._gaps.stood(parts.interfaces.poll(), parts.clock.now().monotonic_ns)
        self._derived = DerivedEsp()
        self._part_series = PartSeries()

    def drain(self) -> bool:
        """Fold all copies that are there. False: more came than one round takes."""
        for _ in range(_DRAIN_READS):
            for packets in self._parts.copies.poll():
                strangers = self._parts.ledger.fold(packets)
                self._parts.shares.fold(packets)
                if strangers:
                    self._parts.counts.add("nflog", "unknown-group", strangers)
            if self._parts.copies.was_empty:
                return True
        return False

    def read(self) -> None:
        """Read all counters, drain, book. Raises HelperGone; other refusals are counted and said once."""
        parts = self._parts
        self.drain()
        parts.ledger.mark()
        parts.shares.mark()
        readings = parts.interfaces.poll()
        if parts.queues:
            parts.queues.read()
        try:
            rules = parts.rules.poll()
        except HelperGone:
            raise
        except SourceError as error:
            self._complain(error)
            raise
        self._source_failed = False
        readings += parts.interfaces.skew()
        at_ns = parts.clock.now().monotonic_ns
        readings += rules.readings
        readings += self._gaps.readings()
        drained = self.drain()
        reborn = self._reborn(rules.readings)
        self._broken.update(reborn, rules.missing)
        parts.ledger.renew(reborn)
        uncounted = parts.ledger.advance(readings, at_ns, drained)
        if uncounted:
            parts.counts.add("rules", "uncounted-copies", uncounted)
        was_reloaded = self._was_reloaded(rules.readings)
        gone = {key for key in rules.missing if key in self._readings}
        self._readings.update((reading.key, reading) for reading in readings)
        if self._stood(rules, was_reloaded) and not gone:
            self._gaps.stood(readings, at_ns)
        else:
            self._note_gap(is_news=not gone or gone != self._gone)
        self._gone = gone

    def _stood(self, rules: RuleReadings, was_reloaded: bool) -> bool:
        """False: they did not all the time since the last round, and do so again; but rules that are not ours
        may be gone still. Raises SourceError."""
        was_changed = any(one.before is not None for one in rules.readings)  # by who wrote them
        if not rules.missing and not was_changed and rules.generation == self._generation:
            return True
        try:
            checked = self._parts.check_rules(rules.missing)
        except IpsecmonError:
            self._note_gap()
            raise
        self._generation = checked.generation
        return not checked.repaired and not was_reloaded and not was_changed

    def _note_gap(self, is_news: bool = True) -> None:
        parts = self._parts
        gap = self._gaps.add(parts.interfaces.poll(), parts.clock.now().monotonic_ns)
        parts.counts.add("rules", "gap-ms", round(gap.seconds * 1000))
        if is_news:
            parts.counts.add("rules", "gaps")
            _logger.warning(
                "rules did not stand all the time, uncounted at most seconds=%.1f octets_in=%d octets_out=%d",
                *gap,
            )

    def read_all(self) -> None:
        """As read(), and the SAs; where some ended with no last reading, the counters again after that."""
        self.read()
        parts = self._parts
        first = last = self._counted()
        if parts.tunnels.read():
            self.read()
            last = self._counted()
        parts.layers.read(parts.tunnels.carried)
        parts.tunnels.settle(first, last, {*self._broken, *parts.ledger.sums_of(self._broken)})
        self._broken.clear()
        spis = parts.tunnels.spis()
        if spis is not None:
            parts.ledger.book(parts.shares.settle(spis, parts.tunnels.knows_every_sa, last))

    def _counted(self) -> list[Increment]:
        """Of counters that rules have now: others stand still, which tells nothing."""
        ledger = self._parts.ledger
        tapped = {*ledger.groups().values(), *ledger.lines()}
        return [one for one in ledger.snapshot() if one.key in tapped]

    def _reborn(self, readings: Iterable[Reading]) -> list[CounterKey]:
        """Counters that are not the ones of the last round, though they have the same key."""
        last = self._readings
        return [
            one.key
            for one in readings
            if one.before is not None or (one.key in last and last[one.key].birth != one.birth)
        ]

    def _was_reloaded(self, readings: Iterable[Reading]) -> bool:
        """Counters of ours that somebody else has made anew, as by loading a dump."""
        last = self._readings
        return any(
            not one.from_zero and one.before is None and one.key in last and last[one.key].birth != one.birth
            for one in readings
        )

    def close(self) -> Batch:
        """Read, and close the interval that is running. Raises StoreError; the increments stay open then."""
        self.read_all()
        parts = self._parts
        now = parts.clock.now()
        span = parts.intervals.span(now.wall_ns, now.monotonic_ns)
        counted = parts.counts.since_reported()
        dropped = parts.copies.dropped_datagrams()
        try:
            levels = self._levels(dropped)
            batch = replace(
                parts.ledger.batch(span.start_ns, span.end_ns, [*counted, *levels]),
                tunnels=parts.tunnels.increments(),
                xfrm_errors=parts.tunnels.errors(),
                capacities=parts.capacities,
                queues=parts.queues.increments() if parts.queues else (),
                events=self._events(),
            )
            lines = parts.ledger.lines()
            summands = {part.name for ones in lines.values() for part in ones}
            standing = set(parts.ledger.groups().values())
            names = {line.name for line, ones in lines.items() if not standing.isdisjoint(ones)}
            derived = self._derived.derive(batch, names, summands)
            batch = replace(batch, increments=(*batch.increments, *derived))
            batch = replace(batch, parts=self._part_series.tell(batch, lines))
            batch = parts.layers.complete(self._agreement.judge(batch, parts.lines))
            sas = parts.tunnels.saved()
            readings = [*self._readings.values(), *parts.layers.saved()]
            queues = parts.queues.readings() if parts.queues else None
            parts.store.commit(batch, readings, parts.sinks, now, span.stepped_ns, sas, queues)
        except StoreError as error:
            self._complain_of_store(error)
            raise
        self._store_failed = False
        self._dropped_before = dropped
        parts.counts.mark_reported(counted)
        parts.ledger.close()
        parts.tunnels.close()
        parts.layers.close()
        if parts.queues:
            parts.queues.close()
        self._agreement.close()
        self._derived.close()
        self._part_series.close()
        self.last_closed = batch
        self._close_interval(now, span.stepped_ns)
        return batch

    def _events(self) -> tuple[Event, ...]:
        """That no batch has told yet."""
        self._parts.save_events()
        return self._parts.store.untold_events()

    def change(self, parts: Parts, generation: int) -> None:
        """Go on with other parts. generation: of the rule sets now."""
        self._parts = parts
        self._generation = generation

    @property
    def parts(self) -> Parts:
        return self._parts

    def snapshot(self) -> list[Increment]:
        """Everything since the agent started."""
        return self._parts.ledger.snapshot()

    def _close_interval(self, now: Moment, stepped_ns: int) -> None:
        if stepped_ns:
            self._parts.counts.add("agent", "clock-steps")
            _logger.warning("the wall clock was stepped seconds=%.1f", stepped_ns / 1e9)
        intervals = self._parts.intervals
        intervals.close(now.wall_ns, now.monotonic_ns)
        if intervals.steps_back != self._saved_steps_back:
            self._save_steps_back(intervals.steps_back)

    def _save_steps_back(self, steps_back: int) -> None:
        """What fails is tried again when the next interval is closed: this one is safe already."""
        try:
            self._parts.store.set_state(STEPS_BACK, str(steps_back))
            self._saved_steps_back = steps_back
        except StoreError as error:
            self._complain_of_store(error)

    def _levels(self, dropped: int) -> list[SelfMeasurement]:
        """Of an interval that is not closed before the store has it; asked again if it refuses."""
        return [
            *self._sink_levels(),
            *self._resources.measure(),
            *self._parts.more_levels(),
            SelfMeasurement("nflog", "dropped-datagrams", dropped - self._dropped_before),
        ]

    def _sink_levels(self) -> Iterator[SelfMeasurement]:
        dropped = self._parts.store.spool_dropped()
        now_ns = self._parts.clock.now().wall_ns
        for name in self._parts.sinks:
            backlog = self._parts.store.backlog(name)
            oldest_ns = now_ns if backlog.oldest_start_ns is None else backlog.oldest_start_ns
            yield SelfMeasurement(name, "waiting-batches", backlog.batches)
            yield SelfMeasurement(name, "oldest-waiting-s", max(0, now_ns - oldest_ns) // 10**9)
            yield SelfMeasurement(name, "dropped-batches", dropped.get(name, 0))

    def _complain_of_store(self, error: StoreError) -> None:
        self._parts.counts.add("store", "failed-commits")
        if not self._store_failed:
            _logger.error("store refuses, counting goes on and is kept in memory error=%s", error)
        self._store_failed = True

    def _complain(self, error: SourceError) -> None:
        self._parts.counts.add("rules", "failed-reads")
        if not self._source_failed:
            _logger.error("counters cannot be read error=%s", error)
        self._source_failed = True
