"""What rounds amount to: medians, and ratios of rounds that were neighbours in time.

A ratio is taken within each round and only then the median: a slow minute slows both sides.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Optional

__all__ = ["OURS", "UNKNOWN", "Round", "ratios", "results"]

OURS = "ipsecmon"
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Round:
    """One subject in one round. counted: packets, by the rules. seen: by the program; None: unknown."""

    work: str
    subject: str
    counted: int
    seen: Optional[int]
    cpu_ns: int

    @property
    def cpu_us_per_packet(self) -> float:
        """Per packet that was counted: one that gives up on packets does not get cheaper by that alone."""
        return self.cpu_ns / 1e3 / self.counted

    @property
    def lost(self) -> Optional[int]:
        """A program that says it saw more than there was (uacctd did, by 1) has lost none."""
        return None if self.seen is None else max(0, self.counted - self.seen)


def results(rounds: Sequence[Round]) -> list[dict[str, Any]]:
    """A row for each work and subject: the median cost, and the loss of all rounds together."""
    return [_result(*names, mine) for names, mine in _by_subject(rounds).items()]


def ratios(rounds: Sequence[Round]) -> list[dict[str, Any]]:
    """What ipsecmon costs, divided by what each other subject costs in the same round."""
    sorted_out = _by_subject(rounds)
    return [
        _ratio(work, subject, sorted_out[work, OURS], theirs)
        for (work, subject), theirs in sorted_out.items()
        if subject != OURS
    ]


def _result(work: str, subject: str, rounds: Sequence[Round]) -> dict[str, Any]:
    losses = [one.lost for one in rounds]
    known = [loss for loss in losses if loss is not None]
    return {
        "work": work,
        "subject": subject,
        "cpu_us_per_packet": round(statistics.median(one.cpu_us_per_packet for one in rounds), 4),
        "lost_packets": sum(known) if len(known) == len(losses) else UNKNOWN,
        "rounds": len(rounds),
    }


def _ratio(work: str, to: str, ours: Sequence[Round], theirs: Sequence[Round]) -> dict[str, Any]:
    values = [mine.cpu_us_per_packet / other.cpu_us_per_packet for mine, other in zip(ours, theirs)]
    return {
        "work": work,
        "subject": OURS,
        "to": to,
        "median": round(statistics.median(values), 3),
        "min": round(min(values), 3),
        "max": round(max(values), 3),
    }


def _by_subject(rounds: Iterable[Round]) -> dict[tuple[str, str], list[Round]]:
    found: dict[tuple[str, str], list[Round]] = {}
    for one in rounds:
        found.setdefault((one.work, one.subject), []).append(one)
    return found
