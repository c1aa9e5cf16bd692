"""An outage costs no memory, and when the server is back everything goes, while counting goes on."""

from __future__ import annotations

from pathlib import Path

from tests.bench.drain import measure

from .conftest import require

POINTS = 300_000  # a million: python -m tests.bench.drain


def test_memory_is_flat_through_an_outage_and_the_backlog_goes_while_counting_goes_on(tmp_path: Path) -> None:
    require("influxd")
    figures = measure(tmp_path, POINTS, 2)
    print(figures.sentence())
    print(figures)
    assert figures.points_waiting >= POINTS
    assert (
        figures.rss_after_kib - figures.rss_before_kib < 16 * 1024
    )  # one octet in memory a point is 293 KiB
    assert (figures.missing, figures.wrong_octets) == (0, 0)
