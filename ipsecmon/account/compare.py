"""Two windows of rates against each other: how much more or less, how sure that is, and one word.

In: the rates of intervals in both windows. Out: figures of each window, differences with a 95 % interval, and
a Verdict. What is drawn for the interval: bootstrap.py; which intervals belong together: pairing.py.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import NamedTuple, Optional

import numpy as np
from numpy.typing import NDArray

from ipsecmon.account.bootstrap import choose_block, draw, interval_factor, two_sided_p
from ipsecmon.account.pairing import Weighed, Window, pair

__all__ = [
    "BLIND",
    "MIN_BLOCKS",
    "RELEVANT",
    "SEED",
    "Change",
    "Figures",
    "Outcome",
    "Verdict",
    "compare",
    "corrected",
    "quantiles",
]

RELEVANT = 0.02  # of the larger mean: what is less is no difference, however sure it is
BLIND = 0.25  # of it: an interval that reaches farther to either side of what was found tells too little
MIN_BLOCKS = 7  # of neighbours, in each window: fewer don't tell how they differ
SEED = 20_261_122
_GRID = 256  # rates at which a percentile of a draw is looked for: to 0.4 % of the intervals
_SURE = 0.05

Floats = NDArray[np.float64]


class Verdict(str, enum.Enum):
    MORE = "more"
    LESS = "less"
    SAME = "no difference"
    UNKNOWN = "too little data"


class Figures(NamedTuple):
    """Of one window, in the unit of the rates: intervals weigh as the pairing has it."""

    mean: float
    p50: float
    p95: float
    max: float


class Change(NamedTuple):
    """after less before. low, high: between these it is with 95 % certainty; None where nothing tells.

    chance: how often chance alone would give as much.
    """

    difference: float
    low: Optional[float]
    high: Optional[float]
    chance: float
    verdict: Verdict


class Outcome(NamedTuple):
    """before, after: None without a single interval. blocks: independent ones, of the window with fewer."""

    before: Optional[Figures]
    after: Optional[Figures]
    mean: Change
    p95: Change
    blocks: float


_NOTHING = Change(0.0, None, None, 1.0, Verdict.UNKNOWN)


def compare(
    windows: tuple[Window, Window], rates: tuple[Floats, Floats], slot_s: Optional[int], seed: int = SEED
) -> Outcome:
    """rates: of the intervals of windows, before and after; NaN where this was not counted yet.

    slot_s: as pair() takes it.
    """
    known = [~np.isnan(one) for one in rates]
    pairing = pair(windows[0].only(known[0]), windows[1].only(known[1]), slot_s)
    before = _Side(rates[0][known[0]], pairing.before, pairing.units[0])
    after = _Side(rates[1][known[1]], pairing.after, pairing.units[1])
    if before.figures is None or after.figures is None:
        return Outcome(before.figures, after.figures, _NOTHING, _NOTHING, 0.0)
    drawn = _draw(before, after, pairing.is_paired, seed)
    means = after.means(drawn.after) - before.means(drawn.before)
    p95s = after.p95s(drawn.after) - before.p95s(drawn.before)
    return Outcome(
        before.figures,
        after.figures,
        _change(before.figures.mean, after.figures.mean, means, drawn),
        _change(before.figures.p95, after.figures.p95, p95s, drawn),
        drawn.blocks,
    )


def quantiles(values: Floats, weights: Floats, shares: Sequence[float]) -> list[float]:
    """The least value that at least this share of all weight does not pass."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order])
    wanted = np.array(shares) * reached[-1] * (1 - 1e-12)
    return [
        float(one) for one in values[order][np.minimum(np.searchsorted(reached, wanted), len(values) - 1)]
    ]


def corrected(changes: Sequence[Change]) -> list[Verdict]:
    """The words of several rows that are said together: by Holm's method, all of them right in 95 of 100.

    A row that is not sure enough for that is no difference.
    """
    tested = sorted(
        (one.chance, place) for place, one in enumerate(changes) if one.verdict is not Verdict.UNKNOWN
    )
    words = [one.verdict for one in changes]
    is_sure = True
    for rank, (chance, place) in enumerate(tested):
        is_sure = is_sure and chance <= _SURE / (len(tested) - rank)
        if not is_sure:
            words[place] = Verdict.SAME
    return words


