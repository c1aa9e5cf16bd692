"""Words and cells that several tables share."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from ipsecmon.model import ObservationPoint

__all__ = ["POINTS", "number", "wide_console"]

_FILE_WIDTH = 160  # of what goes to a file or a pipe: names stay whole

POINTS = {
    ObservationPoint.NIC: "interface",
    ObservationPoint.WIRE: "on the wire",
    ObservationPoint.INNER: "inside IPsec",
}


def number(value: int, style: str = "") -> Text:
    """With thousands apart; a zero steps back."""
    return Text(f"{value:,}", style=style if value else "dim")


def wide_console() -> Console:
    """As wide as the terminal; where there is none, wide enough for every column."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_FILE_WIDTH)
