"""Which tunnel an SA is of, and in which direction: never guessed."""

from __future__ import annotations

import pytest

from ipsecmon.account import tunnel_match
from ipsecmon.account.tunnel_match import TunnelMatcher, TunnelRule
from ipsecmon.ipsec import (
    IkeNames,
    Mark,
    Policy,
    SecurityAssociation,
    Selector,
    Template,
)
from ipsecmon.model import OTHER_PEERS, UNKNOWN_PEER, UNNAMED, Direction, TunnelKey
from tests.unit.account.simulated_xfrm import OWN
from tests.unit.account.tunnel_cases import BERLIN, PEER, poll, sa, tunnels


def policy(
    direction: str, *ends: str, mode: str = "tunnel", nets: tuple[str, str] = ("10.1.0.0/24", "10.2.0.0/24")
) -> Policy:
    source, destination = ends or ("0.0.0.0", "0.0.0.0")
    template = Template(source, destination, 2, 0, 50, mode, 1, False)
    return Policy(Selector(*nets, 0, None, None), direction, False, False, 0, (template,))


NETS_IN = ("10.2.0.0/24", "10.1.0.0/24")


@pytest.mark.parametrize(
    ("found", "policies", "own", "direction"),
    [
        (sa(), [], OWN, "out"),
        (sa(inbound=True), [], OWN, "in"),
        (sa(), [], (), "unknown"),
        (sa(), [], (*OWN, PEER), "unknown"),
        (sa(), [policy("out", OWN[0], PEER)], (), "out"),
        (sa(inbound=True), [policy("fwd", PEER, OWN[0], nets=NETS_IN)], (), "in"),
        (sa(), [policy("out", OWN[0], PEER), policy("in", OWN[0], PEER)], (), "unknown"),
        (sa(), [policy("out", OWN[0], PEER, mode="transport")], (), "unknown"),
        (sa(reqid=9), [policy("out", OWN[0], PEER)], (), "unknown"),
        (sa(direction=Direction.IN), [policy("out", OWN[0], PEER)], OWN, "in"),
        (
            sa(mode="transport"),
            [policy("out", mode="transport", nets=(f"{OWN[0]}/32", f"{PEER}/32"))],
            (),
            "out",
        ),
        (
            sa(mode="transport"),
            [policy("out", mode="transport", nets=("10.0.0.0/8", f"{PEER}/32"))],
            (),
            "unknown",
        ),
    ],
)
def test_a_direction_is_derived_and_never_guessed(
    found: SecurityAssociation, policies: list[Policy], own: tuple[str, ...], direction: str
) -> None:
    matcher = TunnelMatcher([])
    matcher.learn(policies, own)
    assert matcher.key(found).direction.value == direction


@pytest.mark.parametrize(
    ("rule", "holds"),
    [
        (TunnelRule("t", peers=frozenset((PEER,))), True),
        (TunnelRule("t", peers=frozenset((OWN[0],))), False),
        (TunnelRule("t", reqids=((1, 1),)), True),
        (TunnelRule("t", reqids=((2, 9),)), False),
        (TunnelRule("t", if_ids=frozenset((7,))), False),
        (TunnelRule("t", if_ids=frozenset((0,))), True),
        (TunnelRule("t", marks=frozenset((Mark(1, 255),))), False),
        (TunnelRule("t", connections=frozenset(("berlin",))), True),
        (TunnelRule("t", connections=frozenset(("paris",))), False),
        (TunnelRule("t", subnets=(("10.0.0.0/8", "10.2.0.0/16"),)), True),
        (TunnelRule("t", subnets=(("10.2.0.0/16", "10.0.0.0/8"),)), False),
        (TunnelRule("t", peers=frozenset((PEER,)), reqids=((2, 2),)), False),
    ],
)
def test_a_rule_names_an_sa_when_all_its_conditions_hold(rule: TunnelRule, holds: bool) -> None:
    matcher = TunnelMatcher([rule])
    matcher.learn([policy("out", OWN[0], PEER)], OWN, BERLIN)
    assert (matcher.key(sa()).tunnel == "t") == holds


@pytest.mark.parametrize("name", ["berlin", "berlin-net"])
def test_a_connection_is_told_by_its_spi_and_where_that_is_not_known_by_its_reqid(name: str) -> None:
    names = IkeNames({(PEER, 0x200): frozenset(("paris",))}, {1: frozenset(("berlin", "berlin-net"))})
    matcher = TunnelMatcher([TunnelRule("t", connections=frozenset((name,)))])
    matcher.learn((), OWN, names)
    assert [matcher.key(sa(spi=spi)).tunnel for spi in (0x100, 0x200)] == ["t", UNNAMED]
    matcher.learn((), OWN)
    assert matcher.key(sa()).tunnel == UNNAMED


def test_other_rules_name_what_is_alive_anew() -> None:
    matcher = TunnelMatcher([])
    assert matcher.key(sa()).tunnel == UNNAMED
    matcher.change([TunnelRule("t")])
    assert matcher.key(sa()).tunnel == "t"


def test_subnets_are_told_from_inbound_policies_too() -> None:
    matcher = TunnelMatcher([TunnelRule("t", subnets=(("10.1.0.0/24", "10.2.0.0/24"),))])
    matcher.learn([policy("in", PEER, OWN[0], nets=NETS_IN)], ())
    assert matcher.key(sa(inbound=True)) == TunnelKey("t", PEER, Direction.IN)


def test_the_first_rule_wins_and_what_none_names_is_shown_without_a_name() -> None:
    rules = [TunnelRule("a", reqids=((1, 5),)), TunnelRule("b", peers=frozenset((PEER,)))]
    made = tunnels(*rules)
    told = poll(made, sa(), sa(spi=2, reqid=7), sa(spi=3, reqid=7, destination="198.51.100.9"))
    assert {place.tunnel for place in told} == {"a", "b", UNNAMED}


def test_more_peers_than_are_kept_share_one_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tunnel_match, "PEERS_KEPT", 2)
    made = TunnelMatcher(())
    made.learn((), OWN)
    peers = [made.key(sa(spi=spi, destination=f"192.0.2.{spi}")).peer for spi in (1, 2, 3, 1)]
    assert peers == ["192.0.2.1", "192.0.2.2", OTHER_PEERS, "192.0.2.1"]


def test_a_peer_is_known_even_where_the_direction_is_not() -> None:
    matcher = TunnelMatcher([TunnelRule("t", peers=frozenset((PEER,)))])
    assert matcher.key(sa()) == TunnelKey("t", UNKNOWN_PEER, Direction.UNKNOWN)
