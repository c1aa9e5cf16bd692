"""Parts stay disjoint, whoever shares them: they add up to the rule counters and to what is derived."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ipsecmon.account.line_parts import divide, uncertain_parts
from ipsecmon.account.partition import Volume
from ipsecmon.model import CounterKey, Direction, How, Increment, ObservationPoint

IN = Direction.IN
WIRE, ESP, NATT = ObservationPoint.WIRE, ObservationPoint.ESP_SHARE, ObservationPoint.NATT_SHARE
DERIVED = ObservationPoint.DERIVED
RULES = [CounterKey(name, IN, WIRE) for name in ("ike", "own", "esp", "nat-t", "other")]
VOLUMES = {key: Volume(1000, 10) for key in RULES}


def share(name: str, point: ObservationPoint = ESP, way: Direction = IN) -> CounterKey:
    return CounterKey(name, way, point)


def told(*more: tuple[CounterKey, Volume], uncertain: set[CounterKey] | None = None) -> dict[str, Any]:
    found = divide(RULES, {**VOLUMES, **dict(more)}, uncertain or set())
    return {one.name: (one.volume.octets, one.volume.packets, one.how.value) for one in found}


def test_without_shares_parts_are_what_rules_counted() -> None:
    assert told() == {key.name: (1000, 10, "counted") for key in RULES}


def test_a_tunnel_stands_before_what_is_left_of_the_part_it_shares() -> None:
    found = told((share("a"), Volume(300, 3)), (share("b"), Volume(700, 7)))

    assert list(found) == ["ike", "own", "a", "b", "esp", "nat-t", "other"]
    assert (found["a"], found["esp"]) == ((300, 3, "counted"), (0, 0, "counted"))


def test_a_tunnel_of_a_rule_and_of_shares_is_one_part() -> None:
    found = told((share("own"), Volume(300, 3)), (share("own", NATT), Volume(100, 1)))

    assert found["own"] == (1400, 14, "counted")
    assert (found["esp"], found["nat-t"]) == ((700, 7, "counted"), (900, 9, "counted"))


def test_shares_of_the_other_direction_are_not_taken() -> None:
    assert told((share("a", way=Direction.OUT), Volume(300, 3))) == told()


def test_what_lacks_copies_is_attributed_and_so_is_the_rest() -> None:
    lossy = {CounterKey("esp", IN, WIRE)}
    found = told((share("a"), Volume(300, 3)), (share("a", NATT), Volume(1, 1)), uncertain=lossy)

    assert (found["a"], found["esp"]) == ((301, 4, "attributed"), (700, 7, "attributed"))
    assert (found["nat-t"][2], found["other"][2]) == ("counted", "counted")
    assert told(uncertain=lossy) == told()  # nothing is divided


def test_what_is_derived_is_beside_what_was_counted() -> None:
    found = told((share("own", DERIVED), Volume(500, 5)), (share("esp", DERIVED), Volume(1, 1)))

    assert (found["own"], found["esp"]) == ((1500, 15, "derived"), (1001, 11, "derived"))


def test_a_part_is_uncertain_for_lost_copies_for_those_never_made_and_for_those_of_nobody_knows_whom() -> (
    None
):
    esp, natt = (CounterKey(name, IN, WIRE) for name in ("esp", "nat-t"))

    assert uncertain_parts([Increment(esp, 100, 9, lost_packets=1)]) == {esp}
    assert uncertain_parts([Increment(natt, 100, 9, bridged_packets=1)]) == {natt}
    assert uncertain_parts([Increment(share("nat-t", NATT), 1, 1), Increment(share("a"), 1, 1)]) == {natt}
    assert uncertain_parts([Increment(esp, 100, 9, pending_packets=1)]) == set()


volumes = st.builds(Volume, st.integers(0, 10**12), st.integers(0, 10**9))
names = st.sampled_from(["a", "b", "own", "esp", "nat-t"])


@given(
    st.dictionaries(st.builds(share, names, st.sampled_from([ESP, NATT])), volumes, max_size=8),
    st.dictionaries(st.builds(share, names, st.just(DERIVED)), volumes, max_size=3),
    st.sets(st.sampled_from(RULES)),
)
def test_parts_add_up_to_rule_counters_and_what_is_derived(
    shares: dict[CounterKey, Volume], derived: dict[CounterKey, Volume], uncertain: set[CounterKey]
) -> None:
    """Where shares are of what rules counted."""
    rules = dict(VOLUMES)
    for point, name in ((ESP, "esp"), (NATT, "nat-t")):
        inside = [one for key, one in shares.items() if key.observed_at is point and key.name != name]
        octets, packets = sum(one.octets for one in inside), sum(one.packets for one in inside)
        rules[CounterKey(name, IN, WIRE)] = Volume(octets + 7, packets + 1)
    found = divide(RULES, {**rules, **shares, **derived}, uncertain)

    for field in (0, 1):
        whole = sum(one[field] for one in (*rules.values(), *derived.values()))
        assert sum(one.volume[field] for one in found) == whole
        assert sum(one.derived[field] for one in found) == sum(one[field] for one in derived.values())
    assert len({one.name for one in found}) == len(found)
    assert {one.name for one in found if one.how is How.DERIVED} == {
        key.name for key, one in derived.items() if any(one)
    }


def test_of_several_lines_each_has_its_own_shares() -> None:
    rules = [CounterKey(f"esp@{line}", IN, WIRE) for line in ("T1", "T2")]
    counted = {key: Volume(1000, 10) for key in rules}
    shares = {share("a@T1"): Volume(300, 3), share("a@T2"): Volume(100, 1), share("esp@T2"): Volume(1, 1)}
    uncertain = uncertain_parts([Increment(share("esp@T2"), 1, 1)])
    found = [divide([one], {**counted, **shares}, uncertain) for one in rules]

    assert [[(one.name, one.volume.octets, one.how.value) for one in parts] for parts in found] == [
        [("a@T1", 300, "counted"), ("esp@T1", 700, "counted")],
        [("a@T2", 100, "attributed"), ("esp@T2", 900, "attributed")],
    ]
