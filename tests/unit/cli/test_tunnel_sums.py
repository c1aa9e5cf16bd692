"""Tunnels as people ask for them: which, with which peers, and what their numbers add up to."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ipsecmon.cli.tunnel_notes import tunnel_notes
from ipsecmon.cli.tunnel_sums import tunnels_of
from ipsecmon.model import OTHER_PEERS, UNKNOWN_PEER, UNNAMED, Direction
from tests.unit.cli.tunnel_cases import IN, NOW_S, OUT, UNKNOWN, VPN, WORST, found, row, tunnel


def test_the_configs_tunnels_come_first_and_unnamed_last() -> None:
    rows = (row(IN, 5, 1, tunnel=UNNAMED), row(IN, 5, 1, tunnel="of-old"), row(IN, 5, 1, tunnel="second"))
    told = tunnels_of(found(*rows), ("first", "second"), {})
    assert [one.name for one in told] == ["first", "second", "of-old", UNNAMED]


def test_a_tunnel_of_the_config_is_there_before_anything_passed() -> None:
    (one,) = tunnels_of(found(), (VPN,), {})
    assert (one.peers, one.sas, one.rekeys, one.lost_packets) == ((), 0, 0, 0)
    assert list(one.ways) == [IN, OUT] and one.sum("octets") == 0
    assert (one.loss_ratio, one.overhead_ratio, one.latest("added_s")) == (None, None, None)
    assert tunnel_notes(one) == []


def test_peers_are_summed_by_direction() -> None:
    ends = [row(way, 100 * n, n, peer=f"203.0.113.{n}", sas=1) for n in (2, 3) for way in (IN, OUT)]
    one = tunnel(*ends)
    assert (one.ways[IN].total.octets, one.ways[OUT].total.packets, one.sas) == (500, 5, 4)


def test_peers_with_sas_alive_are_told_in_the_order_of_addresses() -> None:
    peers = (OTHER_PEERS, "2001:db8::1", "203.0.113.20", "203.0.113.3")
    dead = row(IN, 1, 1, peer="203.0.113.1", last_used_s=NOW_S)
    one = tunnel(dead, *(row(IN, 1, 1, peer=peer, sas=1) for peer in peers))
    assert one.peers == ("203.0.113.3", "203.0.113.20", "2001:db8::1", OTHER_PEERS)


def test_without_sas_the_peers_last_used_are_told_first() -> None:
    rows = (
        row(IN, 1, 1, peer="203.0.113.1", last_used_s=NOW_S - 50),
        row(IN, 1, 1, peer="203.0.113.9", last_used_s=NOW_S - 9),
        row(OUT, 1, 1, peer="203.0.113.5"),
    )
    assert tunnel(*rows).peers == ("203.0.113.9", "203.0.113.1", "203.0.113.5")


def test_a_rekey_of_both_directions_is_one() -> None:
    rows = [row(IN, rekeys=3), row(OUT, rekeys=3), row(OUT, peer="203.0.113.9", rekeys=2)]
    assert tunnel(*rows).rekeys == 5


def test_the_age_is_of_the_newest_sa_alive() -> None:
    rows = [row(IN, sas=1, added_s=NOW_S - 90), row(OUT, added_s=NOW_S - 1), row(OUT, sas=1)]
    assert tunnel(*rows).latest("added_s") == NOW_S - 90


def test_a_direction_that_is_not_known_is_neither_in_nor_out() -> None:
    one = tunnel(row(IN, 10, 1), row(UNKNOWN, 1_500, 2, peer=UNKNOWN_PEER, sas=1))
    assert one.ways[IN].total.octets == 10 and one.ways[UNKNOWN].total.octets == 1_500
    said = "1.5 kB in 2 packets of SAs whose direction is not known (1 alive) are neither in nor out"
    assert tunnel_notes(one) == [said]


def test_path_loss_is_a_share_of_what_was_sent_to_us() -> None:
    one = tunnel(row(IN, 9_000, 90, sas=1, lost_packets=10), row(OUT, 9_000, 500, sas=1))
    assert (one.lost_packets, one.loss_ratio) == (10, 0.1)


def test_path_loss_is_not_known_where_no_inbound_sa_alive_has_anti_replay() -> None:
    off: dict[str, Any] = {"sas": 2, "sas_without_anti_replay": 2}
    one = tunnel(row(IN, 9_000, 90, lost_packets=10, **off), row(OUT, sas=1))
    assert (one.lost_packets, one.loss_ratio) == (None, None)
    assert tunnel_notes(one) == ["anti-replay is off: path loss is not known"]


def test_outbound_sas_need_no_anti_replay() -> None:
    one = tunnel(row(IN, 9_000, 90, sas=1), row(OUT, sas=1, sas_without_anti_replay=1))
    assert one.lost_packets == 0 and tunnel_notes(one) == []


def test_some_sas_without_anti_replay_are_said() -> None:
    one = tunnel(row(IN, 9_000, 90, sas=3, sas_without_anti_replay=1))
    assert one.lost_packets == 0
    assert tunnel_notes(one) == ["anti-replay is off in 1 of 3 inbound SAs: their path loss is not known"]


def test_overhead_is_octets_on_the_line_over_inner_octets() -> None:
    assert tunnel(row(IN, 1_000, 1), row(OUT, 3_000, 3), wire=2_200).overhead_ratio == 1.1


def test_overhead_is_not_known_of_a_part_alone() -> None:
    unknown = row(UNKNOWN, 1_000, 1, peer=UNKNOWN_PEER)
    assert tunnel(row(IN, 1_000, 1), unknown, wire=2_200).overhead_ratio is None
    assert tunnel(row(IN, 1_000, 1)).overhead_ratio is None


def test_less_on_the_line_than_inside_is_said() -> None:
    (said,) = tunnel_notes(tunnel(row(IN, 1_000, 1), wire=56))
    assert said.startswith("fewer octets on the line than inside: its ESP goes another way")


def test_what_passed_while_no_agent_ran_is_not_in_the_rate() -> None:
    way = tunnel(row(IN, last_octets=3_000, last_bridged_octets=2_000, last_packets=30)).ways[IN]
    assert (way.bits_per_s(10), way.packets_per_s(10), way.bits_per_s(0)) == (800, 3, None)


def test_an_error_bound_is_said_with_its_direction() -> None:
    bound: dict[str, Any] = {"error_bound_octets": 12_345, "error_bound_packets": 20, "unseen_ends": 2}
    said = "up to 12,345 octets and 20 packets more outbound: the end of 2 SAs was not seen"
    assert tunnel_notes(tunnel(row(OUT, 1, 1, **bound))) == [said]


def test_an_end_without_a_bound_is_said() -> None:
    (said,) = tunnel_notes(tunnel(row(IN, 1, 1, unseen_ends=1, unbounded_ends=1)))
    assert said.startswith("more inbound, and nothing tells how much: the end of 1 SA was not seen")


def test_packets_that_were_dropped_are_said() -> None:
    assert tunnel_notes(tunnel(row(IN, 9_000, 90, sas=1, **WORST))) == [
        "3 packets failed the integrity check",
        "4 packets were dropped as seen before",
        "5 packets were dropped as too late for the replay window",
    ]


def test_derived_headers_are_said() -> None:
    (said,) = tunnel_notes(tunnel(row(IN, 1_024, 1, derived_octets=20, payload_octets=1_004)))
    assert said.startswith("transport or BEET mode: 20 octets of IP headers")


@given(
    st.lists(
        st.tuples(
            st.sampled_from((VPN, "branch-berlin", UNNAMED)),
            st.sampled_from(("203.0.113.1", "2001:db8::1", OTHER_PEERS)),
            st.sampled_from((IN, OUT, UNKNOWN)),
            st.integers(0, 2**62),
        ),
        unique_by=lambda one: one[:3],
    )
)
def test_no_octet_of_the_store_is_missing_or_told_twice(keys: list[tuple[str, str, Direction, int]]) -> None:
    rows = [row(way, octets, 1, tunnel=name, peer=peer) for name, peer, way, octets in keys]
    told = tunnels_of(found(*rows), (VPN,), {})
    assert sum(one.sum("octets") for one in told) == sum(octets for *_, octets in keys)
    assert sum(one.sum("packets") for one in told) == len(keys)
