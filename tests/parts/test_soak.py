"""A minute of `make soak`: influxd and nginx break at random under a load that never rests."""

from __future__ import annotations

import random
from pathlib import Path

from tests.soak.soak import soak

from .conftest import require

SECONDS = 60.0


def test_every_point_is_stored_once_though_servers_are_killed_frozen_and_restarted(tmp_path: Path) -> None:
    require("influxd", "nginx", "openssl")
    seed = random.randrange(10**6)
    figures = soak(tmp_path, SECONDS, seed)
    print(f"seed {seed}: {figures}")
    assert (figures.missing, figures.double, figures.dropped, figures.rejected) == (0, 0, 0, 0), seed
    assert figures.points > 50_000 and sum(figures.faults.values()) > 10
