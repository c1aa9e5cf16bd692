"""Whether rule counters bound what SAs carried while no agent ran."""

from __future__ import annotations

import pytest

from ipsecmon.agent.bridge import are_same
from ipsecmon.model import CounterKey, Direction, ObservationPoint, Reading
from ipsecmon.store import SavedReading

VPN, ESP = (CounterKey(name, Direction.IN, ObservationPoint.WIRE) for name in ("vpn", "esp"))


def are_same_now(saved: dict[CounterKey, str], now: dict[CounterKey, str]) -> bool:
    readings = [Reading(key, 900, 9, birth) for key, birth in now.items()]
    return are_same(
        (VPN, ESP), {key: SavedReading(500, 5, birth, 1) for key, birth in saved.items()}, readings
    )


def test_counters_that_stood_all_the_time_know_what_passed() -> None:
    left = CounterKey("left", Direction.IN, ObservationPoint.WIRE)
    assert are_same_now({VPN: "1", ESP: "2", left: "3"}, {VPN: "1", ESP: "2"})


@pytest.mark.parametrize(
    "now",
    [{}, {VPN: "1"}, {VPN: "9", ESP: "2"}],
    ids=["gone, as after a reboot", "one gone", "one made anew"],
)
def test_counters_that_are_gone_or_made_anew_do_not(now: dict[CounterKey, str]) -> None:
    assert not are_same_now({VPN: "1", ESP: "2"}, now)


def test_a_counter_that_an_earlier_config_had_not_does_not() -> None:
    assert not are_same_now({ESP: "2"}, {VPN: "1", ESP: "2"})
    assert not are_same_now({ESP: "2"}, {ESP: "2"})
