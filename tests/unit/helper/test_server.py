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
from dataclasses import replace
from typing import NamedTuple

import pytest

from ipsecmon.helper.capabilities import CAP_NET_ADMIN, effective
from ipsecmon.helper.server import MAX_REQUEST
from ipsecmon.ruleset.model import Plan
from tests.unit.helper.conftest import require_root
from tests.unit.ruleset.plans import small_plan

LIMIT_S = 10
PLAN = small_plan("ipsecmon_test_of_server")


class Raw(NamedTuple):
    """A supervisor whose main has gone, so that it ends as its helper did, and our end of that helper's
    connection without the client's manners."""

    process: subprocess.Popen[str]
    connection: socket.socket
    helper: int

    def ended(self) -> int:
        """How the process ended; it has to, by itself and without an answer."""
        with contextlib.suppress(ConnectionResetError):  # it ended with octets of ours unread
            assert self.connection.recv(1) == b""
        return self.process.wait(LIMIT_S)


def with_group(plan: Plan, group: int) -> Plan:
    """The same plan, but its first part's group."""
    first, *rest = plan.parts
    return replace(plan, parts=(replace(first, tap=replace(first.tap, group=group)), *rest))


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
    assert process.stdin is not None
    # a table that no machine has: a verb that reads finds nothing, wherever the tests run
    process.stdin.write(PLAN.encode() + "\n[[6000, 6009]]\n")
    process.stdin.close()
    with ours:
        text, descriptors, _, _ = socket.recv_fds(ours, 32, 1)
    with socket.socket(fileno=descriptors[0]) as connection:
        connection.settimeout(LIMIT_S)
        yield Raw(process, connection, int(text))
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
        b"sa-dump\n",
        b"sa-dump x\n",
        b"sa-dump netlink\n",
        b"sa-dump netlink x\n",
        b"sa-dump netlink -1\n",
        b"sa-dump netlink 01\n",
        b"sa-dump netlink 1 \n",
        b"sa-dump netlink 1\r\n",
        b"sa-dump netlink " + b"9" * 20 + b"\n",
        b"sa-dump netlink " + b"9" * (1 << 16),
        b"sa-dump /proc/self/mem 0\n",
        b"sa-dump ../netlink 0\n",
        "sa-dump netlink \u0661\n".encode(),
        b"sa-events\n",
        b"sa-events x\n",
        b"sa-events netlink 1\n",
        b"sa-events netlink\x00\n",
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
    assert effective(str(raw.helper)) == 1 << CAP_NET_ADMIN


def test_a_first_plan_that_is_refused_never_gets_a_connection() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        argv = [sys.executable, "-m", "ipsecmon.helper", str(theirs.fileno())]
        plan = small_plan("Bad table; drop").encode()
        done = subprocess.run(
            argv, input=plan, pass_fds=[theirs.fileno()], capture_output=True, text=True, check=False
        )
    assert done.returncode == 1
    assert "ConfigError: table name" in done.stderr


def ask(raw: Raw, request: bytes) -> dict[str, object]:
    raw.connection.sendall(request + b"\n")
    with raw.connection.makefile("rb") as answers:
        answer: dict[str, object] = json.loads(answers.readline())
    return answer


@pytest.mark.parametrize(
    ("plan", "why"),
    [
        (replace(PLAN, table="ipsecmon"), "the table's name stays ipsecmon_test_of_server"),
        (replace(PLAN, nfmark_mask=0xFF), "nfmark.mask stays"),
        (replace(PLAN, receive_buffer=PLAN.receive_buffer + 1), "nflog.receive_buffer stays"),
        (with_group(PLAN, 6010), "NFLOG group 6010 was not in the config at start"),
    ],
)
def test_a_plan_outside_the_bounds_of_the_start_is_refused(raw: Raw, plan: Plan, why: str) -> None:
    answer = ask(raw, b"plan " + plan.encode().encode())
    assert answer["error"] == "rules" and why in str(answer["message"])
    assert ask(raw, b"counters")["counters"] == []


def test_a_plan_within_the_bounds_is_taken(raw: Raw) -> None:
    assert ask(raw, b"open-nflog 6009")["error"] == "rules"
    assert ask(raw, b"plan " + with_group(PLAN, 6009).encode().encode()) == {}
    assert ask(raw, b"open-nflog 6009") == {"requests": 1}


@pytest.mark.parametrize(
    "text", [b"", b"{}", b"[]", b"1", b"{", b"\xff", b'{"table": "x; drop"}', b"[" * 100_000]
)
def test_what_is_no_plan_is_refused_and_the_helper_goes_on(raw: Raw, text: bytes) -> None:
    assert ask(raw, b"plan " + text)["error"] == "rules"
    assert ask(raw, b"counters")["counters"] == []


@pytest.mark.parametrize("numbers", [b"", b"x", b"1", b"5600,1", b"-5600"])
def test_only_groups_of_the_plan_are_opened(raw: Raw, numbers: bytes) -> None:
    assert ask(raw, b"open-nflog " + numbers)["error"] == "rules"


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
