"""The helper's side of the connection: one request is one line, a verb, one answer is one line of JSON.

Some verbs have an argument. `plan` carries another plan, in JSON: it is checked as the first one was, must
keep within the bounds of the start, and is only remembered; names in it never become syntax. `open-nflog`
may name groups of the plan, where some are bound already. What `sa-dump` and `sa-events` take
is in sa_verbs.py; their answers are a line that says how many octets of records follow it.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from typing import Any, Callable, Optional

from ipsecmon.errors import ConfigError, DecodeError, RulesRefused, SourceError
from ipsecmon.helper.backends import Rules
from ipsecmon.helper.bounds import Bounds
from ipsecmon.helper.foreign_rules import ForeignRuleReader
from ipsecmon.helper.netfilter import open_nflog
from ipsecmon.helper.sa_verbs import SaVerbs
from ipsecmon.ruleset.model import Plan

__all__ = ["MAX_ARGUED", "MAX_REQUEST", "Server"]

MAX_REQUEST = 64  # octets; the longest request, of sa-dump, has 35
MAX_ARGUED = 16 << 20  # octets; a plan of 10,000 counters takes about 5 MB
_RECEIVE = 1 << 16

Answer = dict[str, Any]


class Server:
    """Answers until the connection closes. plan: the only thing it ever installs, binds or reads, until
    main sends another one within the bounds."""

    def __init__(self, connection: socket.socket, plan: Plan, bounds: Bounds) -> None:
        self._connection = connection
        self._plan = plan
        self._bounds = bounds
        self._rules = Rules(plan)
        self._foreign = ForeignRuleReader(plan.groups())
        self._sas = SaVerbs()
        self._verbs: dict[bytes, Callable[[], Answer]] = {
            b"open-nflog": self._open_nflog,
            b"counters": self._read_counters,
            b"rules-apply": self._apply,
            b"rules-remove": self._remove,
            b"rules-verify": self._verify,
        }
        self._argued: dict[bytes, Callable[[bytes], Answer]] = {
            b"plan": self._change_plan,
            b"open-nflog": self._open_some_nflog,
        }

    def run(self) -> None:
        """Returns when main has gone, or has said what is not in the protocol."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._serve()

    def _serve(self) -> None:
        pending = b""
        while True:
            received = self._connection.recv(_RECEIVE)
            if not received:
                return
            pending += received
            while b"\n" in pending:
                request, _, pending = pending.partition(b"\n")
                if not self._answer(request):
                    return
            if len(pending) > self._limit(pending):
                return

    def _limit(self, pending: bytes) -> int:
        argued = pending.partition(b" ")[0] in self._argued
        return MAX_ARGUED if argued else MAX_REQUEST

    def _verb(self, request: bytes) -> Optional[Callable[[], Answer]]:
        word, space, argument = request.partition(b" ")
        argued = self._argued.get(word)
        if not space or argued is None:
            return self._verbs.get(request) or self._sas.find(request)
        return lambda: argued(argument)

    def _answer(self, request: bytes) -> bool:
        """False: it is not in the protocol."""
        verb = self._verb(request)
        if verb is None:
            return False
        try:
            answer = verb()
        except RulesRefused as error:
            answer = {"error": "rules", "message": str(error)}
        except (SourceError, DecodeError, OSError) as error:
            answer = {"error": "kernel", "message": f"{_word(request)}: {error}"}
        self._send(answer)
        return True

    def _send(self, answer: Answer) -> None:
        descriptors = [answer.pop("descriptor")] if "descriptor" in answer else []
        body: bytes = answer.pop("body", b"")
        if body:
            answer["octets"] = len(body)
        line = json.dumps(answer).encode() + b"\n"
        if not descriptors:
            self._connection.sendall(line + body)
            return
        socket.send_fds(self._connection, [line], descriptors)
        for descriptor in descriptors:  # no copy is kept: a group is free when main is gone
            os.close(descriptor)

    def _change_plan(self, text: bytes) -> Answer:
        try:
            plan = Plan.decode(text.decode())
        except (ConfigError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise RulesRefused(f"the plan is refused: {error}") from error
        self._bounds.check(plan)
        self._plan = plan
        self._rules = Rules(plan)
        return {}

    def _open_nflog(self) -> Answer:
        return self._open(self._plan.groups())

    def _open_some_nflog(self, numbers: bytes) -> Answer:
        groups = [int(number) for number in numbers.split(b",") if number.isdigit()]
        if not groups or not set(groups) <= set(self._plan.groups()):
            raise RulesRefused("only groups of the plan are opened")
        return self._open(groups)

    def _open(self, groups: list[int]) -> Answer:
        nflog = open_nflog(groups, self._plan.receive_buffer)
        return {"descriptor": nflog.detach(), "requests": len(groups)}

    def _read_counters(self) -> Answer:
        if not self._plan.managed:
            return self._foreign.read()._asdict()
        return self._rules.read()._asdict()

    def _apply(self) -> Answer:
        self._refuse_unmanaged()
        return self._rules.apply()._asdict()

    def _remove(self) -> Answer:
        self._refuse_unmanaged()
        self._rules.remove()
        return {}

    def _verify(self) -> Answer:
        if not self._plan.managed:
            counted = {rule.group for rule in self._foreign.read().rules}
            stand = counted == set(self._plan.groups())
            return {"stand": stand, "whole": stand}
        return self._rules.stand()._asdict()

    def _refuse_unmanaged(self) -> None:
        """Whatever main asks: rules of others are never touched."""
        if not self._plan.managed:
            raise RulesRefused("rules: manual or off: ipsecmon installs no rule and removes none")


def _word(request: bytes) -> str:
    return request.partition(b" ")[0].decode()
