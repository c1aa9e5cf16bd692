"""The agent about itself: counts of everything that moves, resource use, systemd's notifications."""

from __future__ import annotations

import logging
import os
import resource
import socket
import sys
import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Optional, TextIO

from ipsecmon.model import SelfMeasurement

if TYPE_CHECKING:
    _StreamHandler = logging.StreamHandler[TextIO]
else:  # not subscriptable at run time before Python 3.11
    _StreamHandler = logging.StreamHandler

__all__ = ["Counters", "ResourceUse", "notify_systemd", "set_up_logging", "watchdog_period_ns"]


class Counters:
    """Counts by (component, kind). Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._totals: Counter[tuple[str, str]] = Counter()
        self._reported: Counter[tuple[str, str]] = Counter()

    def add(self, component: str, kind: str, number: int = 1) -> None:
        with self._lock:
            self._totals[component, kind] += number

    def totals(self) -> dict[str, int]:
        """Since the start, by 'component.kind'."""
        with self._lock:
            return {
                f"{component}.{kind}": number for (component, kind), number in sorted(self._totals.items())
            }

    def since_reported(self) -> list[SelfMeasurement]:
        """What came since the last mark_reported()."""
        with self._lock:
            return [
                SelfMeasurement(component, kind, number - self._reported[component, kind])
                for (component, kind), number in sorted(self._totals.items())
                if number != self._reported[component, kind]
            ]

    def mark_reported(self, reported: Iterable[SelfMeasurement]) -> None:
        with self._lock:
            for one in reported:
                self._reported[one.component, one.kind] += one.value


class ResourceUse:
    """CPU time since the last call, and memory now (getrusage(2), proc(5))."""

    def __init__(self) -> None:
        self._cpu_us = 0

    def measure(self) -> list[SelfMeasurement]:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        cpu_us = round((usage.ru_utime + usage.ru_stime) * 1e6)
        spent, self._cpu_us = cpu_us - self._cpu_us, cpu_us
        return [
            SelfMeasurement("agent", "cpu-us", spent),
            SelfMeasurement("agent", "peak-memory-kib", usage.ru_maxrss),
        ]


def notify_systemd(state: str, address: Optional[str] = None) -> None:
    """sd_notify(3): one datagram, and nothing where no NOTIFY_SOCKET is set."""
    address = address or os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.sendto(state.encode(), address)
    except OSError as error:
        logging.getLogger(__name__).warning("systemd was not notified error=%s", error)


class _Stderr(_StreamHandler):
    """Whatever stderr is at the moment: a live table redirects it, to print above itself."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


def watchdog_period_ns(environment: Mapping[str, str]) -> Optional[int]:
    """How often systemd wants WATCHDOG=1 from this process: half its limit, sd_watchdog_enabled(3)."""
    limit_us, pid = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID")
    if not limit_us.isdigit() or int(limit_us) == 0 or pid not in (None, str(os.getpid())):
        return None
    return int(limit_us) * 1000 // 2


def set_up_logging(debug: bool = False) -> None:
    """To stderr, with the time unless systemd's journal adds its own. Libraries have no debug messages."""
    for library in ("asyncio", "pyroute2"):
        logging.getLogger(library).setLevel(logging.INFO)
    stamp = "" if "JOURNAL_STREAM" in os.environ else "%(asctime)s "
    logging.basicConfig(
        handlers=[_Stderr()],
        level=logging.DEBUG if debug else logging.INFO,
        format=f"{stamp}%(levelname)s %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%S%z",
    )
