"""The rows of two windows side by side: figures, shares, what was dropped, and what changed.

Every number is of the intervals that are compared, and weighs them as pairing.py has it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Optional

import numpy as np

from ipsecmon.account.compare import RELEVANT, Change, Figures, Outcome, Verdict, compare
from ipsecmon.account.pairing import Pairing, Window
from ipsecmon.agent.compare_bins import Floats
from ipsecmon.agent.compare_rows import Kind, Numbers, RowKey, Surety
from ipsecmon.model import LineCapacity

__all__ = ["BUSY", "Change", "Figures", "Row", "Rows", "Side", "Verdict"]

BUSY = 0.9  # of the capacity


class Side(NamedTuple):
    """One window of a row. figures: bit/s; None where nothing is known. octets, packets: of what is compared.

    share: of the line. busy_share: of the time, at BUSY of the capacity or more. missing_share: of packets,
    dropped by the queue, or lost on the path of a tunnel.
    """

    figures: Optional[Figures]
    octets: int = 0
    share: Optional[float] = None
    offered_octets: Optional[int] = None
    offered_bits_per_s: Optional[float] = None
    busy_share: Optional[float] = None
    busy_s: Optional[float] = None
    missing_packets: Optional[int] = None
    missing_share: Optional[float] = None
    surety: Surety = Surety.COUNTED


class Row(NamedTuple):
    """rates: of the intervals of each window, bit/s, as a chart draws them."""

    key: RowKey
    before: Side
    after: Side
    mean: Change
    p95: Change
    rates: tuple[Floats, Floats]


class Rows:
    """Rows of two windows, with the weights that intervals have against each other."""

    def __init__(
        self,
        windows: tuple[Window, Window],
        slot_s: Optional[int],
        pairing: Pairing,
        seed: int,
        capacities: Sequence[LineCapacity],
    ) -> None:
        """pairing: of the windows, by slot_s."""
        self._windows = windows
        self._slot_s, self._seed = slot_s, seed
        self._weights = pairing.before.weight, pairing.after.weight
        self._capacity = {(one.line, one.direction): one.bits_per_s for one in capacities}

    def compared(self, before: Mapping[RowKey, Numbers], after: Mapping[RowKey, Numbers]) -> list[Row]:
        """In the order of the later window, then what is in the earlier one only."""
        rows = [self._row(key, (before.get(key), after.get(key))) for key in _ordered(before, after)]
        lines = {row.key[:2]: row for row in rows if row.key.kind is Kind.LINE}
        return [_with_shares(row, lines.get(row.key[:2])) for row in rows]

    def _row(self, key: RowKey, numbers: tuple[Optional[Numbers], Optional[Numbers]]) -> Row:
        before, after = (_rates(one, window.seconds) for one, window in zip(numbers, self._windows))
        outcome = compare(self._windows, (before, after), self._slot_s, self._seed)
        sides = [
            self._side(key, one, place, figures)
            for place, (one, figures) in enumerate(zip(numbers, (outcome.before, outcome.after)))
        ]
        outcome = _told(outcome, sides)
        return Row(key, sides[0], sides[1], outcome.mean, outcome.p95, (before, after))

    def _side(self, key: RowKey, numbers: Optional[Numbers], place: int, figures: Optional[Figures]) -> Side:
        if numbers is None or figures is None:
            return Side(None)
        weight, seconds = self._weights[place], self._windows[place].seconds
        used = weight > 0
        side = Side(figures, octets=_whole(numbers.octets[used]), surety=numbers.surety)
        if numbers.offered is not None:
            offered = _mean(numbers.offered / seconds, weight) * 8
            side = side._replace(offered_octets=_whole(numbers.offered[used]), offered_bits_per_s=offered)
        if numbers.missing is not None:
            side = side._replace(
                missing_packets=_whole(numbers.missing[used]),
                missing_share=_ratio(numbers.missing / seconds, numbers.packets / seconds, weight),
            )
        capacity = self._capacity.get((key.line, key.direction))
        if key.kind is Kind.LINE and capacity:
            busy = numbers.octets * 8 / seconds >= BUSY * capacity
            side = side._replace(
                busy_share=_mean(busy.astype(float), weight), busy_s=float(seconds[used & busy].sum())
            )
        return side


def _ordered(before: Mapping[RowKey, Numbers], after: Mapping[RowKey, Numbers]) -> list[RowKey]:
    """Line by line and direction by direction, kinds in their order; what is gone after what is new."""
    keys = list(dict.fromkeys([*after, *before]))
    places = list(dict.fromkeys(key[:2] for key in keys))
    return sorted(keys, key=lambda key: (not key.line, places.index(key[:2]), list(Kind).index(key.kind)))


def _with_shares(row: Row, line: Optional[Row]) -> Row:
    if line is None or row.key.kind is Kind.QUEUE:
        return row
    return row._replace(before=_shared(row.before, line.before), after=_shared(row.after, line.after))


def _shared(side: Side, line: Side) -> Side:
    if side.figures is None or line.figures is None or line.figures.mean <= 0:
        return side
    return side._replace(share=side.figures.mean / line.figures.mean)


def _told(outcome: Outcome, sides: Sequence[Side]) -> Outcome:
    """Without a word where it is not known whose packets a queue dropped, and they matter."""
    if all(side.surety is not Surety.UNKNOWN or not _matters(side) for side in sides):
        return outcome
    return outcome._replace(
        mean=outcome.mean._replace(low=None, high=None, verdict=Verdict.UNKNOWN),
        p95=outcome.p95._replace(low=None, high=None, verdict=Verdict.UNKNOWN),
    )


def _matters(side: Side) -> bool:
    offered = side.offered_octets or 0
    return offered > 0 and abs(offered - side.octets) > RELEVANT * offered


def _rates(numbers: Optional[Numbers], seconds: Floats) -> Floats:
    """bit/s. What is in one window only was not counted in the other."""
    return np.full(len(seconds), np.nan) if numbers is None else numbers.octets * 8 / seconds


def _whole(values: Floats) -> int:
    return round(float(np.nansum(values)))


def _mean(values: Floats, weight: Floats) -> float:
    return float(weight @ np.nan_to_num(values)) / float(weight.sum())


def _ratio(part: Floats, whole: Floats, weight: Floats) -> Optional[float]:
    among = float(weight @ np.nan_to_num(whole))
    return float(weight @ np.nan_to_num(part)) / among if among > 0 else None
