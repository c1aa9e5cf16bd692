"""How many header copies of one counter were lost: a lower and an upper bound that meet at rest.

At an instant, counter − seen says nothing: copies wait in the kernel's buffer for up to the flush time.
What the counter said two flush times ago must have been seen by now: what is missing of that is lost.
What the counter says now and had not been seen just before may be lost or on its way: pending is the rest.

When reading begins under traffic, some packets pass between the first look at the counter and the binding
of the group: at most `window`. Those were never copied and are no loss; how many they were is known
at the first rest.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

__all__ = ["SETTLE_NS", "Loss", "LossMeter"]

SETTLE_NS = 200_000_000  # two flush times of wire.nflog_config


class Loss(NamedTuple):
    """lost, uncopied: packets since the last update. pending: packets now."""

    lost: int
    pending: int
    uncopied: int


class LossMeter:
    """Of one counter. window: packets that may have passed before its group was bound."""

    def __init__(self, window: int = 0) -> None:
        self._window = window
        self._expected = 0
        self._seen = 0
        self._lost = 0
        self._past: deque[tuple[int, int]] = deque()  # (monotonic ns, expected then), at most a few

    def update(self, at_ns: int, expected: int, seen: int, drained: bool = True, after: int = 0) -> Loss:
        """expected: packets on the kernel counter, read at at_ns; seen: copies drained before that; both
        since the last update.

        after: more copies, drained after the reading: some may be of packets that it has not counted, so the
        next update brings them as seen. drained: nothing was left on the socket after at_ns.
        """
        self._expected += expected
        self._seen += seen
        self._remember(at_ns)
        due = self._past[0]
        lost = uncopied = 0
        if drained and at_ns - due[0] >= SETTLE_NS:
            if due[1] == self._expected:
                uncopied = self._settle_window(max(0, self._expected - self._seen - after))
            certain = max(self._lost, due[1] - uncopied - self._window - self._seen - after)
            lost, self._lost = certain - self._lost, certain
        return Loss(lost, max(0, self._expected - self._seen - self._lost), uncopied)

    def _remember(self, at_ns: int) -> None:
        self._past.append((at_ns, self._expected))
        while len(self._past) > 1 and at_ns - self._past[1][0] >= SETTLE_NS:
            self._past.popleft()

    def _settle_window(self, missing: int) -> int:
        """At rest: what is missing and fits the window was never copied."""
        uncopied = min(self._window, missing)
        self._window = 0
        self._expected -= uncopied
        self._past = deque((at, expected - uncopied) for at, expected in self._past)
        return uncopied
