"""Words and cells that several tables share."""

from __future__ import annotations

from typing import Optional

from rich.console import Console
from rich.text import Text

from ipsecmon.model import ObservationPoint
from ipsecmon.units import render_octets, render_rate

__all__ = ["POINTS", "number", "printable", "render_age", "render_total", "wide_console"]

_FILE_WIDTH = 160  # of what goes to a file or a pipe: names stay whole

POINTS = {
    ObservationPoint.NIC: "interface",
    ObservationPoint.WIRE: "on the wire",
    ObservationPoint.INNER: "inside IPsec",
}


def number(value: int, style: str = "") -> Text:
    """With thousands apart; a zero steps back."""
    return Text(f"{value:,}", style=style if value else "dim")


def printable(text: str) -> str:
    """Control characters and what a terminal cannot show become escapes."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def render_age(seconds: float) -> str:
    """'45 s', '12 min', '3.2 h', '5.0 d'."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds // 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 2 * 86400 else f"{seconds / 86400:.1f} d"


def render_total(octets: int, in_bits: Optional[bool]) -> str:
    """'20.4 MB', or '163.2 Mbit' if in_bits."""
    return render_rate(octets * 8)[: -len("/s")] if in_bits else render_octets(octets)


def wide_console() -> Console:
    """As wide as the terminal; where there is none, wide enough for every column."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_FILE_WIDTH)
