"""Whose inside an interface is: told by policies and L2TP, never guessed; and what each layer carried."""

from __future__ import annotations

from typing import Optional

import pytest

from ipsecmon.account import layers as layers_module
from ipsecmon.account.carried import GRE, UDP, Carried, Carrier, carried_by
from ipsecmon.account.layers import Layers, LinkFacts, add_outer_layers
from ipsecmon.account.link_lives import LinkPassed
from ipsecmon.account.tunnel_match import TunnelMatcher, TunnelRule
from ipsecmon.ipsec import Lifetime, Mark, Policy, SecurityAssociation, Selector, Template
from ipsecmon.links import Link, LinkCounts
from ipsecmon.model import (
    Batch,
    CounterKey,
    Direction,
    Increment,
    Layer,
    LayerIncrement,
    LayerKey,
    ObservationPoint,
    TunnelIncrement,
    TunnelKey,
)

HERE, BERLIN, LYON = "203.0.113.1", "203.0.113.2", "203.0.113.3"
IN, OUT = Direction.IN, Direction.OUT
NO_LIMITS = Lifetime(None, None, None, None, None, None, None, None)
EMPTY = Batch("gw", 0, 10, ())


def selector(to: str, protocol: int = GRE, port: Optional[int] = None) -> Selector:
    return Selector(f"{HERE}/32", f"{to}/32", protocol, port, None)


def carrying(**tunnels: str) -> Carried:
    """Tunnels by name, each of GRE to one other gateway."""
    return Carried(tuple(Carrier(selector(to), 100, name) for name, to in tunnels.items()))


def gre(
    remote: str, ifindex: int = 5, name: str = "gre1", kind: str = "gre", alive: bool = True
) -> LinkPassed:
    counts = LinkCounts(3000, 30, 500, 5)
    return LinkPassed(Link(ifindex, name, kind, counts, HERE, remote), "", counts, alive, False)


def ppp(peer: str, ifindex: int = 9, name: str = "ppp0", alive: bool = True) -> LinkPassed:
    counts = LinkCounts(700, 7, 80, 2)
    return LinkPassed(Link(ifindex, name, "ppp", counts), peer, counts, alive, False)


def xfrm(if_id: int, name: str = "ipsec0", ifindex: int = 12, alive: bool = True) -> LinkPassed:
    counts = LinkCounts(3000, 30, 500, 5)
    return LinkPassed(Link(ifindex, name, "xfrm", counts, if_id=if_id), "10.8.0.2", counts, alive, False)


def with_sas(**if_ids: int) -> LinkFacts:
    """Tunnels by name, each with SAs of one if_id."""
    tunnels = {number: {name for name, one in if_ids.items() if one == number} for number in if_ids.values()}
    return LinkFacts(Carried((), {number: frozenset(names) for number, names in tunnels.items()}))


def booked(layers: Layers) -> dict[tuple[str, str, str], tuple[int, int]]:
    """Octets and packets by tunnel, link and direction."""
    return {
        (one.key.tunnel, one.key.link, one.key.direction.value): (one.octets, one.packets)
        for one in layers.batch(EMPTY).layers
    }


def test_gre_is_in_the_tunnel_whose_policy_takes_it() -> None:
    layers = Layers({"berlin": Layer.GRE, "lyon": Layer.GRE})
    facts = LinkFacts(carrying(berlin=BERLIN, lyon=LYON))
    layers.book([gre(LYON), gre(BERLIN, 6, "gre2")], facts)
    assert booked(layers) == {
        ("lyon", "gre1", "in"): (3000, 30),
        ("lyon", "gre1", "out"): (500, 5),
        ("berlin", "gre2", "in"): (3000, 30),
        ("berlin", "gre2", "out"): (500, 5),
    }
    assert layers.unclaimed == ()


@pytest.mark.parametrize(
    "remote", ["", "192.0.2.99"], ids=["many far ends (mGRE)", "in the clear, as far as policies tell"]
)
def test_gre_of_which_no_policy_tells_is_in_no_tunnel(remote: str) -> None:
    layers = Layers({"berlin": Layer.GRE})
    layers.book([gre(remote)], LinkFacts(carrying(berlin=BERLIN)))
    assert booked(layers) == {}
    assert layers.unclaimed == ("gre1",)


