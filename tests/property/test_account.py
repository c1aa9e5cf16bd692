"""The arithmetic against independent oracles: a counter, a clock and a kernel that are simulated."""

from __future__ import annotations

from typing import NamedTuple, Optional

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ipsecmon.account.deltas import Deltas, delta
from ipsecmon.account.intervals import STEP_NS, Intervals
from ipsecmon.account.ledger import Ledger
from ipsecmon.account.loss import SETTLE_NS, LossMeter
from ipsecmon.model import CounterKey, Direction, Increment, ObservationPoint, Reading
from ipsecmon.packets import Packets
from tests.unit.account.simulated_kernel import MS, SimulatedKernel

TOP = 1 << 64
US = 1000
S = 1_000_000_000
T0 = 1_700_000_000 * S
KEYS = [CounterKey(name, Direction.IN, ObservationPoint.WIRE) for name in ("web", "esp", "other")]
LINE = CounterKey("T1", Direction.IN, ObservationPoint.WIRE)
GROUPS = {9 * position + 5: key for position, key in enumerate(KEYS)}

widths = st.sampled_from([32, 64])
counts = st.integers(0, 2**62) | st.integers(TOP - 2**20, TOP - 1)


@given(st.integers(0, TOP - 1), st.integers(0, TOP - 1), widths)
def test_a_difference_is_the_way_from_the_one_value_to_the_other(last: int, now: int, bits: int) -> None:
    last, now = last % (1 << bits), now % (1 << bits)
    steps = delta(last, now, bits)
    assert 0 <= steps < 1 << bits
    assert (last + steps) & ((1 << bits) - 1) == now


# What happens to a counter between two polls: it counts, or it is made anew and counts.
happenings = st.lists(
    st.tuples(st.sampled_from(KEYS), st.integers(0, 2**40), st.integers(0, 2**30), st.booleans()), max_size=40
)


class TrueCounter:
    """Counts without a limit; reads modulo 2**64; made anew, it is another one that begins at 0."""

    def __init__(self, key: CounterKey, octets: int, packets: int) -> None:
        self._key = key
        self._shown = (octets, packets)
        self._births = 0
        self.happened = (0, 0)

    def count(self, octets: int, packets: int, anew: bool) -> Reading:
        before = (0, 0) if anew else self._shown
        self._births += anew
        self._shown = ((before[0] + octets) % TOP, (before[1] + packets) % TOP)
        self.happened = (self.happened[0] + octets, self.happened[1] + packets)
        return self.reading()

    def reading(self) -> Reading:
        return Reading(self._key, *self._shown, f"birth {self._births}")


@given(counts, counts, happenings)
def test_increments_sum_up_to_what_happened_through_wraps_and_new_births(
    octets: int, packets: int, run: list[tuple[CounterKey, int, int, bool]]
) -> None:
    counters = {key: TrueCounter(key, octets, packets) for key in KEYS}
    deltas = Deltas(counter.reading() for counter in counters.values())
    sums = dict.fromkeys(KEYS, (0, 0))
    for key, more_octets, more_packets, anew in run:
        reading = counters[key].count(more_octets, more_packets, anew)
        for _, got_octets, got_packets in deltas.advance([reading]):
            sums[key] = (sums[key][0] + got_octets, sums[key][1] + got_packets)
    assert sums == {key: counter.happened for key, counter in counters.items()}


@given(st.data(), happenings)
def test_the_order_and_number_of_polls_does_not_change_totals(
    data: st.DataObject, run: list[tuple[CounterKey, int, int, bool]]
) -> None:
    counters = {key: TrueCounter(key, 0, 0) for key in KEYS}
    often, seldom = Deltas(), Deltas()
    totals = dict.fromkeys(KEYS, 0)
    for key, octets, packets, _ in run:
        counters[key].count(octets, packets, anew=False)
        order = data.draw(st.permutations(KEYS))
        for polled, got, _ in often.advance(counters[one].reading() for one in order):
            totals[polled] += got
    last = [counters[key].reading() for key in data.draw(st.permutations(KEYS))]
    assert {key: octets for key, octets, _ in seldom.advance(last)} == totals


