"""The doctor's checks, over made-up facts."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from ipsecmon.agent.doctor import KINDS, diagnose
from ipsecmon.agent.doctor_facts import (
    BufferWish,
    Facts,
    Flowtable,
    IngressFilter,
    LogRule,
    Offloaded,
    PathMtu,
    Ruleset,
    Unread,
)
from ipsecmon.model import Direction, TunnelIncrement, TunnelKey
from tests.unit.agent.doctor_cases import AGENT, GOOD, found, inbound, kinds

NO_AGENT = Unread("none runs")


def test_a_good_router_has_no_finding_and_every_kind_is_looked_for() -> None:
    diagnosis = diagnose(GOOD)

    assert diagnosis.findings == ()
    assert diagnosis.checked == KINDS and len(set(KINDS)) == len(KINDS)


def test_esp_offload_with_gro_is_wrong_where_sas_are_alive() -> None:
    loaded = frozenset(("esp4_offload", "esp4"))

    def with_gro(**facts: Any) -> list[tuple[str, str]]:
        """Of this kind."""
        return [one for one in kinds(**{"gro": {"wan0": True}, **facts}) if one[0] == "esp-offload"]

    assert with_gro(modules=loaded) == [("esp-offload", "wrong")]
    assert with_gro(modules=loaded, agent=replace(AGENT, sas=0)) == [("esp-offload", "risk")]
    assert with_gro(modules=loaded, gro={"wan0": False}) == [("esp-offload", "note")]
    assert with_gro(modules=frozenset(("esp6_offload",)), gro={"wan0": False, "eth0": True}) == [
        ("esp-offload", "wrong")
    ]


def test_gro_is_a_note_that_says_which_packets_rules_count_as_one() -> None:
    assert kinds(gro={"wan0": True}) == kinds(gro_beside=["lan0"]) == [("gro-merges", "note")]
    (one,) = found(gro={"wan0": False, "eth1": True}, gro_beside=["dmz0", "lan0"])

    assert "what the line's eth1 receives; what dmz0, lan0 receives, where it goes on" in one.what


@pytest.mark.parametrize(
    ("offloaded", "severity"),
    [(Offloaded(1, 0, 0), "wrong"), (Offloaded(0, 1, 1), "wrong"), (Offloaded(0, 2, 0), "risk")],
)
def test_an_sa_with_hardware_offload_is_found(offloaded: Offloaded, severity: str) -> None:
    assert kinds(agent=replace(AGENT, offloaded=offloaded)) == [("sa-offload", severity)]


def test_offload_that_came_over_the_control_socket_is_found_too() -> None:
    assert kinds(agent=replace(AGENT, offloaded=[0, 1, 0])) == [("sa-offload", "risk")]


def flowtable(device: str, is_used: bool, has_counter: bool = True) -> Ruleset:
    return Ruleset([Flowtable("ft", frozenset((device, "lan0")), has_counter, is_used)], [])


def test_a_flowtable_of_the_line_is_wrong_when_flows_are_added_to_it() -> None:
    assert kinds(ruleset=flowtable("wan0", True)) == [("flowtable", "wrong")]
    assert kinds(ruleset=flowtable("wan0", False)) == [("flowtable", "risk")]
    assert kinds(ruleset=flowtable("dmz0", True)) == []


def test_a_flowtable_below_the_line_counts_and_one_without_counter_is_said() -> None:
    (one,) = found(ruleset=flowtable("eth1", True, has_counter=False), lower={"wan0": ["wan0", "eth1"]})

    assert one.kind == "flowtable" and "conntrack" in one.what


def test_a_clock_that_is_not_synchronised_is_a_risk() -> None:
    assert kinds(is_clock_synchronised=False) == [("clock", "risk")]


@pytest.mark.parametrize(
    ("release", "expected"),
    [("4.19.0-27-amd64", ["risk"]), ("4.20.0", []), ("5.14.0-427.el9.x86_64", []), ("odd", ["note"])],
)
def test_a_kernel_older_than_the_rules_need_is_a_risk(release: str, expected: list[str]) -> None:
    assert kinds(release=release, lacking=Unread("no right")) == [
        ("kernel", severity) for severity in expected
    ]


def test_conntrack_without_accounting_is_only_a_note() -> None:
    diagnosis = diagnose(replace(GOOD, has_conntrack_accounting=False))

    assert [one.kind for one in diagnosis.findings] == ["conntrack-accounting"]
    assert diagnosis.standing() == []


def test_missing_rules_are_wrong_and_rules_that_could_not_be_asked_are_unknown() -> None:
    assert kinds(agent=replace(AGENT, rules_stand=False)) == [("rules-missing", "wrong")]
    (one,) = found(agent=replace(AGENT, rules_stand=None))
    assert one.severity == "note" and one.what.startswith("unknown: ")


def test_a_receive_buffer_smaller_than_asked_for_is_said_with_its_limit() -> None:
    (one,) = found(agent=replace(AGENT, receive_buffer=212_992))

    assert (one.kind, one.severity) == ("receive-buffer", "risk")
    assert "213.0 kB of receive buffer and not 33.6 MB; net.core.rmem_max is 213.0 kB" in one.what
    assert kinds(agent=replace(AGENT, receive_buffer=None)) == []


def test_a_group_of_another_program_is_a_risk_only_where_the_config_may_use_it() -> None:
    assert kinds(owners={5600: 77, 5700: 4711}) == [("group-owner", "risk")]
    assert kinds(owners={5600: 77, 5: 4711}) == []


def test_a_rule_of_others_with_threshold_1_is_a_risk() -> None:
    def with_rule(*rule: object) -> list[tuple[str, str]]:
        return kinds(ruleset=Ruleset([], [LogRule(*rule)]))  # type: ignore[arg-type]

    assert with_rule("mangle", 5600, 1) == [("log-threshold", "risk")]
    assert with_rule("mangle", 5600, 0) == with_rule("mangle", 5, 1) == with_rule("ipsecmon", 5600, 1) == []


def test_inbound_sas_without_anti_replay_are_a_risk_and_outbound_ones_are_not() -> None:
    outbound = TunnelIncrement(TunnelKey("vpn", "", Direction.OUT), sas=1, sas_without_anti_replay=1)

    assert kinds(last_hour=[inbound(sas=2, sas_without_anti_replay=1)]) == [("anti-replay-off", "risk")]
    assert kinds(last_hour=[outbound, inbound(sas=2)]) == []


@pytest.mark.parametrize(
    ("late", "packets", "is_found"),
    [(10, 1000, True), (9, 1000, False), (10, 99_990, True), (10, 99_991, False)],
)
def test_a_window_is_too_small_where_one_packet_in_ten_thousand_is_late(
    late: int, packets: int, is_found: bool
) -> None:
    said = kinds(last_hour=[inbound(late_packets=late, packets=packets)])

    assert said == ([("replay-window-small", "risk")] if is_found else [])


def test_fragments_are_a_risk_from_a_hundred_on_and_unknown_after_one_look() -> None:
    assert kinds(agent=replace(AGENT, fragments=(100, 3600.0))) == [("fragmentation", "risk")]
    assert kinds(agent=replace(AGENT, fragments=(99, 3600.0))) == []
    assert kinds(agent=replace(AGENT, fragments=None)) == [("fragmentation", "note")]


ALL = IngressFilter("matchall", takes_all=True, shaper="ifb0")
ESP_PASSES = IngressFilter("u32", takes_others=False, takes_all=True)
ESP_SHAPED = ESP_PASSES._replace(shaper="ifb0")


def test_shaping_at_the_ingress_is_a_risk_only_where_ipsec_ends() -> None:
    shaped = {"wan0": [ALL]}

    assert kinds(ingress=shaped) == [("ingress-shaping", "risk")]
    assert kinds(ingress=shaped, has_tunnels=False, agent=replace(AGENT, sas=0)) == []
    assert ("ingress-shaping", "risk") not in kinds(ingress=shaped, has_tunnels=False, agent=NO_AGENT)


@pytest.mark.parametrize(
    ("filters", "is_found"),
    [
        ([ESP_SHAPED], False),
        ([ESP_PASSES, ALL], False),  # what comes out of it alone
        ([ESP_SHAPED, ALL._replace(shaper="ifb1")], False),  # each in a shaper of its own
        ([ESP_SHAPED, ALL], True),
        ([ESP_PASSES._replace(takes_all=False), ALL], True),  # of some peers only
        ([ALL._replace(takes_all=False)], True),
        ([ALL._replace(shaper="", ends=True), ALL], False),  # nothing comes to it
    ],
)
def test_a_shaper_is_a_risk_only_where_both_esp_and_what_comes_out_of_it_come_to_it(
    filters: list[IngressFilter], is_found: bool
) -> None:
    assert kinds(ingress={"wan0": filters}) == ([("ingress-shaping", "risk")] if is_found else [])


def test_a_shaper_behind_a_filter_that_nobody_can_read_is_unknown() -> None:
    (one,) = found(ingress={"wan0": [IngressFilter("bpf", is_opaque=True, shaper="ifb0")]})

    assert (one.kind, one.severity.value) == ("ingress-shaping", "note")
    assert one.what.startswith("unknown: ") and "bpf" in one.what


def test_without_an_agent_what_only_it_knows_is_unknown_and_nothing_is_guessed() -> None:
    said = found(agent=NO_AGENT)

    assert {one.kind for one in said} == {
        "sa-offload",
        "rules-missing",
        "rules-reloaded",
        "receive-buffer",
        "group-owner",
        "fragmentation",
        "path-mtu",
    }
    assert {(one.severity.value, one.what) for one in said} == {("note", "unknown: none runs")}


def test_rules_that_were_put_back_are_a_risk_with_how_often_and_how_long() -> None:
    (one,) = found(agent=replace(AGENT, gaps=(1, 900)))

    assert (one.kind, one.severity.value) == ("rules-reloaded", "risk")
    assert "once" in one.what and "0.9 s at most" in one.what


def test_tags_that_overlap_are_a_risk_and_a_note_where_the_agent_has_refused_them() -> None:
    uses = ["ip rule uses nfmark bits 0x00010000 of our mask: 100: from all fwmark 0x10000 lookup 100"]

    assert kinds(nfmark_uses=uses) == [("nfmark-shared", "risk")]
    assert kinds(nfmark_uses=uses, tags=False) == []
    assert kinds(nfmark_uses=uses, agent=replace(AGENT, nfmarks_refused=uses)) == [("nfmark-shared", "note")]


def test_a_path_narrower_than_its_interface_and_packets_too_big_for_it_are_a_risk() -> None:
    narrow, wide = PathMtu("198.51.100.7", "wan0", 1300, 1500), PathMtu("198.51.100.8", "wan0", 1500, 1500)
    (one,) = found(path_mtus=[narrow, wide])

    assert (one.kind, one.severity.value) == ("path-mtu", "risk")
    assert "198.51.100.7" in one.what and "1300" in one.what and "1500" in one.what
    assert kinds(agent=replace(AGENT, too_big=100)) == [("path-mtu", "risk")]
    assert kinds(agent=replace(AGENT, too_big=99)) == []


def test_what_a_kernel_was_found_to_refuse_counts_and_its_version_only_where_nothing_was_tried() -> None:
    old = "4.18.0-553.el8.x86_64"  # a distribution's, with rt ipsec taken over

    assert kinds(release=old) == []
    assert kinds(release=old, lacking=Unread("no right")) == [("kernel", "risk")]
    (one,) = found(lacking=["rt ipsec"])
    assert (one.kind, one.severity.value) == ("kernel", "risk") and "rt ipsec" in one.what


def test_a_buffer_beyond_what_the_kernel_takes_is_only_a_note() -> None:
    (one,) = found(wishes=[BufferWish("/etc/pmacct/uacctd.conf", 2_097_152)])

    assert (one.kind, one.severity.value) == ("nlbufsiz", "note") and "2,097,152" in one.what
    assert found(wishes=[BufferWish("/etc/pmacct/uacctd.conf", 131_072)]) == []


def test_a_router_of_which_nothing_can_be_read_has_notes_only() -> None:
    nothing: dict[str, Any] = {
        field.name: Unread("no right") for field in fields(Facts) if str(field.type).startswith("Fact[")
    }
    diagnosis = diagnose(replace(GOOD, **nothing))

    assert diagnosis.standing() == []
    assert {one.kind for one in diagnosis.findings} == set(KINDS) - {"kernel"}


def test_the_worst_finding_comes_first() -> None:
    said = kinds(
        has_conntrack_accounting=False, is_clock_synchronised=False, agent=replace(AGENT, rules_stand=False)
    )

    assert [severity for _, severity in said] == ["wrong", "risk", "note"]


def test_a_diagnosis_is_told_as_json_values() -> None:
    told = diagnose(replace(GOOD, is_clock_synchronised=False)).describe()

    assert told["checked"] == list(KINDS)
    assert set(told["findings"][0]) == {"kind", "severity", "what", "falsifies", "mend"}
    assert type(told["findings"][0]["severity"]) is str
