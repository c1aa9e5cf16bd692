"""The doctor's facts: what nft prints, and this machine's own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ipsecmon.agent.doctor_clock import is_clock_synchronised
from ipsecmon.agent.doctor_facts import Flowtable, LogRule, Unread
from ipsecmon.agent.doctor_links import read_gro, read_ingress, read_lower
from ipsecmon.agent.doctor_machine import fragments_made, read_facts, read_modules
from ipsecmon.agent.doctor_nft import read_ruleset
from ipsecmon.config import parse
from ipsecmon.errors import SourceError

# nft 1.0.6, Linux 6.1: nft -s list ruleset
RULESET = """table inet fast {
\tflowtable ft {
\t\thook ingress priority filter
\t\tdevices = { lan0, wan0 }
\t\tcounter
\t}

\tflowtable idle {
\t\thook ingress priority filter
\t\tdevices = { "dmz0" }
\t}

\tchain forward {
\t\ttype filter hook forward priority filter; policy accept;
\t\tip protocol tcp flow add @ft
\t}
}
table ip mangle {
\tchain PREROUTING {
\t\ttype filter hook prerouting priority mangle; policy accept;
\t\tiifname "wan0" log prefix "group 9 " group 5600 snaplen 64 queue-threshold 1
\t\tcounter log group 7
\t}
}
"""


def test_flowtables_are_read_with_their_devices_and_whether_a_rule_uses_them() -> None:
    assert read_ruleset(RULESET).flowtables == [
        Flowtable("ft", frozenset(("lan0", "wan0")), has_counter=True, is_used=True),
        Flowtable("idle", frozenset(("dmz0",)), has_counter=False, is_used=False),
    ]


def test_rules_that_log_are_read_with_their_table_and_threshold() -> None:
    assert read_ruleset(RULESET).log_rules == [LogRule("mangle", 5600, 1), LogRule("mangle", 7, 0)]


def test_an_empty_ruleset_has_neither() -> None:
    assert read_ruleset("") == ([], [])


def test_modules_are_those_loaded_and_those_built_in(tmp_path: Path) -> None:
    (tmp_path / "modules").write_text("esp4 28672 2 - Live 0x0\nesp4_offload 16384 0 - Live 0x0\n")
    built_in = tmp_path / os.uname().release / "modules.builtin"
    built_in.parent.mkdir()
    built_in.write_text("kernel/net/ipv6/esp6_offload.ko\nkernel/drivers/net/virtio-net.ko\n")

    found = read_modules(tmp_path / "modules", tmp_path)

    assert found == {"esp4", "esp4_offload", "esp6_offload", "virtio_net"}


def test_a_kernel_without_modules_has_none(tmp_path: Path) -> None:
    assert read_modules(tmp_path / "modules", tmp_path) == frozenset()


def test_the_kernel_says_whether_its_clock_is_synchronised() -> None:
    assert is_clock_synchronised() in (True, False)


def test_fragments_are_a_number_that_does_not_fall() -> None:
    before = fragments_made()
    assert 0 <= before <= fragments_made()


def test_the_loopback_stands_alone_and_has_no_filter() -> None:
    assert read_lower(["lo", "none0"]) == {"lo": ["lo"]}
    assert read_ingress(["lo", "none0"]) == {"lo": [], "none0": []}
    assert set(read_gro(["lo"])) == {"lo"}


def test_an_interface_that_is_not_there_is_no_fact() -> None:
    with pytest.raises(SourceError, match="ethtool says nothing of none0"):
        read_gro(["none0"])


def test_without_a_store_or_an_agent_the_rest_is_read_all_the_same(tmp_path: Path) -> None:
    config = parse(f"line: {{interface: lo, name: L}}\nstore: {{path: {tmp_path}}}\n", "test")
    facts = read_facts(config, Unread("none runs"), tmp_path)

    assert facts.lower == {"lo": ["lo"]} and not facts.has_tunnels
    assert isinstance(facts.last_hour, Unread) and "no store" in facts.last_hour.why
    assert not isinstance(facts.rmem_max, Unread) and facts.rmem_max > 0
