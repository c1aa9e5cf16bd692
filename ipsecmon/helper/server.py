"""The helper's side of the connection: one request is one word, one answer is one line of JSON."""

from __future__ import annotations

import json
import os
import signal
import socket
from typing import Any, Callable

from ipsecmon.errors import DecodeError, RulesRefused, SourceError
from ipsecmon.helper.backends import Rules, prepare
from ipsecmon.helper.capabilities import keep_net_admin
from ipsecmon.helper.netfilter import open_nflog
from ipsecmon.ruleset.model import Plan

__all__ = ["MAX_REQUEST", "Server"]

MAX_REQUEST = 64  # octets; the longest verb has 12

Answer = dict[str, Any]


class Server:
    """Answers until the connection closes. plan: the only thing it ever installs, binds or reads."""

    def __init__(self, connection: socket.socket, plan: Plan) -> None:
        self._connection = connection
        self._plan = plan
        self._rules = Rules(plan)
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
        keep_net_admin(net_raw_too=prepare(self._plan))
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
        return self._rules.read()._asdict()

    def _apply(self) -> Answer:
        return self._rules.apply()._asdict()

    def _remove(self) -> Answer:
        self._rules.remove()
        return {}

    def _verify(self) -> Answer:
        return {"stand": self._rules.stand()}
