"""What an outage costs: memory meanwhile, points a second when the server is back, and what counting feels.

python -m tests.bench.drain [--points 1000000] [--seconds 10]

One process commits an interval each PACE_S, as an agent would whose interval were that short: first while
the server is away, then, in the same minute, while the backlog of the outage is drained. Commits share the
disk, the interpreter (on the agent's terms) and the CPUs with the drain and the server. Memory is that of the
process, VmRSS.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from ipsecmon.agent.loop import others_give_way
from ipsecmon.sinks.delivery import Delivery
from ipsecmon.sinks.influxdb import Config, Sink
from ipsecmon.store import Spool, Store
from tests.parts.batches import batch, total_octets
from tests.parts.servers import PASSWORD, USER, InfluxServer
from tests.unit.store.store_cases import commit, moment

PACE_S = 0.1
COUNTERS = 50
POINTS = 2 * COUNTERS + 2  # of an interval
_WARM = 200  # intervals, before memory is looked at
_SINK = "influxdb"
_DRAIN_WITHIN_S = 300.0  # what was committed last; on a busy machine


@dataclass(frozen=True)
class Figures:
    """rss: of the process before and at the end of the outage. commits: seconds, median and most."""

    points_waiting: int
    rss_before_kib: int
    rss_after_kib: int
    drained_in_s: float
    points_per_s: int
    quiet_median_ms: float
    quiet_most_ms: float
    draining_median_ms: float
    draining_most_ms: float
    missing: int
    wrong_octets: int

    def sentence(self) -> str:
        """How drain and outage compare, for people."""
        ratio = self.draining_median_ms / self.quiet_median_ms
        return (
            f"an interval's commit while draining / quiet: {ratio:.1f} times"
            f" ({self.draining_median_ms:.1f} / {self.quiet_median_ms:.1f} ms, medians);"
            f" at most {self.draining_most_ms:.0f} / {self.quiet_most_ms:.0f} ms"
        )


class Subject:
    """A store with one sink, and what was committed so far."""

    def __init__(self, folder: Path, influxd: InfluxServer) -> None:
        self.influxd = influxd
        (folder / "password").write_text(PASSWORD)
        login = {"username": USER, "password_file": folder / "password"}
        settings = {"url": influxd.url, "database": "drain", **login}
        self._store = Store(folder / "store", 10, 400 * 86400)
        sink = Sink(Config.model_validate(settings))
        spool = Spool(folder / "store", _SINK)
        # not a minute: the drain is measured, and not the wait before it
        self.delivery = Delivery(_SINK, sink, spool, wait=lambda event, s: event.wait(s and min(s, 0.5)))
        self.intervals = 0

    def start(self) -> None:
        self._store.start(moment(0))
        self.delivery.start()

    def stop(self) -> None:
        self.delivery.stop(60)
        self._store.stop()

    def commit(self) -> float:
        """Seconds that it took."""
        one = batch(self.intervals, COUNTERS)
        began = time.monotonic()
        commit(self._store, one, sinks=(_SINK,))
        took = time.monotonic() - began
        self.intervals += 1
        self.delivery.notify()
        return took

    def waiting(self) -> int:
        return self._store.backlog(_SINK).batches

    def paced(self, goes_on: Callable[[], bool]) -> list[float]:
        """Seconds of each commit."""
        took = []
        following = time.monotonic()
        while goes_on():
            took.append(self.commit())
            following += PACE_S
            time.sleep(max(0.0, following - time.monotonic()))
        return took


def measure(folder: Path, points: int, seconds: float) -> Figures:
    (folder / "influxd").mkdir()
    influxd = InfluxServer(folder / "influxd")
    influxd.start()
    subject = Subject(folder, influxd)
    try:
        influxd.query("CREATE DATABASE drain")
        subject.start()
        with others_give_way():
            return _measured(subject, points, seconds)
    finally:
        subject.stop()
        influxd.stop()


def _measured(subject: Subject, points: int, seconds: float) -> Figures:
    for _ in range(_WARM):
        subject.commit()
    influxd = subject.influxd
    influxd.kill()
    subject.commit()
    rss_before = _rss_kib()
    for _ in range(points // POINTS):
        subject.commit()
    rss_after = _rss_kib()
    end = time.monotonic() + seconds
    quiet = subject.paced(lambda: time.monotonic() < end)
    waiting = subject.waiting()
    influxd.start()
    before, began = subject.intervals, time.monotonic()
    draining = subject.paced(lambda: subject.waiting() > 1)
    drained_in_s = time.monotonic() - began
    sent = waiting + subject.intervals - before
    missing, wrong = _compared(subject)
    return Figures(
        waiting * POINTS,
        rss_before,
        rss_after,
        round(drained_in_s, 2),
        round(sent * POINTS / drained_in_s),
        *_told(quiet),
        *_told(draining),
        missing,
        wrong,
    )


def _compared(subject: Subject) -> tuple[int, int]:
    deadline = time.monotonic() + _DRAIN_WITHIN_S
    while subject.waiting():
        assert time.monotonic() < deadline, f"{subject.waiting()} intervals wait still"
        time.sleep(0.05)
    (row,) = subject.influxd.rows("SELECT count(octets), sum(octets) FROM counter", "drain")
    expected = sum(total_octets(batch(number, COUNTERS)) for number in range(subject.intervals))
    return subject.intervals * COUNTERS - row["count"], row["sum"] - expected


def _told(took: list[float]) -> tuple[float, float]:
    """Median and most, ms."""
    ordered = sorted(took)
    return round(1000 * ordered[len(ordered) // 2], 2), round(1000 * ordered[-1], 2)


def _rss_kib() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.drain")
    parser.add_argument("--points", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=10, help="of commits without a drain")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ipsecmon-drain-") as folder:
        figures = measure(Path(folder), options.points, options.seconds)
    for name, value in asdict(figures).items():
        print(f"{name:20} {value:>12,}")
    print(figures.sentence())
    return 1 if figures.missing or figures.wrong_octets else 0


if __name__ == "__main__":
    sys.exit(main())