def test_gre_in_a_tunnel_that_does_not_say_so_is_not_counted() -> None:
    layers = Layers({"lyon": Layer.L2TP})
    layers.book([gre(LYON)], LinkFacts(carrying(lyon=LYON)))
    assert booked(layers) == {}


def test_the_rest_of_what_was_in_a_tunnel_counts_when_its_sas_are_gone() -> None:
    layers = Layers({"berlin": Layer.GRE})
    layers.book([gre(BERLIN)], LinkFacts(carrying(berlin=BERLIN)))
    layers.close()
    layers.book([gre(BERLIN)], LinkFacts())
    assert booked(layers)["berlin", "gre1", "in"] == (3000, 30)
    layers.close()
    layers.book([gre(BERLIN)], LinkFacts())
    assert booked(layers) == {}


def test_gretap_counts_ethernet_and_stays_out_of_the_ip_layer() -> None:
    layers = Layers({"berlin": Layer.GRE})
    layers.book([gre(BERLIN, kind="gretap")], LinkFacts(carrying(berlin=BERLIN)))
    batch = layers.batch(EMPTY)
    assert {one.key.layer for one in batch.layers} == {Layer.ETHERNET}
    assert batch.increments == ()


def test_road_warriors_are_told_apart_by_name_by_address_and_by_interface() -> None:
    layers = Layers({"warriors": Layer.L2TP})
    sessions = [ppp("10.9.0.2"), ppp("10.9.0.3", 10, "ppp1"), ppp("", 11, "ppp2")]
    layers.book(sessions, LinkFacts(names={"10.9.0.2": "anna"}))
    assert {link for _, link, _ in booked(layers)} == {"anna", "10.9.0.3", "ppp2"}


def test_a_warrior_who_calls_again_from_another_interface_is_the_same() -> None:
    layers = Layers({"warriors": Layer.L2TP})
    facts = LinkFacts(names={"10.9.0.2": "anna", "10.9.0.8": "anna"})
    layers.book([ppp("10.9.0.2", alive=False), ppp("10.9.0.8", 10, "ppp1")], facts)
    assert booked(layers)["warriors", "anna", "in"] == (1400, 14)


def test_warriors_beyond_the_most_that_are_told_apart_are_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers_module, "LABELS_KEPT", 1)
    layers = Layers({"warriors": Layer.L2TP})
    layers.book([ppp(f"10.9.0.{number}", number) for number in (2, 3, 4)], LinkFacts())
    assert booked(layers)["warriors", "10.9.0.2", "in"] == (700, 7)
    assert booked(layers)["warriors", "others", "in"] == (1400, 14)


def test_ppp_that_is_no_l2tp_is_in_no_tunnel() -> None:
    layers = Layers({"warriors": Layer.L2TP})
    layers.book([ppp("192.0.2.1")], LinkFacts(strangers=["ppp0"]))
    layers.book([ppp("192.0.2.1", name="ppp7")], LinkFacts(sessions=frozenset({"ppp3"})))
    assert booked(layers) == {}


def test_of_two_tunnels_with_l2tp_a_session_is_in_neither_unless_all_gateways_are_in_one() -> None:
    two = {"a": Layer.L2TP, "b": Layer.L2TP}
    to_a, to_b = (Carrier(selector(to, UDP, 1701), 100, name) for name, to in (("a", BERLIN), ("b", LYON)))
    carried = Carried((to_a, to_b))
    for gateways, owners in (((), set()), ((BERLIN,), {"a"}), ((BERLIN, LYON), set())):
        layers = Layers(two)
        layers.book([ppp("10.9.0.2")], LinkFacts(carried, gateways=frozenset(gateways)))
        assert {tunnel for tunnel, _, _ in booked(layers)} == owners


