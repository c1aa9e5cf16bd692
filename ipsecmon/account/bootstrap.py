"""How sure a mean or a percentile of a row of rates is, where neighbours in time are alike.

Traffic of one interval tells much about the next one, so intervals can't be drawn one by one: what is drawn,
with replacement, is whole blocks of neighbours, as long as likeness lasts (circular block bootstrap; Politis,
Romano 1992). The length is Politis' and White's, from the autocorrelation (2004, corrected 2009).

Units are what is drawn: single intervals, or several together. Nothing here reads a clock, and the same seed
gives the same draws.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["DRAWS", "Block", "choose_block", "draw", "interval_factor", "two_sided_p"]

DRAWS = 1000  # enough that the ends of a 95 % interval move by few percent of its width
_Z = 1.959964  # 97.5 % of the normal distribution
_MOST_SEVERED = 0.5

Floats = NDArray[np.float64]


class Block(NamedTuple):
    """length: neighbours to be drawn together. severed: how much of the variance of a mean is lost because
    likeness ends with a block, as a share of it.
    """

    length: int
    severed: float = 0.0


def choose_block(values: Floats) -> Block:
    """For one window: at most a third of all units, at least their cubic root."""
    n = len(values)
    most = max(1, n // 3)
    least = min(most, math.ceil(n ** (1 / 3))) if n > 1 else 1
    centred = values - values.mean() if n else values
    variance = float(centred @ centred) / max(n, 1)
    if n < 8 or variance <= (1e-9 * float(np.abs(values).max())) ** 2:
        return Block(least)
    lags = min(n - 1, _last_lag(n) * 2)
    likeness = np.array([float(centred[: n - lag] @ centred[lag:]) / n for lag in range(lags + 1)])
    reach = min(lags, 2 * _significant(likeness / likeness[0], n))
    lag = np.arange(1, reach + 1)
    weight = np.minimum(1.0, 2 * (1 - lag / (reach + 1)))  # flat, then falling: Politis, Romano 1995
    spectrum = likeness[0] + 2 * float(weight @ likeness[1 : reach + 1])
    slope = 2 * float((weight * lag) @ likeness[1 : reach + 1])
    if spectrum <= 0 or slope <= 0:  # neighbours are unlike: then short blocks err on the wide side
        return Block(least)
    ideal = (1.5 * (slope / spectrum) ** 2 * n) ** (1 / 3)
    length = min(most, max(least, math.ceil(ideal)))
    return Block(length, min(_MOST_SEVERED, max(0.0, slope / spectrum / length)))


def draw(units: int, block: int, rng: np.random.Generator, draws: int = DRAWS) -> Floats:
    """[draws, units]: how often each unit is in each draw, of which the last block is cut to fit."""
    blocks = -(-units // block)
    first = rng.integers(0, units, (draws, blocks))
    drawn = (first[:, :, None] + np.arange(block)).reshape(draws, -1)[:, :units] % units
    row = np.arange(draws)[:, None] * units
    return np.bincount((row + drawn).ravel(), minlength=draws * units).reshape(draws, units).astype(float)


def interval_factor(blocks: float, severed: float) -> float:
    """How much wider an interval is than its draws, at 95 %: for the variance that they lack, and as only so
    many blocks tell how they differ (Student's t, by its expansion: right to 1 % from 5 blocks on).
    """
    free = max(blocks - 1, 1.0)
    wider = (_Z**2 + 1) / (4 * free) + (5 * _Z**4 + 16 * _Z**2 + 3) / (96 * free**2)
    return (1 + wider) * math.sqrt((free + 1) / free / (1 - severed))


def two_sided_p(difference: float, low: float, high: float) -> float:
    """How often chance alone gives such a difference, by its 95 % interval."""
    width = (high - low) / (2 * _Z)
    if width <= 0:
        return 0.0 if difference else 1.0
    return math.erfc(abs(difference) / width / math.sqrt(2))


def _last_lag(n: int) -> int:
    return math.ceil(math.sqrt(n)) + _row_length(n)


def _row_length(n: int) -> int:
    return max(5, math.ceil(math.sqrt(math.log10(n))))


def _significant(correlation: Floats, n: int) -> int:
    """The lag after which a whole row of correlations is noise; at least 1."""
    row = _row_length(n)
    noise = 2 * math.sqrt(math.log10(n) / n)
    is_noise = np.abs(correlation[1:]) < noise
    for lag in range(len(is_noise) - row + 1):
        if is_noise[lag : lag + row].all():
            return max(1, lag)
    return max(1, int(np.flatnonzero(~is_noise).max(initial=0)) + 1)
