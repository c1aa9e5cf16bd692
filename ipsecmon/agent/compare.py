"""Two ranges of the own history against each other, row by row.

In: the config, the ranges and how to match them. Out: a Comparison, which every format shows.
Reads the store and nothing else; imports numpy, so who must not load it imports this late.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, Optional

from ipsecmon.account.compare import SEED, Verdict, corrected
from ipsecmon.account.pairing import HOUR_S, Window, pair, slot_length
from ipsecmon.agent.compare_bins import NS, Bins, Floats, as_bins, step_of
from ipsecmon.agent.compare_rows import Kind, RowKey, rows_of
from ipsecmon.agent.compare_sides import Row, Rows
from ipsecmon.agent.line import former_lines, is_of
from ipsecmon.agent.plan import capacities
from ipsecmon.config import Config
from ipsecmon.model import LineCapacity
from ipsecmon.store import timelines

__all__ = ["Asked", "Comparison", "Cover", "compare_ranges"]

_DAY_NS = 86400 * NS
_MOST = 0.5  # of what is known of one window, that has a match in the other
_HEADLINES = (Kind.LINE, Kind.VPN, Kind.OTHER)


class Asked(NamedTuple):
    """[start_ns, end_ns) before and after. is_matched: None where it is as fits.

    is_event: both lie beside an event, and the one may be cut to the length of the other.
    """

    before: tuple[int, int]
    after: tuple[int, int]
    is_matched: Optional[bool] = None
    is_event: bool = False
    seed: int = SEED


class Cover(NamedTuple):
    """One window. [start_ns, end_ns): as compared. known_s: of it, seconds of which there are numbers.

    compared_s: of these, with a match in the other window. gone: intervals without our rules, left out.
    """

    start_ns: int
    end_ns: int
    known_s: float
    compared_s: float
    gone: int
    bridged_octets: int


@dataclass(frozen=True)
class Comparison:
    """step_s: of the intervals. slot_s: of the week, in which both are matched; None where they are not.

    starts_ns: of the intervals of each window. headline: the words of LINE, VPN and OTHER, said together.
    """

    router: str
    asked: Asked
    before: Cover
    after: Cover
    step_s: float
    slot_s: Optional[int]
    rows: Sequence[Row]
    headline: Mapping[RowKey, Verdict]
    capacities: Sequence[LineCapacity]
    starts_ns: tuple[Sequence[int], Sequence[int]]


def compare_ranges(config: Config, folder: Path, asked: Asked) -> Comparison:
    """Raises StoreError."""
    before, after, step_s = _read(config, folder, asked)
    slot_s = _slot(asked, before, after, step_s)
    if slot_s is None and asked.is_event and asked.is_matched is None:
        asked = _shortened(asked, before, after)
        before, after, step_s = _read(config, folder, asked)
    told_capacities = capacities(config)
    pairing = pair(before.window, after.window, slot_s)
    rows = Rows((before.window, after.window), slot_s, pairing, asked.seed, told_capacities).compared(
        rows_of(config, before), rows_of(config, after)
    )
    told = [row for row in rows if row.key.kind in _HEADLINES]
    return Comparison(
        config.router,
        asked,
        _cover(asked.before, before, pairing.before.weight),
        _cover(asked.after, after, pairing.after.weight),
        step_s,
        slot_s,
        rows,
        dict(zip((row.key for row in told), corrected([row.mean for row in told]))),
        told_capacities,
        (before.start_ns.tolist(), after.start_ns.tolist()),
    )


def _read(config: Config, folder: Path, asked: Asked) -> tuple[Bins, Bins, float]:
    """Both windows, and the seconds of their intervals. Sums of lines under names of old are left out."""
    former = former_lines(config, folder)
    found = [
        replace(one, counters={key: rows for key, rows in one.counters.items() if not is_of(former, key)})
        for one in timelines(folder, [asked.before, asked.after])
    ]
    step_s = step_of(found)
    before, after = (as_bins(one, step_s) for one in found)
    return before, after, step_s


def _slot(asked: Asked, before: Bins, after: Bins, step_s: float) -> Optional[int]:
    """Where nobody says how: windows of a day or more are matched, if most of one has a match."""
    if asked.is_matched is False:
        return None
    slot_s = slot_length(before.window, after.window, step_s)
    if asked.is_matched:
        return HOUR_S if slot_s is None else slot_s
    length_ns = max(end_ns - start_ns for start_ns, end_ns in (asked.before, asked.after))
    if slot_s is None or length_ns < _DAY_NS:
        return None
    pairing = pair(before.window, after.window, slot_s)
    sides = ((before.window, pairing.before), (after.window, pairing.after))
    matched = [_seconds(window, weighed.weight) / window.seconds.sum() for window, weighed in sides]
    return slot_s if max(matched) >= _MOST else None


def _seconds(window: Window, weight: Floats) -> float:
    return float(window.seconds[weight > 0].sum())


def _shortened(asked: Asked, before: Bins, after: Bins) -> Asked:
    """The longer one to what is known of the shorter one, from the event on to both sides."""
    known_ns = [_known_ns(asked.before, before), _known_ns(asked.after, after)]
    length_ns = min(known_ns)
    if length_ns <= 0:
        return asked
    return asked._replace(
        before=(max(asked.before[0], asked.before[1] - length_ns), asked.before[1]),
        after=(asked.after[0], min(asked.after[1], asked.after[0] + length_ns)),
    )


def _known_ns(range_: tuple[int, int], bins: Bins) -> int:
    """How far from the event, before or after, something is known."""
    if not len(bins.start_ns):
        return 0
    return bins.end_ns - max(range_[0], int(bins.start_ns[0]))


def _cover(range_: tuple[int, int], bins: Bins, weight: Floats) -> Cover:
    return Cover(*range_, bins.seconds, _seconds(bins.window, weight), bins.gone, bins.bridged_octets)
