"""The table of `ipsecmon run` on terminals of any width: whole numbers, or no column at all."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from ipsecmon.agent.control import Totals
from ipsecmon.cli import live
from ipsecmon.cli.live import LiveTable
from ipsecmon.config import parse
from ipsecmon.model import CounterKey, Direction, Increment, ObservationPoint

CONFIG = """
router: "[/r1]"
line: {name: T1, interface: eth1}
counters: [{name: web, match: {proto: tcp, port: 80}}]
"""
HEADINGS = ["in", "total in", "out", "total out", "packets", "copies", "lost"]


def looks(octets: int, packets: int) -> list[Totals]:
    """Two, a second apart, of the line and what is in it."""
    keys = [
        CounterKey(name, way, point)
        for name, point in (
            ("T1", ObservationPoint.NIC),
            ("T1", ObservationPoint.WIRE),
            ("web", ObservationPoint.WIRE),
            ("VPN-to-parent", ObservationPoint.INNER),
        )
        for way in (Direction.IN, Direction.OUT)
    ]
    return [
        Totals(at * 10**9, {key: Increment(key, octets * at, packets * at, packets * at) for key in keys})
        for at in (1, 2)
    ]


@pytest.mark.parametrize(
    ("width", "left_out"),
    [
        (120, []),
        (92, ["packets"]),
        (80, ["packets", "copies"]),
        (60, ["packets", "copies", "total in", "total out"]),
    ],
)
def test_a_narrow_terminal_has_fewer_columns_and_no_half_number(
    width: int, left_out: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    console = Console(width=width, height=60, record=True, file=io.StringIO())
    monkeypatch.setattr(live, "Console", lambda: console)
    made = LiveTable(parse(CONFIG, "test"))
    for look in looks(193_000, 1_234_567):
        made.show(look)
    made.close()
    text = console.export_text()

    assert "…" not in text and "1.5 Mbit/s" in text and "VPN-to-parent" in text
    assert "[/r1]: T1 (eth1)" in text
    heading = next(line for line in text.splitlines() if "counter" in line)
    assert [one for one in HEADINGS if f" {one} " in f"{heading}  "] == [
        one for one in HEADINGS if one not in left_out
    ]
