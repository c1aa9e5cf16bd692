"""The agent from start to stop.

Start: store, helper's first look at the counters (what passed while nobody read is bridged), groups and
rules, baseline, control socket, sinks, ready. Stop: the reverse, within STOP_S, after one last round.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, Optional

from ipsecmon.account.intervals import Intervals
from ipsecmon.account.ledger import Ledger
from ipsecmon.account.loss import SETTLE_NS
from ipsecmon.agent.agreement import lines_of
from ipsecmon.agent.assignment import save_groups
from ipsecmon.agent.bridge import bridge
from ipsecmon.agent.checkup import CHECKUP_NS, Checkup
from ipsecmon.agent.claim import Claim
from ipsecmon.agent.control import Control, Reply, Totals, describe_totals
from ipsecmon.agent.foreign_rules import build_keeper
from ipsecmon.agent.gather import Gather
from ipsecmon.agent.loop import Loop
from ipsecmon.agent.marks import mark
from ipsecmon.agent.observe import notify_systemd, watchdog_period_ns
from ipsecmon.agent.plan import capacities
from ipsecmon.agent.reload import SINKS, Reload, remember_outlets
from ipsecmon.agent.rounds import STEPS_BACK, Parts, Rounds
from ipsecmon.agent.sink_levels import sink_levels
from ipsecmon.agent.status import describe
from ipsecmon.agent.tunnels import HEAR_NS
from ipsecmon.agent.wiring import Wired
from ipsecmon.errors import HelperGone, IpsecmonError, SourceError, StoreError

__all__ = ["Agent"]

_logger = logging.getLogger(__name__)
STOP_S = 2.0
_SINKS_STOP_S = 1.2  # of STOP_S; what is not sent by then stays in the spool
_LOOK_NS = 1_000_000_000
_SETTLE_NS = SETTLE_NS + 20_000_000  # and a tick of the slowest kernel clock, 100 Hz


class Agent:
    """wired: everything concrete. ready: called when rules stand and baseline readings are taken.

    remove_rules: on stop (a run without a config leaves nothing). look: called about each second with
    fresh totals, if anybody watches. is_watched: whether somebody still can, asked at SIGHUP.
    """

    def __init__(
        self,
        wired: Wired,
        ready: Callable[[], None],
        remove_rules: bool = False,
        look: Optional[Callable[[Totals], None]] = None,
        is_watched: Callable[[], bool] = lambda: True,
    ) -> None:
        self._wired = wired
        self._ready = ready
        self._remove_rules = remove_rules
        self._look = look
        self._is_watched = is_watched
        self._counts = wired.counts
        self._clock = wired.clock
        on_signal = {signal.SIGINT: self.end, signal.SIGTERM: self.end, signal.SIGHUP: self._on_hangup}
        self._loop = Loop(wired.clock, wired.counts, on_signal)
        self._control = Control(
            wired.folder,
            self._loop,
            {
                "status": self._status,
                "close-interval": self._close_interval,
                "totals": self._totals,
                "reload": self._on_reload,
                "doctor": lambda reply: reply(self._checkup.describe()),
            },
            {"mark": self._mark},
        )
        self._rounds: Optional[Rounds] = None
        self._keeper = build_keeper(wired)
        self._checkup = Checkup(wired, self._keeper)
        self._gather = Gather(wired.plan.receive_buffer)
        self._ending = False
        self._unwind: list[Callable[[], object]] = []

    def start(self) -> None:
        """Raises SourceError and StoreError; what was started by then is stopped again."""
        try:
            self._start()
        except BaseException:
            self._stop_parts()
            raise

    def run(self) -> None:
        """Until a signal. Raises HelperGone."""
        self._loop.run()

    def end(self) -> None:
        """Take a last reading, let its copies arrive, end. A second call ends at once."""
        if self._rounds is None or self._ending:
            self._loop.end()
            return
        self._ending = True
        self._loop.call_at(self._clock.now().monotonic_ns + _SETTLE_NS, self._loop.end)
        self._rounds.read()

    def _on_hangup(self) -> None:
        """SIGHUP asks for a reload, or says that the terminal has gone on which the counts were shown."""
        if self._is_watched():
            self._on_reload(lambda answer: None)
        else:
            self.end()

    def stop(self) -> None:
        """One last round, then everything in reverse order; says what could not be saved."""
        notify_systemd("STOPPING=1")
        try:
            if self._rounds:
                self._rounds.close()
        except HelperGone:
            pass  # run() has said so
        except IpsecmonError as error:
            _logger.error("the last interval could not be closed, counters will bridge it error=%s", error)
        self._stop_parts()

    def _start(self) -> None:
        wired = self._wired
        now = self._clock.now()
        if wired.plan.managed:
            claim = Claim(wired.plan.table, self._loop)
            claim.start()
            self._unwind.append(claim.stop)
        opened = wired.store.start(now)
        self._unwind.append(wired.store.stop)
        if opened.moved_aside:
            _logger.error("store was corrupt, begun afresh; the old one was kept path=%s", opened.moved_aside)
        wired.outlets = wired.outlets_of(wired.config, json.loads(wired.store.state(SINKS) or "{}"))
        remember_outlets(wired)
        wired.tc.start()
        self._unwind.append(wired.tc.stop)
        wired.interfaces.start()
        self._unwind.append(lambda: wired.interfaces.stop())  # a reload may change which
        sas, links = wired.store.saved_sas(), wired.store.readings()
        wired.queues.start(wired.store, self._loop.call_at)
        last_end_ns = wired.store.last_end_ns()
        ledger, bridged = bridge(wired, self._keeper, sas)
        generation = self._begin_counting(ledger)
        wired.rule_watch.look(wired.plan, last_end_ns)
        wired.tunnels.start(sas if bridged else sas.without_bound())
        wired.layers.start(links)
        self._unwind.append(wired.layers.stop)
        self._start_rounds(ledger, generation)
        self._control.start()
        self._unwind.append(self._control.stop)
        for outlet in wired.outlets:
            outlet.start()
        self._unwind.append(self._stop_outlets)
        self._loop.call_at(now.monotonic_ns, self._announce)

    def _announce(self) -> None:
        """From the loop: only there does a signal end the agent in order."""
        notify_systemd("READY=1")
        self._ready()
        self._watchdog_ns = watchdog_period_ns(os.environ)
        self._be_alive()
        self._check_up()

    def _check_up(self) -> None:
        self._loop.call_at(self._clock.now().monotonic_ns + CHECKUP_NS, self._check_up)
        self._checkup.look()

    def _be_alive(self) -> None:
        """A sign of life from the loop, however long intervals are and whatever the store refuses."""
        if self._watchdog_ns is not None:
            notify_systemd("WATCHDOG=1")
            self._loop.call_at(self._clock.now().monotonic_ns + self._watchdog_ns, self._be_alive)

    def _begin_counting(self, ledger: Ledger) -> int:
        """Groups and rules. Bound before the rules first stand, not one packet goes uncopied.

        Where older rules stand, the groups are only tried before the rules are touched: a copy made by an
        older plan must not be taken for another counter's.
        """
        wired = self._wired
        known = not wired.plan.managed or bool(wired.rules.poll().readings)
        groups = wired.plan.groups()
        if known and wired.plan.managed:
            wired.open_nflog(groups).stop()
            self._keeper.install()
        wired.copies.add(wired.open_nflog(groups), groups)
        if self._remove_rules:
            self._unwind.append(wired.helper.remove_rules)
        self._unwind.append(wired.copies.stop)
        save_groups(wired.folder, wired.plan)
        if not known:
            ledger.rebase(wired.interfaces.poll())  # no rule counts what passed until now
            self._keeper.install()
            wired.interfaces.skew()
        rules = wired.rules.poll()
        now = self._clock.now()
        ledger.begin([*wired.interfaces.poll(), *rules.readings], now.monotonic_ns, copied_all=not known)
        if not wired.plan.managed:
            return self._keeper.check(rules.missing).generation
        return rules.generation

    def _start_rounds(self, ledger: Ledger, generation: int) -> None:
        wired = self._wired
        now = self._clock.now()
        steps_back = int(wired.store.state(STEPS_BACK) or 0)
        last_start_ns = wired.store.last_start_ns() or -1
        intervals = Intervals(wired.interval_s, now.wall_ns, now.monotonic_ns, last_start_ns, steps_back)
        if intervals.steps_back != steps_back:
            wired.store.set_state(STEPS_BACK, str(intervals.steps_back))
        parts = Parts(
            self._clock,
            wired.copies,
            wired.rules,
            wired.interfaces,
            wired.tunnels,
            wired.layers,
            wired.shares,
            ledger,
            intervals,
            wired.store,
            [outlet.name for outlet in wired.outlets],
            self._counts,
            self._keeper.check,
            lambda: [*self._checkup.levels(), *sink_levels(wired.outlets)],
            lines_of(wired.config),
            capacities(wired.config),
            wired.queues,
            wired.journal.save,
        )
        self._rounds = Rounds(parts, generation)
        self._rounds.read_all()
        self._intervals = intervals
        self._reload = Reload(wired, self._keeper, self._rounds, ledger, self._loop, self._force_close)
        self._loop.watch(wired.copies, self._on_copies)
        self._loop.watch(wired.tc, wired.queues.hear)
        self._due_ns = 0
        self._wait_for_boundary()
        self._hear()
        if self._look:
            self._loop.call_at(now.monotonic_ns, self._on_look)

    def _wait_for_boundary(self) -> None:
        """One timer for each boundary: a reload may bring the next one nearer."""
        due_ns = self._intervals.due_monotonic_ns()
        if due_ns != self._due_ns:
            self._due_ns = due_ns
            self._loop.call_at(due_ns, lambda: self._on_time(due_ns))

    def _hear(self) -> None:
        """Of SAs, between two rounds."""
        self._loop.call_at(self._clock.now().monotonic_ns + HEAR_NS, self._hear)
        self._wired.tunnels.hear()
        self._wired.layers.hear()

    def _on_copies(self) -> None:
        """Let more arrive and read all of it at once."""
        self._loop.unwatch(self._wired.copies)
        self._loop.call_at(self._clock.now().monotonic_ns + self._gather.wait_ns, self._read_copies)

    def _read_copies(self) -> None:
        assert self._rounds is not None
        try:
            self._gather.learn(self._wired.copies.fullness())
            self._rounds.drain()
        finally:
            self._loop.watch(self._wired.copies, self._on_copies)

    def _on_time(self, due_ns: int) -> None:
        if due_ns != self._due_ns:
            return  # a reload has brought the boundary nearer
        try:
            self._close_round()
        except StoreError:
            pass  # rounds have said so, and everything is kept until the next one
        finally:
            self._intervals.defer(self._clock.now().monotonic_ns)  # of what failed in a way that nobody knows
            self._wait_for_boundary()

    def _close_round(self) -> None:
        assert self._rounds is not None
        now = self._clock.now().monotonic_ns
        if now < self._intervals.due_monotonic_ns():
            return  # a forced close has moved the boundary
        self._force_close()

    def _force_close(self) -> None:
        assert self._rounds is not None
        try:
            self._rounds.close()
        except (SourceError, StoreError):
            self._intervals.defer(self._clock.now().monotonic_ns)
            raise
        for outlet in self._wired.outlets:
            outlet.notify()

    def _on_look(self) -> None:
        assert self._look is not None
        self._loop.call_at(self._clock.now().monotonic_ns + _LOOK_NS, self._on_look)
        self._look(self._fresh_totals())

    def _close_interval(self, reply: Reply) -> None:
        """Read now, close when every copy of what was read has had time to come."""
        assert self._rounds is not None
        self._rounds.read()

        def close() -> None:
            try:
                self._force_close()
            except IpsecmonError as error:
                reply({"error": str(error)})
                raise
            assert self._rounds is not None and self._rounds.last_closed is not None
            reply(
                {
                    "closed": {
                        "start_ns": self._rounds.last_closed.start_ns,
                        "end_ns": self._rounds.last_closed.end_ns,
                    }
                }
            )

        self._loop.call_at(self._clock.now().monotonic_ns + _SETTLE_NS, close)

    def _status(self, reply: Reply) -> None:
        last = self._rounds.last_closed if self._rounds else None
        found = [asdict(one) for one in self._checkup.standing]
        reply({**describe(self._wired, self._keeper.nfmarks_refused, last), "doctor": found})

    def _totals(self, reply: Reply) -> None:
        reply(describe_totals(self._fresh_totals()))

    def _fresh_totals(self) -> Totals:
        assert self._rounds is not None
        self._rounds.read()
        by_key = {one.key: one for one in self._rounds.snapshot()}
        return Totals(self._clock.now().monotonic_ns, by_key)

    def _on_reload(self, reply: Reply) -> None:
        """A changed config, and files of file sinks anew. A wrong one is said, and all goes on as before."""
        self._reopen()
        try:
            changed = self._reload.reload()
        except HelperGone:
            raise
        except IpsecmonError as error:
            self._counts.add("agent", "refused-reloads")
            _logger.error(
                "config refused, all goes on as before error=%s", "; ".join(str(error).splitlines())
            )
            reply({"error": str(error)})
            return
        self._note_change()
        self._counts.add("agent", "reloads")
        self._wait_for_boundary()
        _logger.info("config reloaded %s", "; ".join(changed) or "nothing has changed")
        reply({"file": str(self._wired.file), "changed": changed})

    def _note_change(self) -> None:
        self._wired.queues.follow()
        with contextlib.suppress(StoreError):  # told after the next reload, or at the next start
            self._wired.remember_lines()
            self._wired.rule_watch.look(self._wired.plan)

    def _mark(self, request: Mapping[str, Any], reply: Reply) -> None:
        reply(mark(self._wired.journal, request))

    def _reopen(self) -> None:
        for outlet in self._wired.outlets:
            outlet.reopen()

    def _stop_outlets(self) -> None:
        for outlet in self._wired.outlets:
            outlet.notify()
        for outlet in self._wired.outlets:
            if not outlet.stop(_SINKS_STOP_S / len(self._wired.outlets)):
                _logger.warning(
                    "sink did not end in time, its batches stay in the spool sink=%s", outlet.name
                )

    def _stop_parts(self) -> None:
        while self._unwind:
            stop = self._unwind.pop()
            try:
                stop()
            except IpsecmonError as error:
                _logger.error("stopping: %s", error)
        self._wired.helper.stop()
        self._loop.close()
