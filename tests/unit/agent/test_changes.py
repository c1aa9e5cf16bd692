"""What a new config changes, what needs a restart, and which sink is which."""

from __future__ import annotations

import pytest

from ipsecmon.account.tunnel_match import TunnelRule
from ipsecmon.agent.changes import check_reloadable, name_sinks, plan_changes, sink_changes
from ipsecmon.agent.plan import build_plan
from ipsecmon.agent.tunnel_rules import planned_rules
from ipsecmon.config import Config, parse
from ipsecmon.errors import ConfigError

FILE = """
router: gw
line: {name: T1, interface: eth1}
counters:
  - {name: web, match: {proto: tcp, port: 80}}
  - {name: berlin, ipsec: {peer: berlin.example.net}}
"""


def config(more: str = "", of: str = FILE) -> Config:
    return parse(of + more, "test.yaml")


def said(now: Config, then: Config, moved: str = "203.0.113.9") -> list[str]:
    return plan_changes(now, then, tunnels(now, "203.0.113.9"), tunnels(then, moved))


def tunnels(of: Config, address: str) -> list[TunnelRule]:
    def resolve(name: str) -> tuple[str, ...]:
        return (address,)

    return planned_rules(of, build_plan(of, resolve), resolve)


@pytest.mark.parametrize(
    ("more", "key"),
    [
        (
            "store: {path: /srv/other}\n",
            "store.path is /var/lib/ipsecmon in the running agent and /srv/other",
        ),
        ("nfmark: {mask: 0xff}\n", "nfmark.mask is 0x00ff0000 in the running agent and 0x000000ff"),
        ("nflog: {receive_buffer: 64KiB}\n", "nflog.receive_buffer"),
    ],
)
def test_what_is_fixed_at_start_needs_a_restart(more: str, key: str) -> None:
    with pytest.raises(ConfigError, match="restart needed") as raised:
        check_reloadable(config(), config(more))
    assert key in str(raised.value)


def test_everything_that_needs_a_restart_is_said_at_once() -> None:
    with pytest.raises(ConfigError) as raised:
        check_reloadable(config(), config("store: {path: /x}\n", FILE.replace("gw", "other")))
    assert [line.split()[0] for line in str(raised.value).splitlines()] == ["router", "store.path"]


@pytest.mark.parametrize(
    "more",
    ["interval: 5s\n", "store: {retention: 10d}\n", "nfmark: {use: 'off'}\n", "nflog: {groups: 7-99}\n"],
)
def test_what_a_reload_takes_is_not_refused_and_said(more: str) -> None:
    check_reloadable(config(), config(more))
    assert len(said(config(), config(more))) == 1


def test_a_config_that_says_the_same_in_other_words_changes_nothing() -> None:
    assert said(config(), config("interval: 10s\nrules: managed\n")) == []


def test_counters_are_told_by_their_names() -> None:
    changed = FILE.replace("web, match: {proto: tcp, port: 80}", "mail, match: {proto: tcp, port: 25}")
    assert said(config(), config(of=changed)) == ["counter web removed", "counter mail added"]
    assert said(config(), config(of=FILE.replace("port: 80", "port: 81"))) == ["counter web changed"]


def test_another_order_is_a_change() -> None:
    web = "  - {name: web, match: {proto: tcp, port: 80}}\n"
    assert said(config(), config(of=FILE.replace(web, "") + web)) == ["counters stand in another order"]


@pytest.mark.parametrize("rules", ["managed", "off"])
def test_a_peer_that_resolves_to_another_address_is_a_change(rules: str) -> None:
    same = config(
        of=f"{FILE}rules: '{rules}'\n".replace("  - {name: web, match: {proto: tcp, port: 80}}\n", "")
    )
    assert said(same, same, moved="203.0.113.10") == [
        "counter berlin: its peer's addresses are now 203.0.113.10"
    ]


def test_sinks_are_told_by_their_names() -> None:
    now, then = {"file": "a", "file-2": "b", "influxdb": "c"}, {"file-2": "b", "influxdb": "d", "memory": "e"}
    assert sink_changes(now, then) == ["sink file removed", "sink memory added", "sink influxdb changed"]


@pytest.mark.parametrize(
    ("wanted", "before", "names"),
    [
        ([("file", "a"), ("influxdb", "b"), ("file", "c")], {}, ["file", "influxdb", "file-2"]),
        ([("file", "b")], {"file": "a", "file-2": "b"}, ["file-2"]),
        ([("file", "b"), ("file", "a")], {"file": "a", "file-2": "b"}, ["file-2", "file"]),
        ([("file", "x"), ("file", "b")], {"file": "a", "file-2": "b"}, ["file", "file-2"]),
        ([("file", "b"), ("file", "x")], {"file-2": "b"}, ["file-2", "file"]),
        ([("file", "a"), ("file", "a")], {"file": "a"}, ["file", "file-2"]),
    ],
)
def test_a_sink_keeps_its_name_wherever_it_stands(
    wanted: list[tuple[str, str]], before: dict[str, str], names: list[str]
) -> None:
    assert name_sinks(wanted, before) == names