@given(st.integers(0, 2**62), st.integers(0, 2**62))
def test_a_counter_that_fell_without_a_wrap_counts_from_zero(one: int, another: int) -> None:
    low, high = sorted((one, another))
    deltas = Deltas([Reading(KEYS[0], high + 1, 0, "")])
    assert list(deltas.advance([Reading(KEYS[0], low, 0, "")])) == [(KEYS[0], low, 0)]


class Step(NamedTuple):
    """Time passes, then packets do; then the agent polls, or not, and drains the socket, or some of it."""

    wait_ms: int
    packets: int
    lost: int
    polled: bool
    drained: bool


steps = st.lists(
    st.builds(
        Step,
        st.integers(0, 400),
        st.integers(0, 40) | st.just(0),
        st.integers(0, 10) | st.just(0),
        st.booleans(),
        st.sampled_from([True, True, True, False]),
    ),
    max_size=30,
)
REST = [Step(SETTLE_NS // MS, 0, 0, True, True)] * 2


class Metered:
    """A meter beside the kernel that it measures, and the sums of what it said."""

    def __init__(self, seed: int, meter: LossMeter, unbound: int = 0, bound: int = 0) -> None:
        self.kernel = SimulatedKernel(seed)
        self._meter = meter
        self.lost = self.pending = self.uncopied = 0
        if unbound or bound:
            self.kernel.pass_packets(unbound, bound=False)
            self.kernel.pass_packets(bound)
            self._meter.update(0, unbound + bound, 0)
        self._counted = unbound + bound

    def step(self, step: Step) -> bool:
        """True if the meter spoke."""
        self.kernel.now_ns += step.wait_ms * MS
        self.kernel.pass_packets(step.packets, step.lost)
        if not step.polled:
            return False
        expected, self._counted = self.kernel.packets - self._counted, self.kernel.packets
        seen = self.kernel.drain(1.0 if step.drained else 0.5).packets
        said = self._meter.update(self.kernel.now_ns, expected, seen, step.drained)
        assert min(said) >= 0
        self.lost += said.lost
        self.uncopied += said.uncopied
        self.pending = said.pending
        return True


@given(st.integers(), steps)
def test_the_bounds_of_the_loss_always_hold_and_meet_at_rest(seed: int, run: list[Step]) -> None:
    metered = Metered(seed, LossMeter())
    for step in [*run, *REST]:
        if metered.step(step):
            assert metered.lost <= metered.kernel.lost <= metered.lost + metered.pending
    assert (metered.lost, metered.pending) == (metered.kernel.lost, 0)


@given(st.integers(), st.integers(0, 20), st.integers(0, 20), steps)
def test_a_start_under_traffic_makes_no_loss_and_hides_at_most_its_window(
    seed: int, unbound: int, bound: int, run: list[Step]
) -> None:
    metered = Metered(seed, LossMeter(unbound + bound), unbound, bound)
    for step in [*run, *REST]:
        if metered.step(step):
            missing = metered.kernel.lost + unbound
            assert metered.lost <= metered.kernel.lost
            assert missing <= metered.lost + metered.pending + metered.uncopied
    assert unbound <= metered.uncopied <= unbound + bound
    assert (metered.lost + metered.uncopied, metered.pending) == (metered.kernel.lost + unbound, 0)
    if not metered.kernel.lost:
        assert (metered.lost, metered.uncopied) == (0, unbound)


@given(st.integers(), steps, st.integers(0, 150))
def test_copies_that_overtake_the_reading_make_no_loss(seed: int, run: list[Step], slow_ms: int) -> None:
    """Packets that pass between the reading and the second draining are seen before they are expected."""
    kernel, meter = SimulatedKernel(seed), LossMeter()
    lost = counted = after = seen = 0
    for step in [*run, *REST]:
        kernel.now_ns += step.wait_ms * MS
        before = after + kernel.drain().packets
        at_ns, expected, counted = kernel.now_ns, kernel.packets - counted, kernel.packets
        truth = kernel.lost
        kernel.now_ns += slow_ms * MS
        kernel.pass_packets(step.packets, step.lost)
        after = kernel.drain().packets
        said = meter.update(at_ns, expected, before, after=after)
        lost += said.lost
        seen += before
        assert lost <= truth <= lost + said.pending
        assert counted == seen + lost + said.pending
    assert (lost, said.pending) == (kernel.lost, 0)


class Tick(NamedTuple):
    """The wall clock is stepped, time passes to the boundary or not, then a close, a defer or a restart."""

    step_us: int
    wait_us: Optional[int]
    late_us: int
    then: str


# microseconds: nanoseconds are what keeps the starts apart
steps_us = st.just(0) | st.integers(-900_000, 900_000) | st.integers(-(10**11), 10**11)
ticks = st.lists(
    st.builds(
        Tick,
        st.just(0) | steps_us,
        st.none() | st.none() | st.integers(1, 30_000_000),
        st.just(10) | st.integers(1, 2_000_000),
        st.sampled_from(["close"] * 6 + ["defer", "restart"]),
    ),
    max_size=40,
)


class Timed:
    """Intervals, both clocks, and every start so far."""

    def __init__(self, interval_s: int) -> None:
        self._interval_s = interval_s
        self.wall_ns, self.monotonic_ns = T0, 5 * S
        self.intervals = Intervals(interval_s, self.wall_ns, self.monotonic_ns)
        self.starts: list[int] = []
        self.counted_ns = 0

    def tick(self, tick: Tick) -> None:
        due_in = max(0, self.intervals.due_monotonic_ns() - self.monotonic_ns)
        self._pass(due_in + tick.late_us * US if tick.wait_us is None else tick.wait_us * US)
        self.wall_ns += tick.step_us * US
        if tick.then == "defer":
            self.intervals.defer(self.monotonic_ns)
            assert self.intervals.due_monotonic_ns() > self.monotonic_ns
        else:
            self._close()
        if tick.then == "restart":
            self._restart()

    def _pass(self, ns: int) -> None:
        ns -= ns % US
        self.wall_ns += ns
        self.monotonic_ns += ns

    def _close(self) -> None:
        span = self.intervals.span(self.wall_ns, self.monotonic_ns)
        self.intervals.close(self.wall_ns, self.monotonic_ns)
        assert span.end_ns > span.start_ns
        self.starts.append(span.start_ns)
        self.counted_ns += span.end_ns - span.start_ns

    def _restart(self) -> None:
        self._pass(S)
        remembered = (max(self.starts), self.intervals.steps_back)
        self.intervals = Intervals(self._interval_s, self.wall_ns, self.monotonic_ns, *remembered)


@given(st.sampled_from([1, 10, 300]), ticks)
def test_no_start_is_ever_repeated_whatever_the_clock_does(interval_s: int, run: list[Tick]) -> None:
    timed = Timed(interval_s)
    for tick in run:
        timed.tick(tick)
    assert len(set(timed.starts)) == len(timed.starts)


@given(st.sampled_from([1, 10, 300]), ticks)
def test_intervals_are_together_as_long_as_the_time_that_passed(interval_s: int, run: list[Tick]) -> None:
    timed = Timed(interval_s)
    begun_ns = timed.monotonic_ns
    for tick in run:
        timed.tick(tick._replace(then="close"))
    followed = sum(abs(tick.step_us) * US for tick in run if abs(tick.step_us) * US < 2 * STEP_NS)
    left_open = interval_s * S // 10
    assert abs(timed.counted_ns - (timed.monotonic_ns - begun_ns)) <= followed + left_open + len(run)


class Round(NamedTuple):
    """What passes on each counter, and what the agent does then."""

    steps: list[Step]
    then: str


traffic = st.builds(
    Step, st.just(0), st.integers(0, 9), st.integers(0, 3), polled=st.just(True), drained=st.just(True)
)
rounds = st.lists(
    st.builds(
        Round,
        st.lists(traffic, min_size=len(KEYS), max_size=len(KEYS)),
        st.sampled_from(["read", "read", "close", "store fails", "restart"]),
    ),
    max_size=15,
)


class Books:
    """A ledger beside the kernel whose counters it reads; sums of every batch that a store took."""

    def __init__(self) -> None:
        self.kernels = {key: SimulatedKernel(position) for position, key in enumerate(KEYS)}
        self.sums: dict[CounterKey, Increment] = {}
        self._ledger = Ledger("gw", GROUPS, {LINE: KEYS})
        self._ledger.begin(self._readings(), 0, copied_all=True)

    def step(self, one: Round) -> None:
        for kernel, step in zip(self.kernels.values(), one.steps):
            kernel.now_ns += 70 * MS
            kernel.pass_packets(step.packets, step.lost)
        self.read()
        if one.then == "store fails":
            self._ledger.batch(0, 1)
        elif one.then == "close":
            self.close()
        elif one.then == "restart":
            self._restart([step.packets for step in one.steps])

    def rest(self) -> None:
        for _ in range(2):
            for kernel in self.kernels.values():
                kernel.now_ns += SETTLE_NS
            self.read()
        self.close()

    def read(self) -> None:
        readings = self._readings()
        for group, key in GROUPS.items():
            drained = self.kernels[key].drain()
            assert self._ledger.fold(_packets(group, drained.octets, drained.packets)) == 0
        self._ledger.advance(readings, self._now_ns(), True)

    def close(self) -> None:
        for one in self._ledger.batch(0, 1).increments:
            self.sums[one.key] = _sum(self.sums.get(one.key, Increment(one.key, 0, 0)), one)
        self._ledger.close()

    def _restart(self, missed: list[int]) -> None:
        """The agent ends, packets pass, the first look, more pass, the groups are bound, more pass."""
        self.close()
        pending = {key: self.sums[key].pending_packets for key in KEYS}
        self._ledger = Ledger("gw", GROUPS, {LINE: KEYS}, self._readings())
        for kernel, number in zip(self.kernels.values(), missed):
            kernel.forget_copies()
            kernel.pass_packets(number, bound=False)
        self._ledger.adopt(self._readings(), pending)
        self.close()
        for kernel, number in zip(self.kernels.values(), missed):
            kernel.pass_packets(number, bound=False)
            kernel.pass_packets(number)
        self._ledger.begin(self._readings(), self._now_ns(), copied_all=False)

    def _now_ns(self) -> int:
        return max(kernel.now_ns for kernel in self.kernels.values())

    def _readings(self) -> list[Reading]:
        return [Reading(key, kernel.octets, kernel.packets, "") for key, kernel in self.kernels.items()]


def _packets(group: int, octets: int, packets: int) -> Packets:
    """Copies of one group that have so many octets together."""
    lengths = [octets // packets] * (packets - 1) if packets else []
    rows = [*lengths, octets - sum(lengths)] if packets else []
    return Packets(
        np.full(packets, group, np.uint16), np.array(rows, np.uint32), np.full(packets, -1, np.int64)
    )


def _sum(total: Increment, one: Increment) -> Increment:
    return Increment(
        total.key,
        total.octets + one.octets,
        total.packets + one.packets,
        total.nflog_octets + one.nflog_octets,
        total.nflog_packets + one.nflog_packets,
        total.lost_packets + one.lost_packets,
        one.pending_packets,
        total.bridged_octets + one.bridged_octets,
        total.bridged_packets + one.bridged_packets,
    )


@settings(max_examples=60)
@given(rounds)
def test_the_books_balance_at_rest_through_losses_failures_and_restarts(run: list[Round]) -> None:
    books = Books()
    for one in run:
        books.step(one)
    books.rest()
    for key, kernel in books.kernels.items():
        found = books.sums[key]
        assert (found.octets, found.packets) == (kernel.octets, kernel.packets)
        explained = found.nflog_packets + found.lost_packets + found.bridged_packets
        assert (found.packets, found.pending_packets) == (explained, 0)
        assert found.lost_packets <= kernel.lost
    assert books.sums[LINE].octets == sum(kernel.octets for kernel in books.kernels.values())
    assert books.sums[LINE].lost_packets == sum(books.sums[key].lost_packets for key in KEYS)
