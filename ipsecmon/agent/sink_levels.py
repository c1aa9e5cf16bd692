"""How sinks are, as levels in the agent's measurements of itself; an error's words are in `status`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Optional, Protocol

from ipsecmon.model import SelfMeasurement
from ipsecmon.sinks.delivery import REJECTED, UNAVAILABLE, DeliveryState

__all__ = ["sink_levels"]

_FAILING: Mapping[Optional[str], int] = {None: 0, UNAVAILABLE: 1, REJECTED: 2}


class _Outlet(Protocol):
    def state(self) -> DeliveryState: ...


def sink_levels(outlets: Iterable[_Outlet]) -> Iterator[SelfMeasurement]:
    for outlet in outlets:
        state = outlet.state()
        yield SelfMeasurement(state.name, "failing", _FAILING[state.trouble])
        yield SelfMeasurement(state.name, "retries", state.retries)
