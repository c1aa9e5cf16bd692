"""How sinks are, as numbers in a series."""

from __future__ import annotations

import pytest

from ipsecmon.agent.sink_levels import sink_levels
from ipsecmon.model import SelfMeasurement
from ipsecmon.sinks.delivery import REJECTED, UNAVAILABLE, DeliveryState


class Told:
    """Our own seam: a sink in a state."""

    def __init__(self, state: DeliveryState) -> None:
        self._state = state

    def state(self) -> DeliveryState:
        return self._state


@pytest.mark.parametrize(("trouble", "level"), [(None, 0), (UNAVAILABLE, 1), (REJECTED, 2)])
def test_each_sink_says_whether_it_fails_and_how_often_it_did(trouble: str | None, level: int) -> None:
    sinks = [Told(DeliveryState("influxdb", trouble=trouble, retries=7)), Told(DeliveryState("influxdb-2"))]
    assert list(sink_levels(sinks)) == [
        SelfMeasurement("influxdb", "failing", level),
        SelfMeasurement("influxdb", "retries", 7),
        SelfMeasurement("influxdb-2", "failing", 0),
        SelfMeasurement("influxdb-2", "retries", 0),
    ]
