"""A comparison in sentences that somebody who reads no table understands."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Optional

from ipsecmon.agent.compare import Comparison
from ipsecmon.agent.compare_rows import Kind, Surety
from ipsecmon.agent.compare_sides import BUSY, Row, Side, Verdict
from ipsecmon.model import Direction
from ipsecmon.units import render_octets

__all__ = ["notes", "rate_of", "render_change", "render_length", "sentences", "signed"]

_NAMES = {Kind.LINE: "the line as a whole", Kind.VPN: "the VPN", Kind.OTHER: "everything else"}
_ORDER = (Kind.VPN, Kind.OTHER, Kind.LINE)
_WAYS = {Direction.IN: "inbound", Direction.OUT: "outbound"}
_VERBS = {Verdict.MORE: "carried more", Verdict.LESS: "carried less"}
_FIVEFOLD = 5.0


def sentences(found: Comparison, in_bits: Optional[bool] = None) -> Iterator[tuple[str, Direction, str]]:
    """One a line and direction: its name, the direction, and what to tell."""
    told = {key[:2]: None for key in found.headline}
    for line, way in told:
        rows = {row.key.kind: row for row in found.rows if row.key[:2] == (line, way)}
        words = {kind: found.headline[row.key] for kind, row in rows.items() if row.key in found.headline}
        yield line, way, f"{_WAYS[way]}, {_told(rows, words, in_bits)}"


def notes(found: Comparison) -> Iterator[str]:
    """What one has to know to believe the numbers."""
    if found.slot_s is None and _spans_days(found):
        yield "compared as they are: weekdays and hours that are not in both can make a difference themselves"
    for name, cover in (("before", found.before), ("after", found.after)):
        asked_s = (cover.end_ns - cover.start_ns) / 1e9
        if cover.known_s < 0.95 * asked_s:
            yield (
                f"{name}: nothing is known of {render_length(asked_s - cover.known_s)} of"
                f" {render_length(asked_s)}; that is left out, not taken for nothing"
            )
        if cover.gone:
            yield f"{name}: {cover.gone} intervals are left out in which our rules did not stand"
        if cover.bridged_octets:
            passed = render_octets(cover.bridged_octets)
            yield f"{name}: {passed} passed while no agent ran, and are in no rate"
    sureties = {side.surety for row in found.rows for side in (row.before, row.after) if side.figures}
    if Surety.SPREAD in sureties:
        yield "~ estimated: what a queue dropped of several parts is spread over them by their shares"
    if Surety.UNKNOWN in sureties:
        yield "? the queue dropped packets, and nobody knows of which part: no word where it matters"


def rate_of(bits_per_s: float, in_bits: Optional[bool] = None) -> str:
    """'774 kbit/s', '1.52 Mbit/s': three digits, as a comparison is about the second and third one."""
    value, unit = (bits_per_s / 8, "B/s") if in_bits is False else (bits_per_s, "bit/s")
    prefixes = iter("kMGT")
    prefix = ""
    while abs(value) >= 999.5:
        value, prefix = value / 1000, next(prefixes)
    digits = 0 if not prefix or abs(value) >= 99.95 else 1 if abs(value) >= 9.995 else 2
    return f"{value:.{digits}f} {prefix}{unit}"


def render_change(before: float, after: float) -> str:
    """'+12 %'; where there was next to nothing, how many times as much."""
    if before <= 0:
        return "new" if after > 0 else "0.0 %"
    ratio = after / before
    if ratio >= _FIVEFOLD:
        return f"{ratio:,.0f} ×"
    return f"{signed(100 * (ratio - 1))} %"


def signed(number: float) -> str:
    """'+12.3', '−0.4', '0.0'."""
    text = f"{number:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text.replace("-", "−")


def render_length(seconds: float) -> str:
    """'45 s', '12 min', '3.5 h', '6.9 d'."""
    for limit, unit_s, unit in ((120, 1, "s"), (3600, 60, "min"), (2 * 86400, 3600, "h")):
        if seconds < limit:
            return f"{seconds / unit_s:.{0 if seconds / unit_s >= 10 else 1}f} {unit}".replace(".0 ", " ")
    return f"{seconds / 86400:.1f} d".replace(".0 ", " ")


def _spans_days(found: Comparison) -> bool:
    return max(one.end_ns - one.start_ns for one in (found.before, found.after)) >= 86400 * 10**9


def _told(rows: dict[Kind, Row], words: dict[Kind, Verdict], in_bits: Optional[bool]) -> str:
    if not any(side.octets for side in (rows[Kind.LINE].before, rows[Kind.LINE].after)):
        return "nothing passed"
    if all(word is Verdict.UNKNOWN for word in words.values()):
        return "there is too little data to tell"
    parts = [_clause(_NAMES[kind], rows[kind], words[kind], in_bits) for kind in _ORDER if kind in words]
    return "; ".join(parts) + _fullness(rows[Kind.LINE])


def _clause(name: str, row: Row, word: Verdict, in_bits: Optional[bool]) -> str:
    before, after = row.before.figures, row.after.figures
    if word is Verdict.UNKNOWN or before is None or after is None:
        return f"of {name} there is too little data to tell"
    rates = f"{rate_of(before.mean, in_bits)} before, {rate_of(after.mean, in_bits)} after"
    if word is Verdict.SAME:
        return f"{name} shows no difference ({rates})"
    return f"{name} {_VERBS[word]} ({render_change(before.mean, after.mean)}: {rates})"


def _fullness(line: Row) -> str:
    if line.before.busy_share is None or line.after.busy_share is None:
        return ""
    return (
        f"; the line was {100 * BUSY:.0f} % full or more in {_share(line.before)} of the time before and in"
        f" {_share(line.after)} after"
    )


def _share(side: Side) -> str:
    share = side.busy_share or 0.0
    return f"{100 * share:.{0 if share == 0 or share >= 0.1 else 1}f} %"
