"""Reading a file: what it becomes, and what is said when it cannot be read."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path

import pytest

from ipsecmon.config import ConfigErrors, load, parse
from ipsecmon.config.document import MAX_OCTETS
from ipsecmon.config.reference import EXAMPLE
from ipsecmon.errors import ConfigError
from ipsecmon.model import Direction, ObservationPoint

LINE = "line: {name: T1, interface: eth1}\n"


def refusal(path: Path) -> str:
    with pytest.raises(ConfigErrors) as caught:
        load(path)
    return str(caught.value).replace(str(path), "FILE")


def test_the_shipped_example_becomes_plain_values() -> None:
    config = load(EXAMPLE)
    assert (config.router, config.interval_s, config.rules) == ("hq-gw1", 10, "managed")
    assert config.nfmark.mask == 0x00FF0000
    assert [(line.name, line.interface) for line in config.lines] == [("T1", "eth1")]
    capacity = config.lines[0].capacity
    assert capacity is not None
    assert (capacity.in_bits_per_s, capacity.out_bits_per_s) == (1_544_000, 1_544_000)
    assert config.store.retention_s == 400 * 86400
    assert config.nflog.receive_buffer_octets == 32 * 2**20
    assert config.nflog.groups == tuple(range(5600, 6000))
    assert [sink.kind for sink in config.sinks] == ["influxdb", "file"]
    assert config.sinks[1].settings.model_dump()["counters"] == ("web", "guests", "T1")


def test_the_counters_of_the_shipped_example_become_neutral_conditions() -> None:
    by_name = {counter.name: counter for counter in load(EXAMPLE).counters}
    tunnel, voice, pinned = by_name["VPN-to-parent"], by_name["voice"], by_name["voip-in-parent"]
    assert tunnel.ipsec is not None
    assert tunnel.ipsec.peers == ("198.51.100.7",)
    assert voice.match is not None
    assert voice.match.protocols == (17,)
    assert voice.match.port == ((5060, 5061), (16384, 32767))
    assert voice.match.local == (ip_network("10.1.6.0/24"), ip_network("fd01:0:0:6::/64"))
    assert pinned.inside_tunnel == "VPN-to-parent"
    assert pinned.pins == ((5700, Direction.IN, ObservationPoint.INNER),)


def test_defaults_need_only_a_line() -> None:
    config = parse(LINE, "f")
    assert config.router
    assert (config.interval_s, config.backend, config.counters, config.sinks) == (10, "auto", (), ())
    assert config.store.path == Path("/var/lib/ipsecmon")


def test_words_that_other_yaml_readers_take_for_something_else_stay_words() -> None:
    text = (
        LINE
        + "nfmark: {use: off}\ncounters: [{name: 12:30, match: {port: 0080}}, {name: no, match: {port: 1}}]"
    )
    config = parse(text, "f")
    assert config.nfmark.use == "off"
    assert [counter.name for counter in config.counters] == ["12:30", "no"]
    assert config.counters[0].match is not None
    assert config.counters[0].match.port == ((80, 80),)


def test_overlapping_ports_and_networks_are_merged() -> None:
    match = "{port: [90-100, 80-90, 101], host: [10.0.0.128/25, 10.0.0.0/25, 10.0.0.7]}"
    parsed = parse(f"{LINE}counters: {{name: a, match: {match}}}", "f").counters[0].match
    assert parsed is not None
    assert parsed.port == ((80, 101),)
    assert parsed.host == (ip_network("10.0.0.0/24"),)


def test_ports_without_a_protocol_mean_tcp_and_udp() -> None:
    match = parse(f"{LINE}counters: {{name: a, match: {{port: 53}}}}", "f").counters[0].match
    assert match is not None
    assert (match.proto, match.protocols) == ((), (6, 17))


def test_nflog_groups_keep_their_order_and_come_once() -> None:
    assert parse(LINE + "nflog: {groups: [30-32, 7, 31]}", "f").nflog.groups == (30, 31, 32, 7)


def test_parsed_values_cannot_be_changed() -> None:
    config = parse(LINE, "f")
    with pytest.raises(ValueError, match="frozen"):
        config.interval_s = 60


def test_problems_are_in_the_order_of_their_lines_and_are_config_errors() -> None:
    with pytest.raises(ConfigError) as caught:
        parse("router: 1\ninterval: x\nline: {}\n", "r.yaml")
    assert isinstance(caught.value, ConfigErrors)
    lines = [problem.line for problem in caught.value.problems]
    assert lines == [1, 2, 3, 3]
    assert [str(problem) for problem in caught.value.problems] == str(caught.value).splitlines()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none.yaml") == "FILE: cannot be read: No such file or directory"


def test_a_folder_is_not_a_file(tmp_path: Path) -> None:
    assert refusal(tmp_path) == "FILE: is a folder; name the file in it"


def test_a_link_to_itself_is_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "loop.yaml"
    path.symlink_to(path)
    assert refusal(path) == "FILE: cannot be read: Too many levels of symbolic links"


def test_a_name_that_no_file_can_have_is_one_clear_line() -> None:
    with pytest.raises(ConfigErrors, match="cannot be read") as caught:
        load("a\0b")
    assert len(str(caught.value).splitlines()) == 1


def test_text_that_is_not_utf_8_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "latin1.yaml"
    path.write_bytes(LINE.encode() + b"router: B\xfcro\n")
    assert refusal(path) == "FILE:2: is not UTF-8 text: octet 43 is 0xfc"


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "bom.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + LINE.encode())
    assert load(path).lines[0].name == "T1"


def test_a_file_that_is_too_large_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    path = tmp_path / "large.yaml"
    path.write_bytes(b"#" * (MAX_OCTETS + 1))
    assert refusal(path) == "FILE: is larger than 1024 KiB"
    with pytest.raises(ConfigErrors, match="larger"):
        parse("#" * (MAX_OCTETS + 1), "f")


def test_a_control_character_is_refused_in_one_line() -> None:
    with pytest.raises(ConfigErrors) as caught:
        parse(LINE + "router: \x00\n", "f")
    assert str(caught.value).startswith("f: not valid YAML: ")
    assert len(str(caught.value).splitlines()) == 1
