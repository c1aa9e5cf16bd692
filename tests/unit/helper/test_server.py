"""The helper's end of the connection: what is not in the protocol ends it, and the process."""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from ipsecmon.helper.capabilities import CAP_NET_ADMIN, effective
from ipsecmon.helper.server import MAX_REQUEST
from tests.unit.helper.conftest import require_root
from tests.unit.ruleset.plans import small_plan

LIMIT_S = 10


class Raw(NamedTuple):
    """A helper's process, and our end of its connection without the client's manners."""

    process: subprocess.Popen[str]
    connection: socket.socket

    def ended(self) -> int:
        """How the process ended; it has to, by itself and without an answer."""
        with contextlib.suppress(ConnectionResetError):  # it ended with octets of ours unread
            assert self.connection.recv(1) == b""
        return self.process.wait(LIMIT_S)


@pytest.fixture
def raw() -> Iterator[Raw]:
    require_root()
    ours, theirs = socket.socketpair()
    ours.settimeout(LIMIT_S)
    process = subprocess.Popen(
        [sys.executable, "-m", "ipsecmon.helper", str(theirs.fileno())],
        stdin=subprocess.PIPE,
        pass_fds=[theirs.fileno()],
        text=True,
    )
    theirs.close()
    with ours:
        assert process.stdin is not None
        # a table that no machine has: a verb that reads finds nothing, wherever the tests run
        process.stdin.write(small_plan("ipsecmon_test_of_server").encode())
        process.stdin.close()
        yield Raw(process, ours)
    process.wait(LIMIT_S)


@pytest.mark.parametrize(
    "request_",
    [
        b"reboot\n",
        b"\n",
        b"COUNTERS\n",
        b"counters \n",
        b" counters\n",
        b"counters\r\n",
        b"counters\x00\n",
        b'{"verb": "counters"}\n',
        b"\xff\xfe\x00\n",
        b"x" * (MAX_REQUEST + 1),
        b"x" * (1 << 16),
        b"counters" * 20 + b"\n",
    ],
)
def test_what_is_not_in_the_protocol_ends_the_process(raw: Raw, request_: bytes) -> None:
    raw.connection.sendall(request_)
    assert raw.ended() == 0


def test_half_a_request_is_nothing_when_the_connection_ends(raw: Raw) -> None:
    raw.connection.sendall(b"rules-appl")
    raw.connection.shutdown(socket.SHUT_WR)
    assert raw.ended() == 0


def test_the_process_ends_with_the_connection(raw: Raw) -> None:
    raw.connection.shutdown(socket.SHUT_WR)
    assert raw.ended() == 0


def test_a_request_may_come_in_pieces_and_two_may_come_at_once(raw: Raw) -> None:
    raw.connection.sendall(b"coun")
    raw.connection.sendall(b"ters\ncounters\n")
    with raw.connection.makefile("rb") as answers:
        first, second = (json.loads(answers.readline()) for _ in range(2))
    assert first == second
    assert first["table"] == 0 and first["counters"] == []


def test_what_came_before_a_bad_request_is_answered(raw: Raw) -> None:
    raw.connection.sendall(b"counters\nreboot\ncounters\n")
    with raw.connection.makefile("rb") as answers:
        assert json.loads(answers.readline())["table"] == 0
        assert answers.readline() == b""
    assert raw.process.wait(LIMIT_S) == 0


def test_it_has_one_capability_by_the_time_it_answers(raw: Raw) -> None:
    raw.connection.sendall(b"counters\n")
    assert raw.connection.recv(1)
    assert effective(str(raw.process.pid)) == 1 << CAP_NET_ADMIN


def test_a_plan_that_is_refused_never_gets_a_connection() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        argv = [sys.executable, "-m", "ipsecmon.helper", str(theirs.fileno())]
        plan = small_plan("Bad table; drop").encode()
        done = subprocess.run(
            argv, input=plan, pass_fds=[theirs.fileno()], capture_output=True, text=True, check=False
        )
    assert done.returncode == 1
    assert "ConfigError: table name" in done.stderr


MAIN = """
import sys
from ipsecmon.helper.client import Helper
from tests.unit.ruleset.plans import small_plan
helper = Helper(small_plan("ipsecmon_test_of_server"))
helper.start()
helper.counters()
print(helper.pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs pidfd_open(2) in Python")
def test_it_ends_when_main_is_killed() -> None:
    require_root()
    main = subprocess.Popen([sys.executable, "-c", MAIN], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert main.stdin is not None and main.stdout is not None
    with main.stdin, main.stdout:
        descriptor = os.pidfd_open(int(main.stdout.readline()))
        try:
            main.kill()
            assert select.select([descriptor], [], [], LIMIT_S)[0]
        finally:
            os.close(descriptor)
            main.wait(LIMIT_S)
