"""What names a tunnel: how it is read, and when two names are one."""

from __future__ import annotations

import pytest

from ipsecmon.config import Ipsec, parse


def ipsec(text: str) -> Ipsec:
    config = parse(f"line: {{name: T1, interface: lo}}\ncounters: {{name: a, ipsec: {{{text}}}}}\n", "f")
    (counter,) = config.counters
    assert counter.ipsec is not None
    return counter.ipsec


def test_one_value_and_a_list_of_values_are_read_alike() -> None:
    assert ipsec("peer: 192.0.2.1, connection: a, if_id: 7, xfrm_mark: 1, reqid: 9") == ipsec(
        'peer: [192.0.2.1, 192.0.2.1], connection: [a], if_id: ["7", 0x7], xfrm_mark: ["0x1"], reqid: ["9"]'
    )


def test_a_mark_without_a_mask_is_compared_whole() -> None:
    assert ipsec("xfrm_mark: [0x10, 0x10/0xff, 0/1, 4294967295]").xfrm_marks == (
        (16, 0xFFFFFFFF),
        (16, 255),
        (0, 1),
        (0xFFFFFFFF, 0xFFFFFFFF),
    )


def test_reqids_are_ranges_with_both_ends_that_join_where_they_meet() -> None:
    assert ipsec("reqid: [4294967295, 10-19, 7, 20, 15-16]").reqids == ((7, 7), (10, 20), (2**32 - 1,) * 2)


def test_subnets_are_each_pair_of_one_family() -> None:
    (one,) = ipsec('subnets: {local: [10.1.0.0/24, "fd01::/64"], remote: [10.2.0.0/24, "fd02::/64"]}').subnets
    pairs = [(str(local), str(remote)) for local, remote in one.pairs]
    assert pairs == [("10.1.0.0/24", "10.2.0.0/24"), ("fd01::/64", "fd02::/64")]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("peer: A.example", "peer: a.example", True),
        ("peer: [a.example, 192.0.2.1]", "peer: [192.0.2.1, a.example]", True),
        ("peer: 192.0.2.1", "peer: [192.0.2.1, 192.0.2.2]", False),
        ("peer: 192.0.2.1", "peer: 192.0.2.1, reqid: 1", False),
        ("reqid: 1", "if_id: 1", False),
        ("connection: a", "connection: A", False),
        (
            "subnets: {local: 10.0.0.0/8, remote: [10.1.0.0/24, 10.3.0.0/24]}",
            "subnets: [{local: 10.0.0.0/8, remote: 10.3.0.0/24}, {local: 10.0.0.0/8, remote: 10.1.0.0/24}]",
            True,
        ),
    ],
)
def test_two_tunnels_are_the_same_whatever_the_order_and_the_spelling(
    one: str, other: str, same: bool
) -> None:
    assert (ipsec(one).conditions == ipsec(other).conditions) == same


@pytest.mark.parametrize(
    ("text", "without_rule", "is_by_peer_alone"),
    [
        ("peer: 192.0.2.1", (), True),
        ("peer: [192.0.2.1, b.example]", (), True),
        ("peer: 192.0.2.1, reqid: 7", (), False),
        ("reqid: 7", (), False),
        ("peer: 192.0.2.1, if_id: 7", ("if_id",), False),
        ("connection: a, xfrm_mark: 7", ("connection", "xfrm_mark"), False),
    ],
)
def test_rules_tell_less_than_sas_do(
    text: str, without_rule: tuple[str, ...], is_by_peer_alone: bool
) -> None:
    found = ipsec(text)
    assert (found.without_rule, found.is_by_peer_alone) == (without_rule, is_by_peer_alone)
    assert found.has_rule == (not without_rule)
