"""A match as alternatives, at chosen matches; random ones against the definition are in tests/property."""

from __future__ import annotations

from ipsecmon.model import Direction
from ipsecmon.ruleset.conditions import Conjunction, conjunctions
from ipsecmon.ruleset.model import Match

IN, OUT = Direction.IN, Direction.OUT


def ends(match: Match, way: Direction) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    return [(one.sources, one.destinations) for one in conjunctions(match, way)]


def test_an_empty_match_always_holds() -> None:
    assert conjunctions(Match(), IN) == [Conjunction(None, (), (), (), (), ())]


def test_local_is_the_destination_of_what_arrives_and_the_source_of_what_leaves() -> None:
    match = Match(local=("10.0.0.0/8",), remote=("192.0.2.0/24",))
    assert ends(match, IN) == [(("192.0.2.0/24",), ("10.0.0.0/8",))]
    assert ends(match, OUT) == [(("10.0.0.0/8",), ("192.0.2.0/24",))]


def test_source_and_destination_are_the_same_in_both_directions() -> None:
    match = Match(source=("10.0.0.0/8",), destination=("192.0.2.0/24",))
    assert ends(match, IN) == ends(match, OUT) == [(("10.0.0.0/8",), ("192.0.2.0/24",))]


def test_host_is_either_end() -> None:
    assert ends(Match(host=("10.0.0.1",)), IN) == [(("10.0.0.1/32",), ()), ((), ("10.0.0.1/32",))]


def test_host_and_local_meet_at_one_end_or_stand_at_both() -> None:
    match = Match(host=("10.1.0.0/16",), local=("10.0.0.0/8",))
    assert ends(match, OUT) == [(("10.1.0.0/16",), ()), (("10.0.0.0/8",), ("10.1.0.0/16",))]


def test_ports_without_protocol_mean_tcp_and_udp_on_either_side() -> None:
    found = conjunctions(Match(ports=((53, 53),)), IN)
    assert {one.protocols for one in found} == {(6, 17)}
    assert [(one.source_ports, one.destination_ports) for one in found] == [
        (((53, 53),), ()),
        ((), ((53, 53),)),
    ]


def test_families_are_never_mixed_in_one_alternative() -> None:
    match = Match(local=("10.0.0.0/8", "2001:db8::/32"), remote=("192.0.2.0/24", "2001:db8:1::/48"))
    assert [(one.family, one.sources, one.destinations) for one in conjunctions(match, OUT)] == [
        (4, ("10.0.0.0/8",), ("192.0.2.0/24",)),
        (6, ("2001:db8::/32",), ("2001:db8:1::/48",)),
    ]


def test_ends_of_different_families_match_nothing() -> None:
    assert conjunctions(Match(local=("10.0.0.0/8",), remote=("2001:db8::/32",)), OUT) == []


def test_ranges_and_networks_that_do_not_meet_match_nothing() -> None:
    assert conjunctions(Match(local=("10.0.0.0/8",), source=("192.0.2.0/24",)), OUT) == []
    assert len(conjunctions(Match(ports=((1, 9),), source_ports=((20, 30),)), OUT)) == 1


def test_overlapping_networks_and_touching_ranges_are_joined_for_nfts_sets() -> None:
    match = Match(source=("10.0.0.0/8", "10.1.0.0/16"), source_ports=((10, 20), (15, 30), (31, 40)))
    assert [(one.sources, one.source_ports) for one in conjunctions(match, IN)] == [
        (("10.0.0.0/8",), ((10, 40),))
    ]


def test_ranges_with_a_gap_of_one_port_stay_apart() -> None:
    found = conjunctions(Match(source_ports=((22, 30), (10, 20))), IN)
    assert [one.source_ports for one in found] == [((10, 20), (22, 30))]
