"""From answers to what a config should hold."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ipsecmon.agent.survey import Survey, survey
from ipsecmon.agent.survey_ike import Connection
from ipsecmon.agent.survey_peers import Tunnel
from ipsecmon.errors import SourceError
from tests.unit.agent.recorded import recorded, router

RW = Connection("rw")


def tunnel(name: str, peer: str, **more: Any) -> Tunnel:
    """As seen in the kernel, from the line's address."""
    return Tunnel(name, peer, **{"addresses": (peer,), "near_ends": ("203.0.113.1",), **more})


def names(found: Survey) -> dict[str, str]:
    return {tunnel.name: tunnel.peer for tunnel in found.tunnels}


def test_the_line_is_the_first_default_routes_and_the_others_are_told() -> None:
    found = survey(router())

    assert found.line.name == "wan0"
    assert [link.name for link in found.other_lines] == ["wan1"]


def test_a_default_route_into_a_tunnel_is_not_the_line() -> None:
    found = survey(router(routes='[{"dst":"default","dev":"gre1"},{"dst":"default","dev":"wan1"}]'))

    assert found.line.name == "wan1"
    assert [link.name for link in found.other_lines] == ["gre1"]


def test_without_a_default_route_the_line_has_to_be_named() -> None:
    with pytest.raises(SourceError, match=r"--line INTERFACE \(there are .*wan0"):
        survey(router(routes="[ ]"))

    assert survey(router(routes="[ ]"), "wan1").line.name == "wan1"


def test_a_line_that_is_not_there_is_refused() -> None:
    with pytest.raises(SourceError, match="no such interface: wan9"):
        survey(router(), "wan9")


def test_peers_of_the_kernel_have_their_address_as_name() -> None:
    assert survey(router()).tunnels == (
        Tunnel("vti1", "198.51.100.8", addresses=("198.51.100.8",)),
        tunnel("ipsec-198.51.100.7", "198.51.100.7", has_sas=True, if_ids=(7,)),
    )


def test_a_policy_alone_is_enough_for_a_tunnel() -> None:
    found = survey(router(states=None))

    assert tunnel("ipsec-198.51.100.7", "198.51.100.7") in found.tunnels


def test_who_is_known_by_l2tp_only_is_a_caller() -> None:
    assert survey(router()).callers == ("198.51.100.20",)
    assert survey(router(policies=None)).callers == ()


def test_a_caller_by_l2tp_that_a_connection_names_is_a_tunnel() -> None:
    found = survey(router(connections=(Connection("office", ("198.51.100.20",)),)))

    assert names(found)["office"] == "198.51.100.20"
    assert found.callers == ()


def test_a_peer_of_a_gre_interface_has_that_interfaces_name() -> None:
    policies = recorded("policies.txt").replace("198.51.100.7", "198.51.100.9")

    assert names(survey(router(states=None, policies=policies)))["gre1"] == "198.51.100.9"


def test_a_gre_interface_fixes_its_peer_even_where_anybody_may_call() -> None:
    policies = recorded("policies.txt").replace("198.51.100.7", "198.51.100.9")
    found = survey(router(states=None, policies=policies, connections=(RW,)))

    assert names(found)["gre1"] == "198.51.100.9"
    assert found.callers == ("198.51.100.20",)


def test_peers_are_in_the_order_of_their_addresses_whatever_the_kernels() -> None:
    text = recorded("policies.txt")
    policies = "".join(text.replace("198.51.100.7", f"198.51.100.{last}") for last in (30, 4, 100))

    assert [one.peer for one in survey(router(states=None, policies=policies)).tunnels[1:]] == [
        "198.51.100.4",
        "198.51.100.30",
        "198.51.100.100",
    ]


@pytest.mark.parametrize("name", ["(none)", "localhost", "", "\n"])
def test_a_machine_without_a_name_of_its_own_is_a_router(name: str) -> None:
    assert survey(router(router=name)).router == "router"


def test_a_tunnel_that_ends_on_another_way_out_is_told() -> None:
    policies = recorded("policies.txt").replace("203.0.113.1", "192.0.2.9")
    answers = router(states=None, policies=policies)

    assert {one.name: one.other_line for one in survey(answers).tunnels} == {
        "vti1": "",
        "ipsec-198.51.100.7": "wan1",
    }
    assert {one.other_line for one in survey(answers, "wan1").tunnels} == {""}


