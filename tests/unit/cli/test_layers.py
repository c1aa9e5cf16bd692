"""Layers and road warriors as `ipsecmon tunnels` shows them: tables, notes and JSON."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

from rich.console import Console

from ipsecmon.cli.layer_sums import Inside, insides_of
from ipsecmon.cli.layer_table import describe_inside
from ipsecmon.cli.tunnel_notes import tunnel_notes
from ipsecmon.cli.tunnel_table import print_table
from ipsecmon.model import Direction, Layer, LayerKey
from ipsecmon.store import LayerRow
from tests.unit.cli.tunnel_cases import IN, NOW_S, NS, OUT, VPN, answer, found, row

SEEN_NS = (NOW_S - 5) * NS


def layer(
    layer: Layer, octets: int, link: str = "", way: Direction = IN, last: int = 0, ended_s: int = 0
) -> LayerRow:
    key = LayerKey(VPN, layer, link, way)
    seen_ns = SEEN_NS - ended_s * NS
    return LayerRow(key, octets, octets // 100, last, last // 100, seen_ns, not ended_s)


# RFC arithmetic of a 228 octets packet: GRE adds 24, transport ESP with AES-GCM makes 288 of that
GRE = (
    layer(Layer.IP, 2280, "gre1"),
    layer(Layer.IP, 2280, "gre1", OUT),
    layer(Layer.GRE, 2520),
    layer(Layer.GRE, 2520, way=OUT),
    layer(Layer.ESP, 2880),
    layer(Layer.ESP, 2880, way=OUT),
)
WARRIORS = (
    layer(Layer.L2TP, 5000),
    layer(Layer.IP, 1000, "10.9.0.3", ended_s=7200),
    layer(Layer.IP, 3000, "anna", last=1250),
    layer(Layer.IP, 9000, "others"),
)


def inside(*rows: LayerRow) -> Inside:
    return insides_of(rows)[VPN]


def shown(rows: tuple[LayerRow, ...], carries: str, with_links: bool = True) -> str:
    told = answer(found(row(IN, 2520, 25), row(OUT, 2520, 25)))
    (one,) = told.tunnels
    whole = replace(told, tunnels=[replace(one, carries=carries, inside=inside(*rows))])
    text = io.StringIO()
    print_table(whole, Console(file=text, width=120, color_system=None), with_links)
    return text.getvalue()


def test_json_has_each_layer_from_the_line_inwards_with_what_the_step_adds() -> None:
    described: dict[str, Any] = describe_inside(inside(*GRE), 10)
    both = {"octets": 2520, "packets": 25}
    assert [one["layer"] for one in described["layers"]] == ["esp", "gre", "ip"]
    assert described["layers"][1] == {"layer": "gre", "in": both, "out": both, "overhead_ratio": 1.1053}
    ratios = [one["overhead_ratio"] for one in described["layers"]]
    assert ratios == [round(2880 / 2520, 4), round(2520 / 2280, 4), None]
    assert (described["warriors"], [one["name"] for one in described["interfaces"]]) == ([], ["gre1"])


def test_json_of_road_warriors_is_by_octets_and_others_are_last() -> None:
    described = describe_inside(inside(*WARRIORS), 10)
    warriors = described["warriors"]
    assert [one["name"] for one in warriors] == ["anna", "10.9.0.3", "others"]
    assert (warriors[0]["in"], warriors[0]["is_up"]) == (
        {"octets": 3000, "packets": 30, "bits_per_s": 1000.0},
        True,
    )
    assert warriors[1]["is_up"] is False
    assert described["interfaces"] == []


def test_the_table_has_each_layer_and_percents() -> None:
    text = shown(GRE, "gre", with_links=False)
    assert f"{VPN}, layer by layer" in text
    rows = {line.split("  ")[1].strip(): line for line in text.splitlines() if line.startswith("  ")}
    assert "+14.3%" in rows["ESP on the line"]
    assert "+10.5%" in rows["GRE"]
    assert "–" in rows["IP in it"]
    assert "interfaces" not in text


def test_road_warriors_are_a_table_of_their_own() -> None:
    text = shown(WARRIORS, "l2tp")
    (anna,) = (line for line in text.splitlines() if "anna" in line)
    assert "1.0 kbit/s" in anna
    assert "now" in anna
    (gone,) = (line for line in text.splitlines() if "10.9.0.3" in line)
    assert "2.0 h ago" in gone


def test_gre_without_an_interface_is_said_and_l2tp_without_a_session_is_not() -> None:
    told = answer(found(row(IN, 100, 1)))
    (one,) = told.tunnels
    (note,) = tunnel_notes(replace(one, carries="gre"))
    assert note.startswith("no GRE interface is known to lead through it")
    assert tunnel_notes(replace(one, carries="l2tp")) == []
    assert tunnel_notes(replace(one, carries="gre", inside=inside(*GRE))) == []


def test_an_xfrm_interface_adds_nothing_and_a_tunnel_without_one_says_so() -> None:
    rows = (layer(Layer.IP, 2280, "ipsec0"), layer(Layer.XFRM, 2280), layer(Layer.ESP, 2840))
    described = describe_inside(inside(*rows), 10)
    assert [one["layer"] for one in described["layers"]] == ["esp", "xfrm", "ip"]
    assert [one["overhead_ratio"] for one in described["layers"]] == [round(2840 / 2280, 4), 1.0, None]
    (one,) = answer(found(row(IN, 100, 1))).tunnels
    (note,) = tunnel_notes(replace(one, carries="xfrm"))
    assert note.startswith("no xfrm interface is known to be of it alone")
    assert tunnel_notes(replace(one, carries="xfrm", inside=inside(*rows))) == []


def test_a_tunnel_without_inside_has_no_layers() -> None:
    assert describe_inside(Inside(), 10) == {"layers": [], "warriors": [], "interfaces": []}
