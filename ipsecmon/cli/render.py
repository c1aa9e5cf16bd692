"""Words and cells that several tables share."""

from __future__ import annotations

from rich.text import Text

from ipsecmon.model import ObservationPoint

__all__ = ["POINTS", "number"]

POINTS = {
    ObservationPoint.NIC: "interface",
    ObservationPoint.WIRE: "on the wire",
    ObservationPoint.INNER: "inside IPsec",
}


def number(value: int, style: str = "") -> Text:
    """With thousands apart; a zero steps back."""
    return Text(f"{value:,}", style=style if value else "dim")
