"""The picture of top: bars, the last minute, and rows as there is room."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

import pytest
from rich.console import Console

from ipsecmon.cli.gauges import HISTORY, Gauges, bar, sparkline
from ipsecmon.cli.rates import Rate
from ipsecmon.config import load
from ipsecmon.model import CounterKey, Direction, Increment, ObservationPoint

WIRE, INNER, NIC = ObservationPoint.WIRE, ObservationPoint.INNER, ObservationPoint.NIC


def rates_of(bits: float, lost: int = 0) -> dict[CounterKey, Rate]:
    """The line, its interface, a part and a tunnel's inside, each with so much both ways."""
    counters = (("T1", WIRE), ("wan0", NIC), ("web", WIRE), ("VPN-to-parent", INNER))
    keys = [CounterKey(name, way, point) for name, point in counters for way in Direction]
    return {key: Rate(bits, bits / 1000, Increment(key, 1, 1, lost_packets=lost)) for key in keys}


def drawn(gauges: Gauges, width: int = 100, height: Optional[int] = None, notice: str = "") -> list[str]:
    console = Console(width=width, file=None, color_system=None, legacy_windows=False)
    with console.capture() as captured:
        console.print(gauges.picture(width, height, notice))
    return captured.get().splitlines()


@pytest.fixture
def gauges(config_file: Path) -> Gauges:
    return Gauges(load(config_file))


def test_a_line_is_shown_against_its_capacity_in_each_direction(gauges: Gauges) -> None:
    gauges.feed(rates_of(500_000))
    inward, outward = drawn(gauges)[2:4]
    assert "T1 wan0" in inward and "25.0%" in inward and "500.0 kbit/s of 2 Mbit/s" in inward
    assert "50.0%" in outward and "500.0 kbit/s of 1 Mbit/s" in outward
    assert outward.count("█") > inward.count("█")


def test_parts_and_insides_are_listed_under_where_they_were_counted(gauges: Gauges) -> None:
    gauges.feed(rates_of(500_000))
    first_words = [line.split()[0] for line in drawn(gauges)[6:] if line.strip()]
    assert first_words[1:] == ["interface", "wan0", "on", "web", "inside", "VPN-to-parent", "bars:"]


def test_copies_that_were_lost_have_a_column_when_there_are_any(gauges: Gauges) -> None:
    gauges.feed(rates_of(1000))
    assert "lost" not in "".join(drawn(gauges))
    gauges.feed(rates_of(1000, lost=2))
    assert drawn(gauges)[5].split()[-1] == "lost"
    assert [line.split()[-1] for line in drawn(gauges) if line.startswith("  web")] == ["4"]


def test_without_a_capacity_the_highest_rate_is_the_scale(config_file: Path) -> None:
    config_file.write_text("router: r\nline: {name: T1, interface: wan0}\n")
    gauges = Gauges(load(config_file))
    gauges.feed(rates_of(1000))
    gauges.feed(rates_of(250))
    picture = drawn(gauges)
    assert "%" not in "".join(picture)
    assert "highest rate so far" in picture[-1]
    assert picture[2].rstrip().endswith("█▃")


@pytest.mark.parametrize("height", [12, 14, 16, 30])
def test_a_picture_is_never_higher_than_the_terminal(gauges: Gauges, height: int) -> None:
    gauges.feed(rates_of(1000))
    picture = drawn(gauges, height=height)
    assert len(picture) <= height
    assert "q quits" in picture[-1]
    assert ("make the window taller" in picture[-1]) == (height < 15)


@pytest.mark.parametrize("width", [80, 100, 140, 200])
def test_a_picture_is_never_wider_than_the_terminal_and_no_rate_is_cut(gauges: Gauges, width: int) -> None:
    gauges.feed(rates_of(999_900_000, lost=10**5))
    assert "".join(drawn(gauges, width)).count("999.9 Mbit/s") == 2 * 4
    assert max(len(line) for line in drawn(gauges, width)) <= width


def test_before_the_first_rates_there_is_a_picture_too(gauges: Gauges) -> None:
    assert "measuring" in drawn(gauges, notice="measuring …")[0]


def test_a_long_notice_takes_one_line(gauges: Gauges) -> None:
    assert drawn(gauges, width=80, notice="why " * 50)[1].strip() == ""


def test_no_more_than_a_minute_is_kept(gauges: Gauges) -> None:
    for _ in range(HISTORY + 10):
        gauges.feed(rates_of(2_000_000))
    assert drawn(gauges, width=400)[2].count("█") == 40 + HISTORY


@pytest.mark.parametrize(
    ("share", "expected"),
    [(0, ""), (1e-9, "▏"), (0.25, "██"), (0.3, "██▍"), (1, "████████"), (7, "████████")],
)
def test_a_bar_is_drawn_in_eighths_and_never_longer_than_its_room(share: float, expected: str) -> None:
    assert bar(share, 8, "").plain == expected


def test_a_track_is_drawn_to_the_end() -> None:
    assert bar(0.5, 4, "", track=True).plain == "██──"


def test_a_plain_terminal_gets_ascii_only() -> None:
    assert bar(0.3, 8, "", plain=True, track=True).plain == "###....."
    assert sparkline([0, 5, 10], 10, 3, plain=True).plain.isascii()


def test_a_sparkline_shows_the_newest_rates() -> None:
    assert sparkline([0, 0, 4, 10, 99], 10, 3).plain == "▄██"
    assert sparkline([1, 2], 10, 0).plain == ""
