"""The line as the store knows it: its parts, and what ties them to the interface's own counter."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, Optional

from ipsecmon.account.line_agreement import outside_of
from ipsecmon.account.line_parts import LineShare, divide, uncertain_parts
from ipsecmon.account.partition import Agreement, Identity, Volume, identify, less, summed
from ipsecmon.config import Config, Line
from ipsecmon.model import CounterKey, Direction, How, ObservationPoint, line_of
from ipsecmon.store import ReportRow, line_names, report, tunnel_report

__all__ = [
    "Identity",
    "LinePart",
    "LineReport",
    "LineWay",
    "former_lines",
    "is_of",
    "line_reports",
    "parts_on",
    "ways_of",
]

_END_OF_TIME_NS = 2**62
_WAYS = (Direction.IN, Direction.OUT)
_WIRE = ObservationPoint.WIRE

Rows = Mapping[CounterKey, Volume]


class LinePart(NamedTuple):
    """total: since the store began; of it derived. last: in the newest interval."""

    name: str
    total: Volume
    last: Volume
    how: How = How.COUNTED
    derived: Volume = Volume()


@dataclass(frozen=True)
class LineWay:
    """One direction. nic: packets are frames. last: of the parts together."""

    nic: Volume
    parts: Sequence[LinePart]
    identity: Identity
    last: Volume
    capacity_bits_per_s: Optional[int]

    @property
    def total(self) -> Volume:
        """Of the parts together; outbound, what was offered to the queueing discipline."""
        return summed([part.total for part in self.parts])

    @property
    def carried_octets(self) -> Optional[int]:
        """What the interface had, less link headers; None while their length is not known."""
        headers = self.identity.terms["link-headers"]
        return None if headers is None else self.nic.octets - headers

    @property
    def dropped(self) -> Volume:
        """By the queueing discipline; octets are an estimate where the identity says so."""
        octets = self.identity.terms["qdisc-drops"] or 0
        return Volume(-octets, self.identity.packets["qdisc-drops"])


@dataclass(frozen=True)
class LineReport:
    """start_ns, end_ns: what the totals cover; equal where nothing is recorded. seconds: of the newest
    interval.
    """

    line: Line
    ways: Mapping[Direction, LineWay]
    start_ns: int
    end_ns: int
    seconds: float


def line_reports(config: Config, folder: Path) -> list[LineReport]:
    """Of each of the config's lines, everything since the store began. Raises StoreError."""
    newest = tunnel_report(folder)
    last = report(folder, newest.last_start_ns, newest.last_end_ns)
    total = report(folder, 0, _END_OF_TIME_NS)
    uncertain = uncertain_parts(total.rows)
    seconds = (newest.last_end_ns - newest.last_start_ns) / 1e9
    former = former_lines(config, folder)
    totals, lasts = _volumes(total.rows, former), _volumes(last.rows, former, bridged=False)
    return [
        LineReport(
            line, ways_of(line, config.lines, totals, lasts, uncertain), total.start_ns, total.end_ns, seconds
        )
        for line in config.lines
    ]


def ways_of(
    line: Line, lines: Sequence[Line], totals: Rows, last: Rows, uncertain: Collection[CounterKey] = ()
) -> dict[Direction, LineWay]:
    """Both directions of one of the lines, whatever was counted in them. uncertain: by uncertain_parts()."""
    return {way: _way(line, lines, way, totals, last, uncertain) for way in _WAYS}


def _way(
    line: Line,
    lines: Sequence[Line],
    way: Direction,
    totals: Rows,
    last: Rows,
    uncertain: Collection[CounterKey],
) -> LineWay:
    newest = {one.name: one.volume for one in _divided(line, lines, way, last)}
    parts = [
        LinePart(one.name, one.volume, newest.get(one.name, Volume()), one.how, one.derived)
        for one in _divided(line, lines, way, totals, uncertain)
    ]
    nic, said = outside_of(line.interfaces, way, totals)
    return LineWay(
        nic=nic,
        parts=parts,
        identity=_told(identify(nic, summed([part.total for part in parts]), said), parts),
        last=summed(newest.values()),
        capacity_bits_per_s=_capacity(line, way),
    )


def _divided(
    line: Line, lines: Sequence[Line], way: Direction, rows: Rows, uncertain: Collection[CounterKey] = ()
) -> list[LineShare]:
    """What was derived is the first line's: of several, nothing is."""
    own = {CounterKey(name, way, _WIRE): volume for name, volume in parts_on(line, lines, way, rows).items()}
    others = {
        key: volume
        for key, volume in rows.items()
        if line == lines[0] or key.observed_at is not ObservationPoint.DERIVED
    }
    return divide(list(own), {**others, **own}, uncertain)


def parts_on(line: Line, lines: Sequence[Line], way: Direction, rows: Rows) -> dict[str, Volume]:
    """By the counter's name. A counter that has no line in its name was of the only line there was, but for
    what was counted in it since as the sum of several: the first line's."""
    names = [key.name for key in rows if key[1:] == (way, _WIRE)]
    line_names = {*(one.name for one in lines), *map(line_of, names)}
    found: dict[str, Volume] = {}
    for name in names:
        own = rows[CounterKey(name, way, _WIRE)]
        if line_of(name) == line.name:
            found[name] = own
        elif not line_of(name) and line == lines[0] and name not in line_names:
            own = less(
                own, (rows[CounterKey(one, way, _WIRE)] for one in names if one.startswith(f"{name}@"))
            )
            if len(lines) == 1 or any(own):
                found[name] = own
    return found


def _told(identity: Identity, parts: Sequence[LinePart]) -> Identity:
    """With what is known of packets that no rule saw; what is derived of the interface can't agree to it."""
    packets = sum(part.derived.packets for part in parts)
    reasons = list(identity.reasons)
    if identity.agreement is Agreement.DISAGREE and identity.packets["unexplained"] > 0:
        reasons.append("rules missed packets: `ipsecmon doctor` tells of a flowtable or ESP offload")
    if not packets:
        return replace(identity, reasons=tuple(reasons))
    reasons.append(f"{packets:,} packets of ESP were seen by no rule, and are derived: ESP offload with GRO")
    word = Agreement.EXPLAINED if identity.agreement is Agreement.AGREE else identity.agreement
    return replace(identity, agreement=word, reasons=tuple(reasons))


def _capacity(line: Line, way: Direction) -> Optional[int]:
    if line.capacity is None:
        return None
    return line.capacity.in_bits_per_s if way is Direction.IN else line.capacity.out_bits_per_s


def former_lines(config: Config, folder: Path) -> frozenset[str]:
    """Names that lines had and nothing has now: what is told of them is in their parts too."""
    named = {line.name for line in config.lines} | {counter.name for counter in config.counters}
    return line_names(folder) - named


def is_of(former: Collection[str], key: CounterKey) -> bool:
    """Whether it is the sum of such a line."""
    return key.observed_at is _WIRE and key.name in former


def _volumes(rows: Sequence[ReportRow], former: Collection[str], bridged: bool = True) -> Rows:
    """former: lines to leave out. bridged: with what passed while no agent ran, which is of no interval."""
    return {
        row.key: Volume(row.octets, row.packets)
        if bridged
        else Volume(row.octets - row.bridged_octets, row.packets - row.bridged_packets)
        for row in rows
        if not is_of(former, row.key)
    }
