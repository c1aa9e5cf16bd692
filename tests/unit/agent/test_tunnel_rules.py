"""From a config to the rules by which SAs are told apart."""

from __future__ import annotations

from ipsecmon.account.tunnel_match import TunnelMatcher, TunnelRule
from ipsecmon.agent.tunnel_rules import tunnel_rules
from ipsecmon.config import parse
from ipsecmon.ipsec import IkeNames, Mark, Policy, Selector, Template
from ipsecmon.model import UNNAMED
from tests.unit.account.simulated_xfrm import OWN, State

FILE = """
line: {name: T1, interface: eth1}
rules: off
counters:
  - {name: parent, ipsec: {peer: [berlin.example.net, 198.51.100.9]}}
  - name: lans
    ipsec:
      subnets:
        - {local: [10.1.0.0/16, "fd01::/64"], remote: [10.2.0.0/16, "fd02::/64"]}
        - {local: 10.1.0.0/16, remote: [10.4.0.0/16, 10.6.0.0/16]}
  - {name: warriors, ipsec: {connection: [l2tp-psk, ikev2]}}
  - {name: marked, ipsec: {if_id: [42, 0x2b], xfrm_mark: [16, 0x10/0xff]}}
  - {name: ranges, ipsec: {reqid: [7, 10-19]}}
"""
PEER = "198.51.100.7"


def test_every_condition_of_the_config_is_one_on_sas_in_the_files_order() -> None:
    assert tunnel_rules(parse(FILE, "f"), {"parent": ("203.0.113.9", "198.51.100.9")}) == [
        TunnelRule("parent", peers=frozenset(("203.0.113.9", "198.51.100.9"))),
        TunnelRule(
            "lans",
            subnets=(
                ("10.1.0.0/16", "10.2.0.0/16"),
                ("fd01::/64", "fd02::/64"),
                ("10.1.0.0/16", "10.4.0.0/16"),
                ("10.1.0.0/16", "10.6.0.0/16"),
            ),
        ),
        TunnelRule("warriors", connections=frozenset(("l2tp-psk", "ikev2"))),
        TunnelRule(
            "marked", if_ids=frozenset((42, 43)), marks=frozenset((Mark(16, 0xFFFFFFFF), Mark(16, 255)))
        ),
        TunnelRule("ranges", reqids=((7, 7), (10, 19))),
    ]


def test_sas_find_their_tunnels_by_the_rules_of_a_config() -> None:
    names = IkeNames({}, {5: frozenset(("ikev2", "ikev2-net"))})
    template = Template(OWN[0], PEER, 2, 0, 50, "tunnel", 3, False)
    selector = Selector("10.1.7.0/24", "10.6.0.0/24", 0, None, None)
    policy = Policy(selector, "out", False, False, 0, (template,))
    matcher = TunnelMatcher(tunnel_rules(parse(FILE, "f"), {"parent": ("198.51.100.9",)}))
    matcher.learn((policy,), OWN, names)

    def found(peer: str, reqid: int) -> str:
        return matcher.key(State(OWN[0], peer, reqid, reqid, 5000, 0, 0).sa()).tunnel

    assert [found("198.51.100.9", 1), found(PEER, 3), found(PEER, 5)] == ["parent", "lans", "warriors"]
    assert [found(PEER, 15), found(PEER, 20)] == ["ranges", UNNAMED]
