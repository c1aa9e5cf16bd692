"""Rates between two readings of the totals. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Optional

from ipsecmon.agent.control import Totals
from ipsecmon.config import Config
from ipsecmon.model import NOT_BY_RULES, CounterKey, Direction, Increment, ObservationPoint

__all__ = ["Rate", "capacity_of", "describe_rates", "rates"]


@dataclass(frozen=True)
class Rate:
    """Of one counter between two readings; total is since the agent started."""

    bits_per_s: float
    packets_per_s: float
    total: Increment


def rates(before: Totals, after: Totals) -> dict[CounterKey, Rate]:
    """By counter; empty where the two are not of one agent's life: a total never falls."""
    seconds = (after.monotonic_ns - before.monotonic_ns) / 1e9
    found = {}
    for key, total in after.by_key.items():
        last = before.by_key.get(key, Increment(key, 0, 0))
        if seconds <= 0 or total.octets < last.octets or total.packets < last.packets:
            return {}
        octets, packets = total.octets - last.octets, total.packets - last.packets
        found[key] = Rate(octets * 8 / seconds, packets / seconds, total)
    return found


def capacity_of(config: Config, way: Direction, name: str = "") -> Optional[int]:
    """Bits per second of all lines in one direction, where the config says it; of one, if it is named."""
    capacities = [line.capacity for line in config.lines if line.capacity and name in ("", line.name)]
    if not capacities:
        return None
    return sum(one.in_bits_per_s if way is Direction.IN else one.out_bits_per_s for one in capacities)


def describe_rates(config: Config, seconds: float, found: dict[CounterKey, Rate]) -> dict[str, Any]:
    """JSON values only; utilization is a line's rate through its capacity, 0 to 1."""
    lines = {line.name for line in config.lines}
    return {
        "router": config.router,
        "seconds": round(seconds, 3),
        "counters": [
            _row(key, rate, _capacity(config, key, lines))
            for key, rate in found.items()
            if key.observed_at is ObservationPoint.NIC or key.observed_at not in NOT_BY_RULES
        ],
    }


def _capacity(config: Config, key: CounterKey, lines: set[str]) -> Optional[int]:
    is_line = key.name in lines and key.observed_at is ObservationPoint.WIRE
    return capacity_of(config, key.direction, key.name) if is_line else None


def _row(key: CounterKey, rate: Rate, capacity: Optional[int]) -> dict[str, Any]:
    row = {
        "name": key.name,
        "direction": key.direction.value,
        "observed_at": key.observed_at.value,
        "bits_per_s": round(rate.bits_per_s, 1),
        "packets_per_s": round(rate.packets_per_s, 1),
        "octets": rate.total.octets,
        "packets": rate.total.packets,
        "lost_packets": rate.total.lost_packets,
    }
    if capacity:
        row.update(capacity_bits_per_s=capacity, utilization=round(rate.bits_per_s / capacity, 4))
    return row
