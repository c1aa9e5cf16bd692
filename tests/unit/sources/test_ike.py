"""Names of IKE connections: right from daemons that answer, in time and without exception from others."""

from __future__ import annotations

import logging
import os
import random
import socket
import struct
import time
from pathlib import Path
from typing import Callable

import pytest

from ipsecmon.ipsec import IkeNames
from ipsecmon.sources import strongswan
from ipsecmon.sources.ike import PAUSE, Daemon, IkeSource
from ipsecmon.sources.libreswan import read_libreswan
from ipsecmon.sources.strongswan import read_strongswan
from tests.unit.sources.vici_server import Answer, child, daemon, ike, telling

NOTHING = IkeNames({}, {})
HQ = {"hq": ike("203.0.113.1", "203.0.113.2", child("net", 1, 0xC1, 0xC2))}
LIMIT_S = 0.3
SOME_SLACK_S = 0.7  # this machine may be busy


def named(*names: str) -> frozenset[str]:
    return frozenset(names)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "charon.vici"


@pytest.fixture
def source(path: Path) -> IkeSource:
    return of_strongswan(path)


def of_strongswan(path: Path, limit_s: float = 5.0) -> IkeSource:
    return IkeSource(
        [Daemon("strongSwan", (str(path.parent / "other"), str(path)), read_strongswan)], limit_s
    )


def test_an_sa_has_the_names_of_its_ike_connection_and_its_child(source: IkeSource, path: Path) -> None:
    with daemon(path, telling([HQ])):
        assert source.names() == IkeNames(
            {("203.0.113.1", 0xC1): named("hq", "net"), ("203.0.113.2", 0xC2): named("hq", "net")},
            {1: named("hq", "net")},
        )


def test_children_that_share_a_reqid_share_its_names(source: IkeSource, path: Path) -> None:
    two = ike("203.0.113.1", "198.51.100.9", child("a", 7, 1, 2), child("b", 7, 3, 4))
    with daemon(path, telling([{"road": two}, {"road": ike("203.0.113.1", "198.51.100.8")}])):
        found = source.names()
    assert found.by_reqid == {7: named("road", "a", "b")}
    assert found.by_spi["203.0.113.1", 3] == named("road", "b")


def test_addresses_are_written_as_the_kernels_readers_write_them(source: IkeSource, path: Path) -> None:
    with daemon(path, telling([{"six": ike("2001:DB8:0:0::1", "2001:db8::2", child("net", 1, 1, 2))}])):
        assert set(source.names().by_spi) == {("2001:db8::1", 1), ("2001:db8::2", 2)}


def test_a_child_that_is_only_half_there_has_no_second_spi(source: IkeSource, path: Path) -> None:
    with daemon(path, telling([{"hq": ike("203.0.113.1", "203.0.113.2", child("net", 0, 9, 0))}])):
        assert source.names() == IkeNames({("203.0.113.1", 9): named("hq", "net")}, {})


def test_a_name_is_told_once_more_after_its_sa_has_gone(source: IkeSource, path: Path) -> None:
    with daemon(path, telling([HQ])):
        before = source.names()
    with daemon(path, telling([])):
        assert source.names().by_spi == before.by_spi
        assert source.names() == NOTHING


