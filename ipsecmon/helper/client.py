"""Main's side: start the supervisor, ask its helper, go on with the next one when that has ended.

Imported by main, never by the helper. Every verb can be asked twice: one whose answer did not come, because
the helper was killed, is asked of its successor.
"""

from __future__ import annotations

import json
import logging
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ipsecmon.errors import HelperAway, HelperGone, RulesRefused, SourceError
from ipsecmon.helper.bounds import Bounds
from ipsecmon.helper.capabilities import pass_on_net_admin
from ipsecmon.helper.foreign_rules import ForeignDump, ForeignRule
from ipsecmon.helper.netfilter import CounterDump
from ipsecmon.helper.rules import Applied, Condition
from ipsecmon.ruleset.model import Plan
from ipsecmon.wire.nftables import NamedCounter
from ipsecmon.wire.sa_records import MAX_RECORDS

__all__ = ["Helper", "HelpersEvents", "HelpersSas", "OpenedNflog"]

_logger = logging.getLogger(__name__)
_TIMEOUT_S = 60.0  # nft may take long on a router with many rules
_STOP_S = 2.0
_AWAY_S = 2.0  # of waiting for the next helper before a round goes on without; it needs some 10 ms
MAX_ANSWER = 16 << 20  # octets of a line; 10,000 counters take about 1 MB

_PACKAGES = Path(__file__).parents[2]
# isolated: neither the caller's folder and environment nor any third-party package can get into the helper
_BOOT = "import sys; sys.path.insert(0, sys.argv.pop(1)); from ipsecmon.helper.__main__ import main; main()"
_GONE = "the helper process has ended: start ipsecmon again, kernel counters bridge what passes meanwhile"
_AWAY = (
    "the helper process has ended and is being started again, kernel counters bridge what passes meanwhile"
)
_ERRORS: dict[str, type[SourceError]] = {"rules": RulesRefused}


class OpenedNflog(NamedTuple):
    """requests: how many acknowledgements, one a group in the order asked for, stand on the socket."""

    socket: socket.socket
    requests: int


class HelpersSas(NamedTuple):
    """number: of this dump, for the next one. epoch: another one where events may have been missed."""

    number: int
    epoch: int
    records: bytes


class HelpersEvents(NamedTuple):
    epoch: int
    has_missed: bool
    has_more: bool
    records: bytes


