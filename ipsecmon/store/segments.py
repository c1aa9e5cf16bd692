"""Which resolution answers for which part of a range. Pure.

From the newest to the oldest: a level answers as far back as it is complete; before that a coarser
one, the seam on a boundary of the coarser. So a start falls into one segment at most, and into none
only where no level has a whole bucket left inside the range. Within a segment, whole coarser
buckets come from the coarser level: the same sum from fewer rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ipsecmon.store.history import LEVELS_S, NS

__all__ = ["Segment", "segments"]


class Segment(NamedTuple):
    """Rows of this level whose start is in [start_ns, end_ns)."""

    level_s: int
    start_ns: int
    end_ns: int


def segments(start_ns: int, end_ns: int, complete_from_ns: Mapping[int, int]) -> list[Segment]:
    """Disjoint, oldest first. complete_from_ns: by level, from where on it has every row."""
    found = []
    answers = _answers(start_ns, complete_from_ns)
    until = [*(from_ns for _, from_ns in answers[1:]), end_ns]
    for (index, from_ns), until_ns in zip(answers, until):
        found += _coarsened(index, from_ns, min(until_ns, end_ns), complete_from_ns)
    return found


def _answers(start_ns: int, complete_from_ns: Mapping[int, int]) -> list[tuple[int, int]]:
    """Levels that are needed, oldest first: index in LEVELS_S, from where on it answers."""
    answers: list[tuple[int, int]] = []
    for index in reversed(range(len(LEVELS_S))):
        from_ns = complete_from_ns[LEVELS_S[index]]
        if from_ns <= start_ns:  # it has the whole range: nothing coarser is needed
            answers = [(index, start_ns)]
        else:
            seam_ns = _seam(answers, from_ns)
            answers.append((index, seam_ns))
    return answers


def _seam(answers: list[tuple[int, int]], from_ns: int) -> int:
    """Where a level that is complete from from_ns takes over; drops answers that it leaves no bucket."""
    while answers:
        coarser, coarser_from_ns = answers[-1]
        step_ns = LEVELS_S[coarser] * NS
        seam_ns = _ceil(from_ns, step_ns)
        if seam_ns - step_ns >= coarser_from_ns:
            return seam_ns
        answers.pop()
    return from_ns


def _coarsened(index: int, start_ns: int, end_ns: int, complete_from_ns: Mapping[int, int]) -> list[Segment]:
    edge = LEVELS_S[index]
    if index + 1 == len(LEVELS_S):
        return _segment(edge, start_ns, end_ns)
    coarser_s = LEVELS_S[index + 1]
    step_ns = coarser_s * NS
    inner_start_ns = _ceil(max(start_ns, complete_from_ns[coarser_s]), step_ns)
    inner_end_ns = end_ns // step_ns * step_ns
    if inner_start_ns >= inner_end_ns:
        return _segment(edge, start_ns, end_ns)
    return [
        *_segment(edge, start_ns, inner_start_ns),
        *_coarsened(index + 1, inner_start_ns, inner_end_ns, complete_from_ns),
        *_segment(edge, inner_end_ns, end_ns),
    ]


def _segment(level_s: int, start_ns: int, end_ns: int) -> list[Segment]:
    return [Segment(level_s, start_ns, end_ns)] if start_ns < end_ns else []


def _ceil(value_ns: int, step_ns: int) -> int:
    return -(-value_ns // step_ns) * step_ns
