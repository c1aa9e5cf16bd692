"""What bounds an end that nobody saw."""

from __future__ import annotations

from ipsecmon.account.rule_volumes import measure_rules
from ipsecmon.account.tunnel_match import Place
from ipsecmon.account.tunnels import Volume
from ipsecmon.model import UNNAMED, CounterKey, Direction, Increment, ObservationPoint

IN, OUT = Direction.IN, Direction.OUT
WIRE, INNER = ObservationPoint.WIRE, ObservationPoint.INNER


def counted(*rows: tuple[str, Direction, ObservationPoint, int, int]) -> list[Increment]:
    return [
        Increment(CounterKey(name, way, point), octets, packets) for name, way, point, octets, packets in rows
    ]


def test_a_tunnel_is_bounded_by_the_counter_of_its_own_that_saw_more() -> None:
    before = counted(("vpn", IN, WIRE, 100, 1))
    now = counted(("vpn", IN, WIRE, 1100, 2), ("vpn", IN, INNER, 900, 9), ("esp", IN, WIRE, 5000, 5))

    found = measure_rules(["vpn"], before, now)

    assert found[Place("vpn", IN)] == Volume(1000, 9)
    assert found.get(Place("vpn", OUT)) is None


def test_a_tunnel_without_counters_is_bounded_by_all_ipsec_of_its_direction() -> None:
    now = counted(("vpn", IN, WIRE, 1000, 1), ("esp", IN, WIRE, 500, 5), ("inner", IN, INNER, 1400, 3))

    found = measure_rules(["vpn", "by-reqid"], (), now)

    assert found[Place("by-reqid", IN)] == Volume(1500, 6)
    assert found[Place(UNNAMED, IN)] == Volume(1500, 6)


def test_a_tunnel_without_a_counter_on_the_wire_is_bounded_by_all_esp_there() -> None:
    """GRO and GSO show many inner packets as one, without their headers."""
    now = counted(("vpn", IN, INNER, 900, 1), ("esp", IN, WIRE, 1500, 10), ("nat-t", IN, WIRE, 0, 0))

    assert measure_rules(["vpn"], (), now)[Place("vpn", IN)] == Volume(1500, 10)


def test_counters_of_other_tunnels_alone_bound_nothing() -> None:
    now = counted(("vpn", IN, WIRE, 1000, 1), ("vpn", IN, INNER, 900, 1))

    found = measure_rules(["vpn", "by-reqid"], (), now)

    assert set(found) == {Place("vpn", IN)}


def test_an_unknown_direction_is_bounded_by_both() -> None:
    now = counted(("vpn", IN, WIRE, 1000, 1), ("vpn", OUT, WIRE, 20, 2))

    assert measure_rules(["vpn"], (), now)[Place("vpn", Direction.UNKNOWN)] == Volume(1020, 3)


def test_what_is_covered_and_saw_nothing_is_zero_and_what_nobody_covers_is_not_there() -> None:
    still = counted(("vpn", IN, WIRE, 1000, 1))

    found = measure_rules(["vpn"], still, still)

    assert found[Place("vpn", IN)] == Volume(0, 0)
    assert Place("other", IN) not in found and len(measure_rules(["vpn"], (), ())) == 0


def test_a_counter_that_was_made_anew_bounds_nothing() -> None:
    key = CounterKey("vpn", IN, WIRE)
    now = counted(("vpn", IN, WIRE, 1000, 1), ("vpn", OUT, WIRE, 1000, 1), ("esp", IN, WIRE, 5, 5))

    found = measure_rules(["vpn", "by-reqid"], (), now, [key])

    assert Place("vpn", IN) not in found and Place("by-reqid", IN) not in found
    assert found[Place("vpn", OUT)] == Volume(1000, 1)


def test_a_tunnel_that_rules_see_inside_alone_is_bounded_by_all_ipsec_as_gro_hides_headers_there() -> None:
    now = counted(("lans", IN, INNER, 7_492_236, 436), ("esp", IN, WIRE, 8_039_560, 5377))

    found = measure_rules(["lans"], (), now)

    assert found[Place("lans", IN)] == Volume(8_039_560, 5377)


def test_a_tunnel_whose_counter_no_rule_leads_to_is_bounded_as_one_without() -> None:
    now = counted(("ranges", IN, INNER, 0, 0), ("vpn", IN, WIRE, 1000, 1), ("esp", IN, WIRE, 500, 5))

    assert measure_rules(["vpn", "ranges"], (), now)[Place("ranges", IN)] == Volume(1500, 6)
