"""Rules of others in a real kernel: found wherever they log, told with their counters, and never touched."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ipsecmon.errors import ConfigError, RulesRefused
from ipsecmon.helper.client import Helper
from ipsecmon.helper.foreign_rules import ForeignRule
from ipsecmon.helper.legacy_rules import loaded_tables
from ipsecmon.model import Direction, ObservationPoint
from ipsecmon.ruleset.model import Plan, Tap
from tests.unit.helper.namespaced import WAN, in_namespace_of, namespaced, send_leaving
from tests.unit.ruleset.plans import small_plan

TAPS = (
    Tap("a", Direction.OUT, ObservationPoint.WIRE, 31),
    Tap("b", Direction.OUT, ObservationPoint.WIRE, 32),
)
WATCHING = Plan("ipsecmon", ("wan0",), (), (), managed=False, watched=TAPS)
IPTABLES = "-t mangle -A POSTROUTING -p udp -j NFLOG --nflog-size 64 --nflog-group"
NFT = """nft -f - <<END
table inet own/er {
 counter both { }
 chain c {
  type filter hook postrouting priority 0
  meta l4proto udp %s
 }
}
END
"""


@pytest.fixture
def helper(tmp_path: Path) -> Iterator[Helper]:
    with namespaced(tmp_path, WATCHING) as started:
        started.foreign_rules()
        in_namespace_of(started, WAN)
        yield started


def found(helper: Helper) -> list[tuple[int, int, int]]:
    """Group, octets and packets of each rule."""
    return [(rule.group, rule.octets, rule.packets) for rule in helper.foreign_rules().rules]


def rule_of(helper: Helper) -> ForeignRule:
    (rule,) = helper.foreign_rules().rules
    return rule


@pytest.mark.parametrize("program", ["iptables-nft", "iptables-legacy"])
def test_rules_of_each_iptables_are_found_once(helper: Helper, program: str) -> None:
    in_namespace_of(helper, f"{program} {IPTABLES} 31; {program} {IPTABLES} 31; {program} {IPTABLES} 77")
    send_leaving(helper, 9, 3)

    assert found(helper) == [(31, 300, 3), (31, 300, 3)]
    assert len({rule.identity for rule in helper.foreign_rules().rules}) == 2
    assert not helper.rules_stand()
    in_namespace_of(helper, f"{program} {IPTABLES} 32")
    assert helper.rules_stand()


def test_a_named_counter_is_told_once_however_many_rules_count_on_it(helper: Helper) -> None:
    in_namespace_of(
        helper, NFT % "counter name both log group 31\n  udp dport 9 counter name both log group 31"
    )
    send_leaving(helper, 9, 3)
    assert found(helper) == [(31, 600, 6)]


def test_a_counter_that_two_groups_share_belongs_to_neither(helper: Helper) -> None:
    in_namespace_of(
        helper, NFT % "counter name both log group 31\n  udp dport 9 counter name both log group 32"
    )
    assert found(helper) == []
    said = [problem for _, problem in helper.foreign_rules().problems]
    assert len(said) == 2
    assert said[0].startswith("the counter both of the rule in table inet own/er chain c handle ")
    assert said[0].endswith("counts group 32 too: give each its own")


def test_a_rule_without_a_counter_is_told_where_it_stands(helper: Helper) -> None:
    in_namespace_of(helper, NFT % "log group 31")
    ((group, said),) = helper.foreign_rules().problems
    assert group == 31
    assert said.startswith("the rule in table inet own/er chain c handle ")


def test_a_rule_that_came_since_the_first_read_is_told_with_what_it_began_with(helper: Helper) -> None:
    in_namespace_of(helper, NFT % "counter packets 7 bytes 700 log group 31")
    send_leaving(helper, 9, 2)
    assert rule_of(helper)[2:] == (900, 9, (700, 7))
    in_namespace_of(helper, "nft list ruleset >/tmp/$$; nft flush ruleset; nft -f /tmp/$$; rm /tmp/$$")
    send_leaving(helper, 9, 1)
    assert rule_of(helper)[2:] == (1000, 10, (900, 9))


def test_a_rule_that_was_there_before_has_a_beginning_that_nobody_knows(
    helper: Helper, tmp_path: Path
) -> None:
    in_namespace_of(helper, NFT % "counter log group 31")
    with namespaced(tmp_path, WATCHING, beside=helper.pid) as later:
        assert rule_of(later).born is None


def test_every_making_of_a_table_gives_its_rules_new_identities(helper: Helper) -> None:
    identities = set()
    for _ in range(3):
        in_namespace_of(helper, "nft flush ruleset\n" + NFT % "counter log group 31")
        identities.add(rule_of(helper).identity)
    assert len(identities) == 3


def test_the_same_rules_of_legacy_iptables_keep_their_identities(helper: Helper) -> None:
    in_namespace_of(helper, f"iptables-legacy {IPTABLES} 31")
    before = rule_of(helper)
    send_leaving(helper, 9, 2)
    in_namespace_of(helper, f"iptables-legacy -t mangle -F; iptables-legacy {IPTABLES} 31")
    assert rule_of(helper) == before


def test_no_table_of_legacy_iptables_is_made_by_looking(helper: Helper) -> None:
    assert found(helper) == []
    assert in_namespace_of(helper, "cat /proc/net/ip_tables_names /proc/net/ip6_tables_names") == ""


def test_the_helper_refuses_to_touch_rules_whatever_it_is_asked(helper: Helper) -> None:
    in_namespace_of(helper, NFT % "counter log group 31")
    before = in_namespace_of(helper, "nft list ruleset")
    for verb in (helper.apply_rules, helper.remove_rules):
        with pytest.raises(RulesRefused, match="ipsecmon installs no rule and removes none"):
            verb()
    assert in_namespace_of(helper, "nft list ruleset") == before


def test_a_plan_never_watches_and_installs_at_once() -> None:
    both = small_plan()
    for fault in ({"managed": False}, {"watched": TAPS}):
        with pytest.raises(ConfigError, match="not both"):
            Plan(**{**vars(both), **fault}).check()
    assert Plan.decode(WATCHING.encode()) == WATCHING


def test_an_ordinary_user_goes_by_the_modules_of_tables() -> None:
    modules = (
        "ip6table_mangle 16384 1 - Live 0x0000000000000000\n"
        "iptable_mangle 16384 1 - Live 0x0000000000000000\n"
        "iptable_nat 16384 0 - Live 0x0000000000000000\n"
        "ip_tables 36864 2 iptable_mangle,iptable_nat, Live 0x0000000000000000\n"
    )
    assert loaded_tables(4, modules) == ["mangle", "nat"]
    assert loaded_tables(6, modules) == ["mangle"]