class _Side:
    """One window: its figures, and what they are in each draw."""

    def __init__(self, rates: Floats, weighed: Weighed, units: int) -> None:
        used = weighed.weight > 0
        self._rates, self._weight, self._unit = rates[used], weighed.weight[used], weighed.unit[used]
        self.units = units
        self._weights = np.bincount(self._unit, self._weight, minlength=units)
        self._sums = np.bincount(self._unit, self._weight * self._rates, minlength=units)
        self.figures = self._figures() if len(self._rates) else None

    def unit_means(self) -> Floats:
        return self._sums / self._weights

    def means(self, drawn: Floats) -> Floats:
        """drawn: [draws, units]. Of each draw."""
        means: Floats = (drawn @ self._sums) / (drawn @ self._weights)
        return means

    def p95s(self, drawn: Floats) -> Floats:
        """Of each draw, by how much weight is at or below rates of a grid in each unit."""
        order = np.argsort(self._rates, kind="stable")
        rates, weight = self._rates[order], self._weight[order]
        grid = np.unique(rates[np.linspace(0, len(rates) - 1, _GRID).astype(int)])
        level = np.searchsorted(grid, rates)  # the first rate of the grid that is not below
        cells = np.bincount(
            self._unit[order] * len(grid) + level, weight, minlength=self.units * len(grid)
        ).reshape(self.units, len(grid))
        reached = drawn @ np.cumsum(cells, axis=1)
        enough = reached >= 0.95 * reached[:, -1:] * (1 - 1e-12)
        p95s: Floats = grid[enough.argmax(axis=1)]
        return p95s

    def _figures(self) -> Figures:
        p50, p95 = quantiles(self._rates, self._weight, (0.5, 0.95))
        mean = float(self._weight @ self._rates) / float(self._weight.sum())
        return Figures(mean, p50, p95, float(self._rates.max()))


class _Drawn(NamedTuple):
    """factor: how much wider than what was drawn an interval is."""

    before: Floats
    after: Floats
    blocks: float
    factor: float


def _draw(before: _Side, after: _Side, is_paired: bool, seed: int) -> _Drawn:
    """Slots of the week are drawn in both windows at once."""
    rng = np.random.default_rng(seed)
    if is_paired:
        block = choose_block(after.unit_means() - before.unit_means())
        drawn = draw(before.units, block.length, rng)
        blocks = before.units / block.length
        return _Drawn(drawn, drawn, blocks, interval_factor(blocks, block.severed))
    ones = [choose_block(side.unit_means()) for side in (before, after)]
    blocks = min(side.units / one.length for side, one in zip((before, after), ones))
    severed = max(one.severed for one in ones)
    drawn_before, drawn_after = (
        draw(side.units, one.length, rng) for side, one in zip((before, after), ones)
    )
    return _Drawn(drawn_before, drawn_after, blocks, interval_factor(blocks, severed))


def _change(before: float, after: float, differences: Floats, drawn: _Drawn) -> Change:
    """differences: in each draw."""
    difference, blocks = after - before, drawn.blocks
    if before == after and not differences.any():  # nothing passed, or exactly the same all the time
        return Change(0.0, 0.0, 0.0, 1.0, Verdict.SAME if blocks >= MIN_BLOCKS else Verdict.UNKNOWN)
    below, above = (float(one) for one in np.percentile(differences - difference, (2.5, 97.5)))
    low, high = difference + drawn.factor * below, difference + drawn.factor * above
    chance = two_sided_p(difference, low, high)
    return Change(difference, low, high, chance, _verdict(difference, low, high, max(before, after), blocks))


def _verdict(difference: float, low: float, high: float, larger: float, blocks: float) -> Verdict:
    if blocks < MIN_BLOCKS:
        return Verdict.UNKNOWN
    if (low > 0 or high < 0) and abs(difference) >= RELEVANT * larger:
        return Verdict.MORE if difference > 0 else Verdict.LESS
    return Verdict.UNKNOWN if max(high - difference, difference - low) > BLIND * larger else Verdict.SAME
