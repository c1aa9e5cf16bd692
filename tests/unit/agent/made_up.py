"""An agent's rounds over a real store, with a clock that a test sets and a counter that grows with time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from ipsecmon.account.intervals import Intervals
from ipsecmon.account.ledger import Ledger
from ipsecmon.account.shares import Shares
from ipsecmon.account.tunnel_match import NO_NAMES
from ipsecmon.agent.layers import LayerMeter, Told
from ipsecmon.agent.observe import Counters
from ipsecmon.agent.rounds import STEPS_BACK, Checked, Parts, Rounds
from ipsecmon.agent.tunnels import Outside, TunnelMeter
from ipsecmon.clock import Moment
from ipsecmon.errors import SourceError
from ipsecmon.ipsec import XfrmErrors
from ipsecmon.model import CounterKey, Direction, ObservationPoint, Reading
from ipsecmon.packets import Packets
from ipsecmon.store import Store

__all__ = ["KEY", "NS", "OCTETS_PER_S", "START_S", "Life", "Rules", "SteppedClock"]

NS = 10**9
START_S = 1_795_323_600
KEY = CounterKey("T1", Direction.IN, ObservationPoint.WIRE)
OCTETS_PER_S = 1000


class SteppedClock:
    """wall_ns runs with monotonic_ns, faster by slew_ppm, and from where step() has set it."""

    def __init__(self) -> None:
        self.monotonic_ns = 0
        self._wall_ns = START_S * NS
        self.slew_ppm = 0

    def now(self) -> Moment:
        return Moment(self._wall_ns, self.monotonic_ns)

    def run_to(self, monotonic_ns: int) -> None:
        passed_ns = monotonic_ns - self.monotonic_ns
        self.monotonic_ns = monotonic_ns
        self._wall_ns += passed_ns + passed_ns * self.slew_ppm // 10**6

    def step(self, seconds: float) -> None:
        self._wall_ns += int(seconds * NS)


@dataclass
class MadeUp:
    """Sources that say what a line of OCTETS_PER_S would have counted."""

    clock: SteppedClock
    generation: int = 1
    missing: tuple[CounterKey, ...] = ()
    readings: tuple[Reading, ...] = ()

    def octets(self) -> int:
        return self.clock.monotonic_ns * OCTETS_PER_S // NS

    def dropped_datagrams(self) -> int:
        return 0


class Copies(MadeUp):
    was_empty = True

    def poll(self) -> list[Packets]:
        return []


class Rules(MadeUp):
    """gone: counters that are not there."""

    gone: tuple[CounterKey, ...] = ()

    def poll(self) -> Rules:
        reading = Reading(KEY, self.octets(), self.octets() // 100, "birth-1")
        return Rules(self.clock, missing=self.gone, readings=(reading,))


class Nics(MadeUp):
    def poll(self) -> list[Reading]:
        return []

    skew = poll


class NoSas:
    """A kernel without IPsec."""

    reader = "netlink"

    def start(self) -> None:
        raise SourceError("no XFRM here")

    def dump(self) -> NoReturn:
        raise AssertionError("never asked")

    hear = dump


class NoLinks:
    """Never asked, as no counter has `inside`."""

    boot = ""

    def start(self) -> None:
        raise AssertionError("never asked")

    def dump(self) -> NoReturn:
        raise AssertionError("never asked")

    stop, hear = start, dump


class NoL2tp:
    interfaces = None
    gateways: frozenset[str] = frozenset()


NOTHING_OUTSIDE = Outside(frozenset, lambda: NO_NAMES, lambda: XfrmErrors(()))


class Life:
    """One run of an agent over a store, from start() to stop()."""

    def __init__(self, folder: Path, clock: SteppedClock) -> None:
        self.clock = clock
        self.counts = Counters()
        self.store = Store(folder, 10, 400 * 86400)
        self.store.start(clock.now())
        saved = [
            Reading(key, one.octets, one.packets, one.birth) for key, one in self.store.readings().items()
        ]
        ledger = Ledger("gw", {}, {}, saved)
        ledger.adopt(Rules(clock).poll().readings, {})
        now = clock.now()
        last_start_ns = self.store.last_start_ns()
        steps_back = int(self.store.state(STEPS_BACK) or 0)
        last = -1 if last_start_ns is None else last_start_ns
        self.intervals = Intervals(10, now.wall_ns, now.monotonic_ns, last, steps_back)
        if self.intervals.steps_back != steps_back:
            self.store.set_state(STEPS_BACK, str(self.intervals.steps_back))
        parts = Parts(
            clock,
            Copies(clock),
            Rules(clock),  # type: ignore[arg-type]  # readings are a tuple here
            Nics(clock),
            TunnelMeter(NoSas(), (), NOTHING_OUTSIDE, self.counts, clock),
            LayerMeter(NoLinks(), {}, Told(lambda: NoL2tp(), dict, lambda name: False), self.counts),
            Shares({}, self.counts),
            ledger,
            self.intervals,
            self.store,
            ["influxdb"],
            self.counts,
            lambda missing: Checked(1),
        )
        self.rounds = Rounds(parts, generation=1)

    def run(self, intervals: int) -> None:
        for _ in range(intervals):
            self.clock.run_to(self.intervals.due_monotonic_ns() + NS // 100)
            self.rounds.close()

    def stop(self) -> None:
        self.store.stop()
