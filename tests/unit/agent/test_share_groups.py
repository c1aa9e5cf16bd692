"""Whose copies are told apart: only where some tunnel has no ESP to itself."""

from __future__ import annotations

from ipsecmon.agent.plan import build_plan
from ipsecmon.agent.share_groups import share_groups
from ipsecmon.config import parse
from ipsecmon.model import CounterKey

FILE = """
router: gw
line: {name: T1, interface: eth1}
counters:
  - name: parent
    ipsec: {peer: 198.51.100.7}
"""
BY_REQID = "  - {name: branch, ipsec: {reqid: 7}}\n"


def told(text: str) -> dict[int, CounterKey]:
    config = parse(text, "test.yaml")
    return share_groups(config, build_plan(config, lambda name: ()))


def test_where_rules_tell_every_tunnel_no_copy_is_looked_into() -> None:
    assert told(FILE) == {}
    assert told(FILE.replace("ipsec: {peer: 198.51.100.7}", "match: {proto: tcp}")) == {}


def test_where_they_cannot_it_is_those_of_esp_and_nat_t_both_ways() -> None:
    found = told(FILE + BY_REQID)

    assert sorted((key.name, key.direction.value) for key in found.values()) == [
        ("esp", "in"),
        ("esp", "out"),
        ("nat-t", "in"),
        ("nat-t", "out"),
    ]
