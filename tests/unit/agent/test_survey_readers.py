"""From what ip and tc printed to links, routes, far ends and rates."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ipsecmon.agent.survey_ip import Link, read_default_routes, read_links
from ipsecmon.agent.survey_tc import Shaper, read_redirect, read_shaper
from ipsecmon.agent.survey_xfrm import Sighting, read_policies, read_states
from ipsecmon.errors import SourceError
from tests.unit.agent.recorded import OWN, recorded

NEAR = ("203.0.113.1",)


def links() -> dict[str, Link]:
    found = read_links(recorded("links.json"), recorded("addresses.json"))
    return {link.name: link for link in found}


def routes(*entries: dict[str, Any]) -> tuple[str, ...]:
    return read_default_routes(json.dumps([{"dst": "default", **entry} for entry in entries]))


def test_a_link_has_its_kind_addresses_and_global_networks() -> None:
    assert links()["lan0"] == Link(
        "lan0",
        "veth",
        addresses=("10.1.0.1", "fd01::1", "fe80::c446:9eff:fee1:96ca"),
        networks=("10.1.0.0/24", "fd01::/64"),
        lower="p2",
    )


def test_a_vlan_has_its_number_and_what_it_stands_on() -> None:
    vlan = links()["lan0.5"]

    assert (vlan.kind, vlan.number, vlan.lower, vlan.is_up) == ("vlan", "5", "lan0", False)


def test_a_tunnel_has_its_far_end_and_the_kernels_own_have_none() -> None:
    found = links()

    assert {name: found[name].far_end for name in ("gre1", "vti1", "ip6gre1", "gre0", "ipsec1")} == {
        "gre1": "198.51.100.9",
        "vti1": "198.51.100.8",
        "ip6gre1": "2001:db8::9",
        "gre0": "",
        "ipsec1": "",
    }
    assert found["ipsec1"].number == "0x7"


def test_ppp_is_told_by_its_link_type_as_not_every_kernel_says_its_kind() -> None:
    text = json.dumps([{"ifname": "ppp0", "link_type": "ppp", "flags": ["POINTOPOINT", "UP"]}])

    assert read_links(text, "[]") == (Link("ppp0", "ppp"),)


def test_default_routes_are_in_the_kernels_order() -> None:
    assert read_default_routes(recorded("routes.json")) == ("wan0", "wan1")


def test_ipv4_comes_before_ipv6_and_the_main_table_before_others() -> None:
    assert routes(
        {"dev": "wan2", "gateway": "192.0.2.1", "table": "7"},
        {"dev": "sit1", "pref": "medium"},
        {"dev": "ppp0"},
    ) == ("ppp0", "sit1", "wan2")


def test_tables_come_in_the_order_that_any_packet_is_looked_up_in_them() -> None:
    hops = [{"dst": "default", "dev": name, "table": name} for name in ("marked", "unused", "late", "early")]
    text = json.dumps([{"dst": "default", "dev": "main", "metric": 100}, *hops])
    rules = [
        {"priority": 32766, "src": "all", "table": "main"},
        {"priority": 40000, "src": "all", "table": "late"},
        {"priority": 100, "src": "all", "table": "early", "protocol": "static"},
        {"priority": 10, "src": "all", "fwmark": "0x1", "table": "marked"},
        {"priority": 11, "src": "192.0.2.9", "table": "marked"},
        {"priority": 12, "not": None, "src": "all", "table": "marked"},
    ]

    found = read_default_routes(text, json.dumps(rules))
    assert found == ("early", "main", "late", "marked", "unused")


def test_of_one_table_the_lower_metric_comes_first() -> None:
    assert routes({"dev": "a", "metric": 200}, {"dev": "b", "metric": 100}, {"dev": "c"}) == ("c", "b", "a")


def test_each_hop_of_a_multipath_route_is_a_way_out() -> None:
    hops = [{"gateway": "192.0.2.1", "dev": "a", "weight": 1}, {"gateway": "192.0.2.2", "dev": "b"}]

    assert routes({"nexthops": hops, "flags": []}) == ("a", "b")


def test_a_route_that_leads_nowhere_is_no_way_out() -> None:
    assert routes({"type": "unreachable", "dev": "lo", "pref": "medium"}, {"dev": "lo"}) == ()


@pytest.mark.parametrize("text", ["", "[ ]\n", "[{}]", "{}", "[1]", "null"])
def test_no_route_at_all_is_an_empty_answer(text: str) -> None:
    assert read_default_routes(text) == ()


def test_an_ip_that_knows_no_json_is_told() -> None:
    with pytest.raises(SourceError, match="iproute2"):
        read_default_routes("default via 192.0.2.1 dev eth0\n")


def test_the_far_end_of_each_sa_is_seen_and_whether_its_esp_is_in_udp() -> None:
    assert list(read_states(recorded("states.txt"), OWN)) == [
        Sighting("198.51.100.20", True, True, NEAR),
        Sighting("198.51.100.20", True, True, NEAR),
        Sighting("198.51.100.7", True, near_ends=NEAR, if_ids=(7,)),
        Sighting("198.51.100.7", True, near_ends=NEAR),
    ]


def test_a_policy_of_an_xfrm_interface_names_it() -> None:
    """As ip(8) prints one, from the kernel."""
    text = "src 10.1.0.0/24 dst 10.2.0.0/24 \n\tdir out priority 0 ptype main \n\ttmpl src 203.0.113.1"
    text += " dst 198.51.100.7\n\t\tproto esp reqid 1 mode tunnel\n\tif_id 0x17\n"

    assert [one.if_ids for one in read_policies(text, OWN)] == [(0x17,)]


def test_the_far_end_of_a_policy_is_its_templates_or_in_transport_mode_the_selectors() -> None:
    assert list(read_policies(recorded("policies.txt"), OWN)) == [
        Sighting("198.51.100.20", False, near_ends=NEAR, is_l2tp=True),
        Sighting("198.51.100.7", False, near_ends=NEAR, is_l2tp=False),
    ]


def test_ipsec_between_two_others_is_not_ours() -> None:
    assert list(read_states(recorded("states.txt"), ("192.0.2.77",))) == []
    assert list(read_policies(recorded("policies.txt"), ("192.0.2.77",))) == []


def test_a_transport_policy_for_a_whole_network_has_no_far_end() -> None:
    text = recorded("policies.txt").replace("198.51.100.20/32", "198.51.100.0/24")

    assert [one.address for one in read_policies(text, OWN)] == ["198.51.100.7"]


def test_a_socket_policy_or_one_that_passes_has_no_far_end() -> None:
    text = "src 0.0.0.0/0 dst 0.0.0.0/0 \n\tsocket out priority 0 ptype main \n"
    text += "src 10.1.0.0/24 dst 203.0.113.1/32 \n\tdir out priority 0 ptype main \n"

    assert list(read_policies(text, OWN)) == []


@pytest.mark.parametrize(
    ("qdiscs", "classes", "shaper"),
    [
        ("qdiscs-htb.txt", "classes-htb.txt", Shaper("htb", 1_544_000)),
        ("qdiscs-tbf.txt", None, Shaper("tbf", 16_000_000)),
        ("qdiscs-cake.txt", None, Shaper("cake", 16_000_000)),
        ("qdiscs-htb.txt", None, None),
    ],
)
def test_the_root_queueing_discipline_tells_the_rate(
    qdiscs: str, classes: str | None, shaper: Shaper | None
) -> None:
    assert read_shaper(recorded(qdiscs), recorded(classes) if classes else "") == shaper


@pytest.mark.parametrize(
    "qdiscs",
    [
        "",
        "qdisc noqueue 0: root refcnt 2 \n",
        "qdisc cake 1: root refcnt 2 bandwidth unlimited diffserv3\n",
        "qdisc mq 0: root \nqdisc tbf 1: parent :1 rate 16Mbit burst 20Kb lat 50ms\n",
        "qdisc hfsc 8001: root refcnt 2 \n",
    ],
)
def test_what_does_not_bound_the_whole_interface_tells_no_rate(qdiscs: str) -> None:
    assert read_shaper(qdiscs, "") is None


def test_several_root_classes_tell_no_rate() -> None:
    assert read_shaper(recorded("qdiscs-htb.txt"), recorded("classes-htb.txt") * 2) is None


def test_inbound_shaping_is_found_through_its_ifb() -> None:
    assert read_redirect(recorded("ingress.txt")) == "ifb0"
    assert read_redirect("") is None
