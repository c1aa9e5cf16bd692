"""The line as the store knows it: its parts, and what ties them to the interface's own counter."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, Optional

from ipsecmon.account.line_parts import divide, uncertain_parts
from ipsecmon.account.partition import Agreement, Identity, Volume, identify
from ipsecmon.config import Config, Line
from ipsecmon.model import LINE_TERMS, CounterKey, Direction, How, ObservationPoint
from ipsecmon.store import ReportRow, report, tunnel_report

__all__ = ["Identity", "LinePart", "LineReport", "LineWay", "line_report", "ways_of"]

_END_OF_TIME_NS = 2**62
_WAYS = (Direction.IN, Direction.OUT)
_WIRE, _NIC = ObservationPoint.WIRE, ObservationPoint.NIC

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
        """Of the parts together."""
        return _sum([part.total for part in self.parts])


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


def line_report(config: Config, folder: Path) -> LineReport:
    """Of the config's first line, everything since the store began. Raises StoreError."""
    newest = tunnel_report(folder)
    last = report(folder, newest.last_start_ns, newest.last_end_ns)
    total = report(folder, 0, _END_OF_TIME_NS)
    line = config.lines[0]
    uncertain = uncertain_parts(total.rows)
    ways = ways_of(line, _volumes(total.rows), _volumes(last.rows, bridged=False), uncertain)
    seconds = (newest.last_end_ns - newest.last_start_ns) / 1e9
    return LineReport(line, ways, total.start_ns, total.end_ns, seconds)


def ways_of(
    line: Line, totals: Rows, last: Rows, uncertain: Collection[CounterKey] = ()
) -> dict[Direction, LineWay]:
    """Both directions, whatever was counted in them. uncertain: parts whose shares are not all there is."""
    return {way: _way(line, way, totals, last, uncertain) for way in _WAYS}


def _way(line: Line, way: Direction, totals: Rows, last: Rows, uncertain: Collection[CounterKey]) -> LineWay:
    keys = [key for key in totals if key[1:] == (way, _WIRE) and key.name != line.name]
    parts = _parts(keys, totals, last, uncertain)
    nic = totals.get(CounterKey(line.interface, way, _NIC), Volume())
    said = {
        point: totals[key]
        for point in LINE_TERMS
        if (key := CounterKey(line.interface, way, point)) in totals
    }
    return LineWay(
        nic=nic,
        parts=parts,
        identity=_told(identify(nic, _sum([part.total for part in parts]), said), parts),
        last=_sum([last[key] for key in last if key in keys or key[1:] == (way, ObservationPoint.DERIVED)]),
        capacity_bits_per_s=_capacity(line, way),
    )


def _parts(
    keys: Sequence[CounterKey], totals: Rows, last: Rows, uncertain: Collection[CounterKey]
) -> list[LinePart]:
    newest = {one.name: one.volume for one in divide(keys, last)}
    return [
        LinePart(one.name, one.volume, newest.get(one.name, Volume()), one.how, one.derived)
        for one in divide(keys, totals, uncertain)
    ]


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


def _volumes(rows: Sequence[ReportRow], bridged: bool = True) -> Rows:
    """bridged: with what passed while no agent ran, which is of no interval."""
    return {
        row.key: Volume(row.octets, row.packets)
        if bridged
        else Volume(row.octets - row.bridged_octets, row.packets - row.bridged_packets)
        for row in rows
    }


def _sum(volumes: Sequence[Volume]) -> Volume:
    return Volume(sum(one.octets for one in volumes), sum(one.packets for one in volumes))
