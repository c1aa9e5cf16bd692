"""The helper's side of the connection: one request is one word, one answer is one line of JSON."""

from __future__ import annotations

import json
import os
import signal
import socket
from typing import Any, Callable, Optional

from ipsecmon.errors import DecodeError, RulesRefused, SourceError
from ipsecmon.helper.capabilities import keep_net_admin
from ipsecmon.helper.foreign_rules import ForeignRuleReader
from ipsecmon.helper.netfilter import CounterReader, open_nflog
from ipsecmon.helper.rules import apply_rules, remove_rules, rules_stand
from ipsecmon.ruleset.model import Plan

__all__ = ["MAX_REQUEST", "Server"]

MAX_REQUEST = 64  # octets; the longest verb has 12

Answer = dict[str, Any]


class Server:
    """Answers until the connection closes. plan: the only thing it ever installs, binds or reads."""

    def __init__(self, connection: socket.socket, plan: Plan) -> None:
        self._connection = connection
        self._plan = plan
        self._counters: Optional[CounterReader] = None
        self._foreign = ForeignRuleReader(plan.groups())
        self._verbs: dict[bytes, Callable[[], Answer]] = {
            b"open-nflog": self._open_nflog,
            b"counters": self._read_counters,
            b"rules-apply": self._apply,
            b"rules-remove": self._remove,
            b"rules-verify": self._verify,
        }

    def run(self) -> None:
        """Returns when main has gone, or has said what is not in the protocol."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group: main decides
        keep_net_admin()
        pending = b""
        while True:
            received = self._connection.recv(MAX_REQUEST)
            pending += received
            if not received or len(pending) > MAX_REQUEST:
                return
            while b"\n" in pending:
                verb, _, pending = pending.partition(b"\n")
                if verb not in self._verbs:
                    return
                self._answer(verb)

    def _answer(self, verb: bytes) -> None:
        try:
            answer = self._verbs[verb]()
        except RulesRefused as error:
            answer = {"error": "rules", "message": str(error)}
        except (SourceError, DecodeError, OSError) as error:
            answer = {"error": "kernel", "message": f"{verb.decode()}: {error}"}
        descriptors = [answer.pop("descriptor")] if "descriptor" in answer else []
        line = json.dumps(answer).encode() + b"\n"
        if not descriptors:
            self._connection.sendall(line)
            return
        socket.send_fds(self._connection, [line], descriptors)
        for descriptor in descriptors:  # no copy is kept: a group is free when main is gone
            os.close(descriptor)

    def _open_nflog(self) -> Answer:
        groups = self._plan.groups()
        nflog = open_nflog(groups, self._plan.receive_buffer)
        return {"descriptor": nflog.detach(), "requests": len(groups)}

    def _read_counters(self) -> Answer:
        if not self._plan.managed:
            return self._foreign.read()._asdict()
        if self._counters is None:
            self._counters = CounterReader(self._plan.table)
        return self._counters.read()._asdict()

    def _apply(self) -> Answer:
        self._refuse_unmanaged()
        return apply_rules(self._plan)._asdict()

    def _remove(self) -> Answer:
        self._refuse_unmanaged()
        remove_rules(self._plan)
        return {}

    def _verify(self) -> Answer:
        if not self._plan.managed:
            counted = {rule.group for rule in self._foreign.read().rules}
            return {"stand": counted == set(self._plan.groups())}
        return {"stand": rules_stand(self._plan)}

    def _refuse_unmanaged(self) -> None:
        """Whatever main asks: rules of others are never touched."""
        if not self._plan.managed:
            raise RulesRefused("rules: manual or off: ipsecmon installs no rule and removes none")