def test_names_hold_while_the_daemon_cannot_be_asked_and_end_with_its_socket(
    source: IkeSource, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with daemon(path, telling([HQ])):
        before = source.names()
    with socket.socket(socket.AF_UNIX) as nobody:
        nobody.bind(str(path))
        assert source.names() == source.names() == before
    path.unlink()
    assert source.names() == NOTHING
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "daemon=strongSwan" in caplog.text and "Connection refused" in caplog.text


def test_a_daemon_that_answers_again_is_told_once(
    source: IkeSource, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for answer in (sending(b"\0\0\0\1\x09"), telling([HQ]), telling([HQ])):
        with daemon(path, answer):
            source.names()
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_where_no_daemon_is_the_log_says_so_once(source: IkeSource, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert source.names() == source.names() == NOTHING
    assert [record.levelname for record in caplog.records] == ["INFO"]


def sending(octets: bytes, before: int = 0) -> Answer:
    """These octets to whatever is asked, and then nothing, until the other side goes."""

    def answer(connection: socket.socket) -> None:
        connection.recv(1)
        connection.sendall(octets)
        while connection.recv(1 << 16):
            pass

    return answer


def trickling(connection: socket.socket) -> None:
    """A packet that never comes to its end, though something always comes."""
    connection.sendall(struct.pack("!I", 1 << 16))
    while True:
        connection.sendall(b"\x05")
        time.sleep(0.02)


def flooding(connection: socket.socket) -> None:
    while True:
        connection.sendall(struct.pack("!I", 1 << 10) + b"\x07\x07list-sa" + bytes((1 << 10) - 9))


@pytest.mark.parametrize(
    "answer",
    [sending(b""), sending(b"\0"), sending(b"\0\0\0\1"), trickling, flooding],
    ids=["silent", "one octet", "no packet", "trickling", "flooding"],
)
def test_a_daemon_that_never_comes_to_an_end_costs_the_limit_once(
    answer: Answer, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = of_strongswan(path, LIMIT_S)
    with daemon(path, answer) as made:
        began = time.monotonic()
        assert source.names() == NOTHING
        assert time.monotonic() - began < LIMIT_S + SOME_SLACK_S
        for _ in range(PAUSE):
            assert source.names() == NOTHING
        assert len(made) == 1
        source.names()
        assert len(made) == 2
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    "octets",
    [
        b"\xff" * 64,
        struct.pack("!I", 0xFFFFFFFF),
        struct.pack("!I", 0),
        struct.pack("!IB", 1, 6),
        struct.pack("!IB", 1, 5) + struct.pack("!IB", 1, 2),
        struct.pack("!IB", 1, 5) + struct.pack("!I", 11) + b"\x07\x07list-sa\x01\x05",
        struct.pack("!IB", 1, 5) + struct.pack("!I", 15) + b"\x07\x07list-sa\x03\x01a\0\x01b",
        struct.pack("!IB", 1, 5) + struct.pack("!I", 10) + b"\x07\x07list-sa\x02",
        struct.pack("!IB", 1, 5) + struct.pack("!I", 13) + b"\x07\x07list-sa\x01\x02\xff\xfe",
    ],
)
def test_garbage_is_trouble_and_no_exception(
    octets: bytes, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with daemon(path, sending(octets)):
        assert of_strongswan(path, LIMIT_S).names() == NOTHING
    assert len(caplog.records) == 1 and "no names of ike connections" in caplog.text


@pytest.mark.parametrize(
    "section",
    [
        {"child-sas": b"text"},
        {"child-sas": [b"a", b"b"]},
        {"child-sas": {"net-1": b"text"}},
        {"child-sas": {"net-1": {"spi-in": b"not a number"}}},
        {"child-sas": {"net-1": {"spi-in": b"c1"}}},
        {"child-sas": {"net-1": {"spi-in": [b"c1"], "reqid": {}}}, "local-host": [b"a"]},
        {"child-sas": {"net-1": {"spi-in": b"c1", "name": b"\xff\xfe"}}, "local-host": b"192.0.2.1"},
        {"child-sas": {"net-1": {"spi-in": b"c1"}}, "local-host": b"%any"},
        b"text",
    ],
)
def test_a_listing_of_another_form_is_no_exception(section: object, source: IkeSource, path: Path) -> None:
    with daemon(path, telling([{"hq": section}])):
        assert source.names() == NOTHING


def test_random_octets_are_no_exception(path: Path) -> None:
    chance = random.Random(7)
    for _ in range(200):
        packet = bytes([5]) if chance.random() < 0.5 else chance.randbytes(chance.randrange(1, 40))
        event = b"\x07\x07list-sa" + bytes(chance.choices(range(8), k=chance.randrange(30)))
        octets = b"".join(struct.pack("!I", len(one)) + one for one in (packet, event, b"\x01", b"\x05"))
        with daemon(path, sending(octets)):
            of_strongswan(path, 0.05).names()


def test_an_answer_without_end_takes_no_memory_without_end(
    source: IkeSource, path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(strongswan, "MAX_READ", 1 << 16)
    with daemon(path, telling([HQ] * 5000)):
        assert source.names() == NOTHING
    assert "too long" in caplog.text


@pytest.fixture
def whack(tmp_path: Path) -> Callable[[str], IkeSource]:
    """A source whose whack is this shell script; pluto's socket is a file that may be written to."""
    (tmp_path / "pluto.ctl").touch()

    def of(script: str, limit_s: float = 5.0) -> IkeSource:
        program = tmp_path / "whack"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        read = lambda path, deadline: read_libreswan(path, deadline, (str(program),))  # noqa: E731
        return IkeSource([Daemon("libreswan", (str(tmp_path / "pluto.ctl"),), read)], limit_s)

    return of


SHOWN = '000 #5: "hq" esp.c1474ce2@203.0.113.2 esp.611910af@203.0.113.1 tun.0@203.0.113.2'


def test_whack_is_asked_for_states_on_that_socket(whack: Callable[[str], IkeSource], tmp_path: Path) -> None:
    source = whack(f'[ "$*" = "--ctlsocket {tmp_path}/pluto.ctl --showstates" ] && echo \'{SHOWN}\'')
    assert source.names().by_spi["203.0.113.1", 0x611910AF] == named("hq")


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("exit 33", "status 33"),
        (f"echo '{SHOWN}'; exit 1", "status 1"),
        ("yes", "too long"),
    ],
)
def test_a_whack_that_fails_is_trouble(
    script: str,
    said: str,
    whack: Callable[[str], IkeSource],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("ipsecmon.sources.libreswan.MAX_READ", 1 << 16)
    assert whack(script).names() == NOTHING
    assert said in caplog.text


@pytest.mark.parametrize("script", ["exec sleep 60", "exec >&-; exec sleep 60"])
def test_a_whack_that_hangs_is_ended_in_time(
    script: str, whack: Callable[..., IkeSource], caplog: pytest.LogCaptureFixture
) -> None:
    began = time.monotonic()
    assert whack(script, LIMIT_S).names() == NOTHING
    assert time.monotonic() - began < LIMIT_S + SOME_SLACK_S
    assert "timed out" in caplog.text


def test_a_libreswan_without_whack_is_trouble(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "pluto.ctl").touch()
    read = lambda path, deadline: read_libreswan(path, deadline, ())  # noqa: E731
    IkeSource([Daemon("libreswan", (str(tmp_path / "pluto.ctl"),), read)]).names()
    assert "whack is not where it should be" in caplog.text


def test_both_daemons_names_stand_together(path: Path, whack: Callable[[str], IkeSource]) -> None:
    two = IkeSource([])
    two._asked = [*of_strongswan(path)._asked, *whack(f"echo '{SHOWN}'")._asked]
    with daemon(path, telling([HQ])):
        assert len(two.names().by_spi) == 4


def test_a_user_who_may_not_ask_is_told_what_is_needed(
    tmp_path: Path, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to become another user")
    (tmp_path / "pluto.ctl").touch(0o600)
    daemons = [
        Daemon("strongSwan", (str(path),), read_strongswan),
        Daemon("libreswan", (str(tmp_path / "pluto.ctl"),), read_libreswan),
    ]
    for folder in (tmp_path, *tmp_path.parents[:3]):
        folder.chmod(0o755)
    with daemon(path, telling([HQ])) as made:
        path.chmod(0o770)
        groups = os.getgroups()
        os.setgroups([])
        os.setegid(65534)
        os.seteuid(65534)
        try:
            assert IkeSource(daemons).names() == NOTHING
        finally:
            os.seteuid(0)
            os.setegid(0)
            os.setgroups(groups)
    assert not made
    for socket_path in (path, tmp_path / "pluto.ctl"):
        assert f"user 65534 may not write to {socket_path}" in caplog.text