def test_a_session_counts_from_its_beginning_when_its_tunnel_is_known_late() -> None:
    """The IKE daemon may tell the name of an SA some seconds after a session has begun."""
    layers = Layers({"warriors": Layer.L2TP})
    named = Carried((Carrier(selector(BERLIN, UDP, 1701), 100, "warriors"),))
    for carried in (Carried(()), Carried(()), named, named):
        layers.book([ppp("10.9.0.2")], LinkFacts(carried, gateways=frozenset({BERLIN})))
    assert booked(layers)["warriors", "10.9.0.2", "in"] == (4 * 700, 4 * 7)


def test_gre_that_was_in_the_clear_before_is_not_counted_afterwards() -> None:
    layers = Layers({"berlin": Layer.GRE})
    for carried in (Carried(()), carrying(berlin=BERLIN)):
        layers.book([gre(BERLIN)], LinkFacts(carried))
    assert booked(layers)["berlin", "gre1", "in"] == (3000, 30)


def test_l2tp_of_a_gateway_in_the_clear_makes_sessions_unknown() -> None:
    layers = Layers({"warriors": Layer.L2TP})
    carried = Carried((Carrier(selector(BERLIN, UDP, 1701), 100, "warriors"),))
    layers.book([ppp("10.9.0.2")], LinkFacts(carried, gateways=frozenset({BERLIN, "192.0.2.50"})))
    assert booked(layers) == {}
    assert layers.unclaimed == ("ppp0",)


def test_an_xfrm_interface_is_in_the_tunnel_that_has_sas_of_its_if_id() -> None:
    layers = Layers({"berlin": Layer.XFRM, "lyon": Layer.XFRM})
    layers.book([xfrm(7), xfrm(8, "ipsec1", 13), xfrm(9, "ipsec2", 14)], with_sas(lyon=7, berlin=8))
    assert booked(layers) == {
        ("lyon", "ipsec0", "in"): (3000, 30),
        ("lyon", "ipsec0", "out"): (500, 5),
        ("berlin", "ipsec1", "in"): (3000, 30),
        ("berlin", "ipsec1", "out"): (500, 5),
    }
    assert (layers.unclaimed, layers.shared) == (("ipsec2",), {})


def test_an_xfrm_interface_with_sas_of_several_tunnels_is_in_none_and_that_is_said() -> None:
    """Nor is it in the one that it was in until then: what passed since may be the other's."""
    layers = Layers({"berlin": Layer.XFRM, "lyon": Layer.XFRM})
    layers.book([xfrm(7)], with_sas(berlin=7))
    layers.close()
    layers.book([xfrm(7)], with_sas(berlin=7, unnamed=7))
    assert booked(layers) == {}
    assert layers.unclaimed == ("ipsec0",)
    assert layers.shared == {"ipsec0": ("berlin", "unnamed")}


def test_an_xfrm_interface_in_a_tunnel_that_does_not_say_so_is_not_counted() -> None:
    layers = Layers({"berlin": Layer.GRE})
    layers.book([xfrm(7)], with_sas(berlin=7))
    assert booked(layers) == {}


def test_an_xfrm_interface_stays_in_its_tunnel_while_no_sa_tells() -> None:
    """SAs of one poll's time carry what no later poll can tell of."""
    layers = Layers({"berlin": Layer.XFRM})
    for facts in (with_sas(berlin=7), LinkFacts(), LinkFacts()):
        layers.book([xfrm(7)], facts)
    assert booked(layers)["berlin", "ipsec0", "in"] == (3 * 3000, 3 * 30)


def sa(to: str, reqid: int) -> SecurityAssociation:
    return SecurityAssociation(
        HERE, to, 2, reqid, 50, "transport", reqid, 0, 0, 0, None, 0, 0, 0, 32, 0, NO_LIMITS, None
    )


def policy(to: str, reqid: int, priority: int = 100, **changes: object) -> Policy:
    template = Template("0.0.0.0", "0.0.0.0", 2, 0, 50, "transport", reqid, is_optional=False)
    plain = Policy(selector(to), "out", False, False, priority, (template,))
    return plain._replace(**changes)  # type: ignore[arg-type]


def learnt(*policies: Policy) -> Carried:
    matcher = TunnelMatcher(
        [TunnelRule("berlin", frozenset({BERLIN})), TunnelRule("lyon", frozenset({LYON}))]
    )
    matcher.learn(policies, [HERE])
    return carried_by(matcher, [sa(BERLIN, 1), sa(LYON, 2)])