def test_a_connection_lends_its_name_and_its_peer_is_one_tunnel() -> None:
    berlin, spare = (Connection(name, ("198.51.100.7",)) for name in ("hq-berlin", "spare"))
    found = survey(router(connections=(berlin, spare)))

    assert tunnel("hq-berlin", "198.51.100.7", also=("spare",), has_sas=True, if_ids=(7,)) in found.tunnels
    assert list(names(found).values()).count("198.51.100.7") == 1


def test_a_host_name_and_its_address_are_one_peer() -> None:
    berlin = Connection("hq-berlin", ("berlin.example.net",))
    addresses = ("198.51.100.7", "2001:db8::7")
    found = survey(router(connections=(berlin,), resolved={"berlin.example.net": addresses}))

    assert (
        tunnel("hq-berlin", "berlin.example.net", addresses=addresses, has_sas=True, if_ids=(7,))
        in found.tunnels
    )
    assert "198.51.100.7" not in names(found).values()


def test_a_host_name_without_an_address_cannot_start() -> None:
    found = survey(router(connections=(Connection("lost", ("lost.example.net",)),)))

    assert Tunnel("lost", "lost.example.net", can_start=False) in found.tunnels


def test_a_far_end_that_is_ourselves_is_none() -> None:
    ours = Connection("ours", ("203.0.113.1", "hq.example.net"))
    found = survey(router(connections=(ours,), resolved={"hq.example.net": ("203.0.113.1",)}))

    assert "ours" not in names(found)


def test_where_anybody_may_call_a_peer_that_no_connection_names_is_a_caller() -> None:
    found = survey(router(connections=(Connection("hq-berlin", ("198.51.100.7",)), RW)))

    assert found.road_warriors == ("rw",)
    assert found.callers == ("198.51.100.20",)
    assert set(names(found)) == {"hq-berlin", "vti1"}


def test_names_differ_in_more_than_case_and_from_built_in_parts() -> None:
    taken = ("ESP", "a", "A", "internet", "ａ", "a-2", " \x1b\n", "x" * 99)
    connections = tuple(
        Connection(name, (f"198.51.100.{100 + number}",)) for number, name in enumerate(taken)
    )
    found = survey(router(connections=connections))

    assert list(names(found))[: len(taken)] == [
        "ESP-2",
        "a",
        "A-2",
        "internet-2",
        "ａ-3",
        "a-2-2",
        "ipsec",
        "x" * 56,
    ]


def test_what_pppoe_goes_over_is_told_and_is_no_inside_network() -> None:
    links = json.dumps(
        [
            {"ifname": "wan0", "flags": ["UP"]},
            {"ifname": "ppp0", "flags": ["UP"], "link_type": "ppp"},
            {"ifname": "ppp1", "flags": ["UP"], "link_type": "ppp"},
        ]
    )
    modem = {"local": "192.168.1.2", "prefixlen": 24, "scope": "global"}
    addresses = json.dumps([{"ifname": "wan0", "addr_info": [modem]}])
    route, session = '[{"dst":"default","dev":"ppp0"}]', "00000100 ea:e2:2e:70:de:9b     wan0\n"
    head = "Id       Address              Device\n"

    def found(number: int, sessions: str) -> Survey:
        some = json.dumps(json.loads(links)[:number])
        return survey(router(links=some, addresses=addresses, routes=route, pppoe=sessions))

    one = found(2, head + session)
    assert (one.line.name, one.line.lower, one.lans) == ("ppp0", "wan0", ())
    for number, sessions in ((2, ""), (2, head), (2, head + session * 2), (3, head + session)):
        assert found(number, sessions).line.lower == "", (number, sessions)
        assert [link.name for link in found(number, sessions).lans] == ["wan0"]


def test_inside_networks_are_those_of_interfaces_that_are_no_line_and_no_tunnel() -> None:
    assert {link.name: link.networks for link in survey(router()).lans} == {
        "lan0": ("10.1.0.0/24", "fd01::/64"),
        "lan0.5": ("10.1.5.0/24",),
    }


def test_tunnel_interfaces_are_told_without_the_kernels_own() -> None:
    assert [link.name for link in survey(router()).links] == ["gre1", "vti1", "ipsec1", "gt0", "ip6gre1"]


def test_the_recorded_texts_hold_no_key() -> None:
    assert recorded("states.txt").count("<<Keys hidden>>") == 6
