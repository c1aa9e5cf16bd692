"""Parts of the line that tunnels share, as no rule can tell these apart: by names alone.

Apart from what counts them, as the command line reads it too, and must not load numpy.
"""

from __future__ import annotations

from typing import NamedTuple, Optional

from ipsecmon.model import ObservationPoint

__all__ = ["Sharing", "sharing"]

_POINTS = {"esp": ObservationPoint.ESP_SHARE, "nat-t": ObservationPoint.NATT_SHARE}


class Sharing(NamedTuple):
    """Of a part: where its shares are observed, and what is behind their names."""

    point: ObservationPoint
    suffix: str


def sharing(part: str) -> Optional[Sharing]:
    """None where rules tell it whole. With several lines names end with `@LINE`, those of shares too."""
    name, at, line = part.partition("@")
    return Sharing(_POINTS[name], at + line) if name in _POINTS else None