class Helper:
    """The privileged process. start() before main gives up its own capabilities.

    groups: inclusive ranges of NFLOG groups that later plans may use. on_restart: called for each helper
    that took the place of one that had ended.

    Every verb raises HelperGone if nobody is there to start a helper again, HelperAway if it takes long, and
    SourceError (RulesRefused where it is about rules) with one line if the helper could not do it.
    """

    def __init__(self, plan: Plan, groups: Sequence[tuple[int, int]] = ()) -> None:
        self._first_plan = self._plan = plan
        self._groups = groups
        self._process: subprocess.Popen[str] | None = None
        self._control: socket.socket | None = None
        self._connection: socket.socket | None = None
        self._pid = 0
        self.on_restart: Callable[[], object] = lambda: None

    def start(self) -> None:
        """Raises MissingCapability."""
        pass_on_net_admin()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _BOOT, str(_PACKAGES), str(theirs.fileno())],
                stdin=subprocess.PIPE,
                pass_fds=[theirs.fileno()],
                text=True,
            )
        assert self._process.stdin is not None
        self._process.stdin.write(f"{self._first_plan.encode()}\n{Bounds.encode_ranges(self._groups)}\n")
        self._process.stdin.close()
        self._control = ours

    def stop(self) -> None:
        """Close the connections; supervisor and helper end by themselves."""
        self._disconnect()
        if self._control:
            self._control.close()
            self._control = None
        if self._process:
            try:
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    @property
    def pid(self) -> int:
        """Of the helper that answered last."""
        return self._pid

    def change_plan(self, plan: Plan) -> None:
        """From now on every verb is about this plan. Raises RulesRefused where that needs a restart.

        Where HelperAway is raised, the next helper is told this one.
        """
        try:
            self._ask("plan", plan.encode())
        except HelperAway:
            self._plan = plan
            raise
        self._plan = plan

    def open_nflog(self, groups: Sequence[int] = ()) -> OpenedNflog:
        """An NFLOG socket of these groups of the plan, or of all; this process is its only owner."""
        answer, descriptors = self._ask("open-nflog", ",".join(map(str, groups)))
        return OpenedNflog(socket.socket(fileno=descriptors[0]), answer["requests"])

    def counters(self) -> CounterDump:
        """Every named counter of our table, read together."""
        answer, _ = self._ask("counters")
        counters = [NamedCounter(*values) for values in answer["counters"]]
        return CounterDump(answer["table"], answer["generation"], counters, answer["reloadable"])

    def foreign_rules(self) -> ForeignDump:
        """As counters(), where the plan watches rules of others."""
        answer, _ = self._ask("counters")
        rules = [
            ForeignRule(group, identity, octets, packets, None if born is None else tuple(born))
            for group, identity, octets, packets, born in answer["rules"]
        ]
        return ForeignDump(rules, [(group, said) for group, said in answer["problems"]])

    def apply_rules(self) -> Applied:
        answer, _ = self._ask("rules-apply")
        return Applied(**answer)

    def remove_rules(self) -> None:
        self._ask("rules-remove")

    def rules_condition(self) -> Condition:
        answer, _ = self._ask("rules-verify")
        return Condition(**answer)

    def rules_stand(self) -> bool:
        return self.rules_condition().stand

    def sa_dump(self, reader: str, known: int) -> HelpersSas:
        """SAs, by netlink or ip-xfrm. known: number of the last dump that was taken; 0 is none."""
        answer, _ = self._ask("sa-dump", f"{reader} {known}")
        return HelpersSas(answer["dump"], answer["epoch"], answer["body"])

    def sa_events(self, reader: str) -> HelpersEvents:
        answer, _ = self._ask("sa-events", reader)
        return HelpersEvents(answer["epoch"], answer["missed"], answer["more"], answer["body"])

    def _ask(self, verb: str, argument: str = "") -> tuple[dict[str, Any], list[int]]:
        request = f"{verb} {argument}\n" if argument else f"{verb}\n"
        deadline = time.monotonic() + (_AWAY_S if self._pid else _TIMEOUT_S)
        while True:
            connection = self._connection or self._connect(deadline)
            try:
                answer, descriptors = _exchange(connection, request)
                break
            except OSError:
                self._disconnect()
        if "error" in answer:
            raise _ERRORS.get(answer["error"], SourceError)(answer["message"])
        return answer, descriptors

    def _connect(self, deadline: float) -> socket.socket:
        """A connection to the newest helper, which knows the plan."""
        if self._control is None:
            raise HelperGone(_GONE)
        try:
            self._control.settimeout(max(0.001, deadline - time.monotonic()))
            text, descriptors, _, _ = socket.recv_fds(self._control, 32, 1)
        except socket.timeout as error:  # another class than TimeoutError on Python 3.9
            raise HelperAway(_AWAY) from error
        except OSError as error:
            raise HelperGone(_GONE) from error
        if not descriptors:
            raise HelperGone(_GONE)
        connection = socket.socket(fileno=descriptors[0])
        connection.settimeout(_TIMEOUT_S)
        if self._pid:
            _logger.warning("the helper process had ended and was started again pid=%d", int(text))
            self.on_restart()
        self._pid, self._connection = int(text), connection
        if self._plan is not self._first_plan:
            self._tell_plan(connection)
        return connection

    def _tell_plan(self, connection: socket.socket) -> None:
        """An end of the connection shows in what is asked next."""
        try:
            _exchange(connection, f"plan {self._plan.encode()}\n")
        except OSError:
            pass

    def _disconnect(self) -> None:
        if self._connection:
            self._connection.close()
            self._connection = None


def _exchange(connection: socket.socket, request: str) -> tuple[dict[str, Any], list[int]]:
    """One request and its answer; "body" in it: the octets behind the line. Raises OSError."""
    connection.sendall(request.encode())
    received, descriptors, _, _ = socket.recv_fds(connection, 1 << 16, 1)
    while b"\n" not in received:
        more = connection.recv(1 << 16)
        if not more or len(received) > MAX_ANSWER:
            raise ConnectionResetError
        received += more
    line, _, begun = received.partition(b"\n")
    answer = _decode(line)
    octets = answer.pop("octets", 0)
    if octets:
        answer["body"] = _receive(connection, begun, octets)
    elif begun:  # it would be taken for the next answer
        raise ConnectionResetError
    return answer, descriptors


def _decode(line: bytes) -> dict[str, Any]:
    """Raises OSError without a word of the line where it is none that a helper writes."""
    try:
        answer = json.loads(line)
    except ValueError:
        raise ConnectionResetError from None
    if not isinstance(answer, dict):
        raise ConnectionResetError
    return answer


def _receive(connection: socket.socket, begun: bytes, octets: int) -> bytes:
    """So many octets, the first of which are there. Raises OSError."""
    if not len(begun) <= octets <= MAX_RECORDS:
        raise ConnectionResetError
    body = bytearray(octets)
    body[: len(begun)] = begun
    at = len(begun)
    with memoryview(body) as rest:
        while at < octets:
            received = connection.recv_into(rest[at:])
            if not received:
                raise ConnectionResetError
            at += received
    return bytes(body)
