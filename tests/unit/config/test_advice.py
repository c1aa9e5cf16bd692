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
    (tmp_path / "eth1").mkdir(exist_ok=True)
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


def test_esp_is_nobodys_where_a_host_name_turns_out_to_be_a_narrower_tunnels_peer(tmp_path: Path) -> None:
    narrow = PEERS.replace("berlin.example.net", "berlin.example.net, reqid: 7")
    found = warned(narrow, tmp_path, {"berlin.example.net": ("192.0.2.1",)})
    why = "its ESP on the wire is counted in esp and nat-t, and told by SPI: "
    why += "a rule tells a tunnel by its peer alone"
    assert found[2:] == [
        f"counter berlin: {why}",
        f"counter parent: {why}, and counter berlin names this peer too",
    ]


def test_what_rules_cannot_tell_is_no_news_where_there_are_none_of_ours(tmp_path: Path) -> None:
    connection = PEERS.replace("peer: 192.0.2.1", "connection: psk")
    assert len(warned(connection, tmp_path, {})) == 3
    assert len(warnings(parse(f"{connection}rules: off\n", "f"), tmp_path, lambda name: ())) == 2


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


def test_gre_inside_without_a_gre_interface_is_told(tmp_path: Path) -> None:
    text = "line: {name: T1, interface: eth1}\ncounters: {name: a, ipsec: {peer: 192.0.2.1}, inside: gre}\n"
    for name, kind in (("gre0", "778"), ("gre1", "1")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "type").write_text(f"{kind}\n")
        (tmp_path / name / "uevent").write_text(f"INTERFACE={name}\n")
    (found,) = warned(text, tmp_path, {})
    assert found.startswith("counter a: there is no GRE interface now")
    assert warned(text.replace("inside: gre", "inside: l2tp"), tmp_path, {}) == []
    (tmp_path / "gre1" / "type").write_text("778\n")
    assert warned(text, tmp_path, {}) == []
    (tmp_path / "gre1" / "type").write_text("1\n")
    (tmp_path / "gre1" / "uevent").write_text("DEVTYPE=ip6gretap\nINTERFACE=gre1\n")
    assert warned(text, tmp_path, {}) == []


def test_a_file_of_names_that_is_not_there_is_told(tmp_path: Path) -> None:
    text = f"line: {{name: T1, interface: eth1}}\nwarriors: {{names: {tmp_path / 'names'}}}\n"
    assert warned(text, tmp_path, {}) == [f"warriors: names {tmp_path / 'names'} cannot be read now"]
    (tmp_path / "names").write_text("")
    assert warned(text, tmp_path, {}) == []
