"""What each tunnel had on the line, where that is certain: by its rule, or by its shares of parts."""

from __future__ import annotations

from collections.abc import Sequence

from ipsecmon.account.line_parts import divide, uncertain_parts
from ipsecmon.account.partition import Volume
from ipsecmon.model import Direction, How, ObservationPoint
from ipsecmon.store import ReportRow

__all__ = ["wire_octets"]

_WIRE = ObservationPoint.WIRE


def wire_octets(rows: Sequence[ReportRow]) -> dict[tuple[str, Direction], int]:
    """By the name of a part or tunnel and direction. Nothing where some of it is not known to be its own."""
    volumes = {row.key: Volume(row.octets, row.packets) for row in rows}
    uncertain = uncertain_parts(rows)
    return {
        (one.name, way): one.volume.octets
        for way in (Direction.IN, Direction.OUT)
        for one in divide([key for key in volumes if key[1:] == (way, _WIRE)], volumes, uncertain)
        if one.how is How.COUNTED
    }
