"""Processes of a subject: which they are, and the CPU time they have used."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterable
from pathlib import Path

__all__ = ["cpu_ns", "kill", "tree"]


def tree(pid: int) -> list[int]:
    """A process and its descendants, as of now."""
    found = [pid]
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text().split():
            found += tree(int(child))
    return found


def cpu_ns(pids: Iterable[int]) -> int:
    """User and system time of all their threads.

    schedstat has the time behind utime and stime of proc(5), which are rounded to 10 ms.
    """
    tasks = [task for pid in pids for task in Path(f"/proc/{pid}/task").glob("*/schedstat")]
    return sum(int(task.read_text().split()[0]) for task in tasks)


def kill(pids: Iterable[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
