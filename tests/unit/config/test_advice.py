"""Warnings: what is not there now, or may not be meant."""

from __future__ import annotations

from pathlib import Path

from ipsecmon.config import parse, warnings
from ipsecmon.config.advice import resolve_host

PEERS = """
line: {name: T1, interface: eth1}
counters:
  - {name: berlin, ipsec: {peer: berlin.example.net}}
  - {name: paris, ipsec: {peer: paris.example.net}}
  - {name: parent, ipsec: {peer: 192.0.2.1}}
"""


def warned(text: str, tmp_path: Path, known: dict[str, tuple[str, ...]]) -> list[str]:
    (tmp_path / "eth1").mkdir()
    return warnings(parse(text, "f"), tmp_path, lambda name: known.get(name, ()))


def test_host_names_of_peers_are_told_with_their_addresses(tmp_path: Path) -> None:
    found = warned(PEERS, tmp_path, {"berlin.example.net": ("192.0.2.9", "2001:db8::9")})
    assert found == [
        "counter berlin: peer berlin.example.net resolves to 192.0.2.9, 2001:db8::9",
        "counter paris: peer paris.example.net does not resolve now",
    ]


def test_a_host_name_that_is_another_counters_peer_is_told(tmp_path: Path) -> None:
    found = warned(PEERS, tmp_path, {"berlin.example.net": ("192.0.2.1",)})
    assert "counter parent: peer 192.0.2.1 is counter berlin's too, which comes first" in found


def test_an_interface_that_is_not_there_is_told(tmp_path: Path) -> None:
    text = "line: [{name: A, interface: eth1}, {name: B, interface: eth9}]"
    assert warned(text, tmp_path, {}) == ["line B: there is no interface eth9 now"]


def test_a_token_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t", encoding="utf-8")
    sink = "{url: 'http://127.0.0.1', org: o, bucket: b, token_file: %s}"
    text = "line: {name: T1, interface: eth1}\nsinks:\n"
    for name in ("token", "none"):
        text += f"  - influxdb: {sink % (tmp_path / name)}\n"
    assert warned(text, tmp_path, {}) == [f"sink influxdb: token_file {tmp_path}/none cannot be read now"]


def test_ike_inside_a_tunnel_is_no_mistake(tmp_path: Path) -> None:
    match = "match: {proto: udp, port: 500}, inside_tunnel: parent"
    text = PEERS.partition("  - {name: berlin")[0] + "  - {name: parent, ipsec: {peer: 192.0.2.1}}\n"
    assert warned(f"{text}  - {{name: ike2, {match}}}\n", tmp_path, {}) == []


def test_localhost_resolves_and_an_impossible_name_does_not() -> None:
    assert {"127.0.0.1", "::1"} & set(resolve_host("localhost"))
    assert resolve_host("a" * 64 + ".example") == ()