def test_the_policy_that_an_sa_serves_tells_what_its_tunnel_carries() -> None:
    carried = learnt(policy(BERLIN, 1), policy(LYON, 2))
    assert carried.tunnel(HERE, BERLIN, GRE) == "berlin"
    assert carried.tunnel("", LYON, GRE) == "lyon"
    assert carried.tunnel(HERE, BERLIN, UDP) is None
    assert carried.tunnel("192.0.2.1", BERLIN, GRE) is None


def test_the_tunnels_of_an_if_id_are_those_of_its_sas_that_have_keys() -> None:
    matcher = TunnelMatcher([TunnelRule("berlin", frozenset({BERLIN}))])
    matcher.learn((), [HERE])
    keyed = [
        sa(to, 1)._replace(if_id=if_id, is_keyed=True) for to, if_id in ((BERLIN, 7), (LYON, 8), (LYON, 0))
    ]
    found = carried_by(matcher, [*keyed, sa(LYON, 1)._replace(if_id=7)])
    assert found.by_if_id == {7: {"berlin"}, 8: {"unnamed"}}


@pytest.mark.parametrize("change", [{"if_id": 7}, {"mark": Mark(1, 255)}, {"is_blocking": True}])
def test_policies_that_addresses_alone_do_not_tell_are_left_out(change: dict[str, object]) -> None:
    assert learnt(policy(BERLIN, 1, **change)).tunnel(HERE, BERLIN, GRE) is None  # type: ignore[arg-type]


def test_of_two_policies_the_one_the_kernel_takes_first_tells() -> None:
    wide = Selector("0.0.0.0/0", "0.0.0.0/0", 0, None, None)
    both = (Carrier(wide, 200, "lyon"), Carrier(selector(BERLIN), 100, "berlin"))
    assert Carried(both).tunnel(HERE, BERLIN, GRE) == "berlin"
    equal = (Carrier(wide, 100, "lyon"), Carrier(selector(BERLIN), 100, "berlin"))
    assert Carried(equal).tunnel(HERE, BERLIN, GRE) is None


def test_outer_layers_are_the_lines_rule_and_the_sas_peers_together() -> None:
    wire = Increment(CounterKey("berlin", IN, ObservationPoint.WIRE), 2880, 10, bridged_octets=288)
    inner = Increment(CounterKey("berlin", IN, ObservationPoint.INNER), 2520, 10)
    sas = [TunnelIncrement(TunnelKey("berlin", peer, IN), 1260, 5) for peer in (BERLIN, LYON)]
    unknown = TunnelIncrement(TunnelKey("berlin", "unknown", Direction.UNKNOWN), 9, 1)
    other = TunnelIncrement(TunnelKey("lyon", LYON, IN), 1, 1)
    batch = Batch("gw", 0, 10, (wire, inner), tunnels=(*sas, unknown, other))
    assert add_outer_layers(batch, {"berlin": Layer.GRE}).layers == (
        LayerIncrement(LayerKey("berlin", Layer.ESP, "", IN), 2880, 10, bridged_octets=288),
        LayerIncrement(LayerKey("berlin", Layer.GRE, "", IN), 2520, 10),
    )


def test_the_innermost_layer_is_a_counter_of_history_too() -> None:
    layers = Layers({"warriors": Layer.L2TP})
    layers.book([ppp("10.9.0.2"), ppp("10.9.0.3", 10, "ppp1")], LinkFacts())
    inbound, outbound = layers.batch(EMPTY).increments
    assert (inbound.key, inbound.octets) == (CounterKey("warriors", IN, ObservationPoint.IP), 1400)
    assert (outbound.key.direction, outbound.octets) == (OUT, 160)


def test_what_a_store_refused_is_told_again_with_the_next() -> None:
    layers = Layers({"warriors": Layer.L2TP})
    for _ in range(2):
        layers.book([ppp("10.9.0.2")], LinkFacts())
    assert booked(layers)["warriors", "10.9.0.2", "in"] == (1400, 14)
    layers.close()
    assert booked(layers) == {}
