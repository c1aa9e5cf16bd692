"""The proposed text: right for `check`, and it tells what is not counted yet."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipsecmon.agent.plan import build_plan
from ipsecmon.agent.survey import Survey, survey
from ipsecmon.agent.survey_config import render_config
from ipsecmon.agent.survey_ike import Connection
from ipsecmon.agent.survey_ip import Link
from ipsecmon.agent.survey_peers import Tunnel
from ipsecmon.agent.survey_tc import Shaper
from ipsecmon.config import Config, parse
from tests.unit.agent.recorded import router

WAN = Link("wan0")


def checked(text: str) -> Config:
    """As `ipsecmon check` does it."""
    config = parse(text, "proposed.yaml")
    build_plan(config, lambda name: ("192.0.2.1",))
    return config


def proposed(**found: Any) -> str:
    return render_config(Survey(**{"router": "gw", "line": WAN, **found}))


def test_one_of_everything_is_a_config_that_passes() -> None:
    connections = (Connection("hq-berlin", ("198.51.100.7",)), Connection("rw"))
    text = render_config(survey(router(connections=connections, unread=("IPsec SAs: no\nway",))))
    config = checked(text)

    assert config.router == "hq-gw1"
    assert [(line.name, line.interface) for line in config.lines] == [("internet", "wan0")]
    assert [(one.name, one.ipsec.peers[0]) for one in config.counters if one.ipsec] == [
        ("hq-berlin", "198.51.100.7"),
        ("vti1", "198.51.100.8"),
    ]
    for told in (
        "wan1 has a default route too",
        "rw: anybody may call",
        "now: 198.51.100.20",
        "gre1: GRE to 198.51.100.9",
        "inside: xfrm   # ipsec1: layer by layer",
    ):
        assert told in text
    assert "# Not seen: IPsec SAs: noway\n" in text


def test_every_comment_that_is_a_setting_passes_too() -> None:
    """What a user uncomments must not be refused."""
    lans = (Link("lan0", networks=("10.1.0.0/24", "fd01::/64")), Link("lan0.5", networks=("10.1.5.0/24",)))
    rows = proposed(lans=lans).splitlines()
    mended = [row.replace("# ", "", 1) if row.startswith(("  # -", "  #   ")) else row for row in rows]
    config = checked("\n".join(mended))

    assert [counter.name for counter in config.counters] == ["branch", "web", "lan0", "lan0.5"]


def test_rates_of_both_directions_are_the_capacity() -> None:
    text = proposed(shaper_in=Shaper("cake", 16_000_000), shaper_out=Shaper("htb", 1_544_000))
    capacity = checked(text).lines[0].capacity

    assert capacity is not None
    assert (capacity.in_bits_per_s, capacity.out_bits_per_s) == (16_000_000, 1_544_000)


def test_a_guessed_inbound_rate_says_that_it_is_one() -> None:
    text = proposed(shaper_out=Shaper("tbf", 999))

    assert "capacity: {in: 999bit, out: 999bit}" in text
    assert "a guess" in text
    assert checked(text).lines[0].capacity is not None


def test_a_peer_that_does_not_resolve_stands_as_a_comment() -> None:
    text = proposed(tunnels=(Tunnel("lost", "lost.example.net", can_start=False),))

    assert "  # - name: lost\n" in text
    assert checked(text).counters == ()


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (Link("ppp0", "ppp"), "PPP (such as PPPoE)"),
        (Link("ppp0", "ppp", lower="eth0"), "PPPoE on eth0: counted here, not on eth0"),
        (Link("eth0.7", "vlan", number="7", lower="eth0"), "VLAN 7 on eth0"),
    ],
)
def test_the_kind_of_the_line_is_explained(line: Link, told: str) -> None:
    text = proposed(line=line)

    assert told in text
    assert checked(text).lines[0].interface == line.name


def test_another_way_out_is_told_with_what_counts_it() -> None:
    text = proposed(other_lines=(Link("wan1"), Link("wg0", "wireguard")))

    assert "# wan1 has a default route too. One line is counted so far; to count that one:" in text
    assert "ipsecmon init --line wan1\n" in text
    assert "# wg0, a tunnel, has a default route too\n" in text


def test_a_tunnel_on_another_way_out_is_counted_inside() -> None:
    text = proposed(tunnels=(Tunnel("berlin", "198.51.100.7", other_line="wan1"),))

    assert "# leaves by wan1, not by the line: only its inside is counted\n" in text


def test_gre_is_told_with_the_peer_that_it_counts_with_or_as_clear() -> None:
    gre = Link("gre1", "gre", far_end="198.51.100.7")
    berlin = Tunnel("berlin", "198.51.100.7", addresses=("198.51.100.7",))

    assert "in the IPsec of berlin: counted with it" in proposed(links=(gre,), tunnels=(berlin,))
    assert "    inside: gre   # gre1: layer by layer\n" in proposed(links=(gre,), tunnels=(berlin,))
    assert "inside: gre" not in proposed(links=(gre,))
    assert "no IPsec was seen: in the built-in part `gre` on the line" in proposed(links=(gre,))


XFRM = Link("ipsec1", "xfrm", number="0x7")
PARENT = Tunnel("parent", "198.51.100.7", addresses=("198.51.100.7",), if_ids=(7,))


def test_an_xfrm_interface_is_the_inside_of_the_tunnel_whose_sas_have_its_if_id() -> None:
    text = proposed(links=(XFRM, Link("ipsec2", "xfrm", number="0x8")), tunnels=(PARENT,))

    assert "    inside: xfrm   # ipsec1: layer by layer\n" in text
    assert [counter.inside for counter in checked(text).counters] == ["xfrm"]
    assert "# - ipsec1: an xfrm interface (if_id 0x7); its IPsec is that of parent: counted with it" in text
    assert "# - ipsec2: an xfrm interface (if_id 0x8); no IPsec of a fixed peer was seen for it\n" in text


def test_an_xfrm_interface_of_several_tunnels_is_no_one_s_inside() -> None:
    lyon = Tunnel("lyon", "198.51.100.8", addresses=("198.51.100.8",), if_ids=(7,))
    text = proposed(links=(XFRM,), tunnels=(PARENT, lyon))

    assert "inside: xfrm" not in text
    assert "its IPsec is that of parent, lyon together" in text
    checked(text)


def test_beside_gre_an_xfrm_interface_is_a_choice() -> None:
    gre = Link("gre1", "gre", far_end="198.51.100.7")
    text = proposed(links=(XFRM, gre), tunnels=(PARENT,))

    assert [counter.inside for counter in checked(text).counters] == ["gre"]
    assert "  #   inside: xfrm   # ipsec1: layer by layer, instead\n" in text


@pytest.mark.parametrize("number", ["", "0x0", "0x7 ", "seven", "-7", "0x123456789"])
def test_what_is_no_if_id_is_none(number: str) -> None:
    assert Link("ipsec1", "xfrm", number=number).if_id == 0


def test_hundreds_of_peers_get_groups_and_the_rest_is_told() -> None:
    tunnels = tuple(Tunnel(f"t{number}", f"10.{number // 256}.{number % 256}.1") for number in range(510))
    text = proposed(tunnels=tunnels)

    assert len(checked(text).counters) == 500
    assert "10 more peers" in text


@given(
    st.text(min_size=1, max_size=80), st.text(max_size=80), st.sampled_from(["%any", "198.51.100.9", "a.b"])
)
def test_any_names_on_a_machine_make_a_config_that_passes(name: str, other: str, remote: str) -> None:
    remotes = () if remote == "%any" else (remote,)
    connections = (Connection(name, ("2001:db8::7",)), Connection(other, remotes))
    found = survey(
        router(router=name, connections=connections, unread=(other,), resolved={"a.b": ("192.0.2.3",)})
    )

    peers = [counter.ipsec.peers[0] for counter in checked(render_config(found)).counters if counter.ipsec]
    assert {"2001:db8::7", *remotes} <= set(peers)
