"""Main's side: start the helper, ask it, notice its end. Imported by main, never by the helper."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from ipsecmon.errors import HelperGone, RulesRefused, SourceError
from ipsecmon.helper.capabilities import pass_on_net_admin
from ipsecmon.helper.foreign_rules import ForeignDump, ForeignRule
from ipsecmon.helper.netfilter import CounterDump
from ipsecmon.helper.rules import Applied
from ipsecmon.ruleset.model import Plan
from ipsecmon.wire.nftables import NamedCounter

__all__ = ["Helper", "OpenedNflog"]

_TIMEOUT_S = 60.0  # nft may take long on a router with many rules
_STOP_S = 2.0
MAX_ANSWER = 16 << 20  # octets; 10,000 counters take about 1 MB

_PACKAGES = Path(__file__).parents[2]
# isolated: neither the caller's folder and environment nor any third-party package can get into the helper
_BOOT = "import sys; sys.path.insert(0, sys.argv.pop(1)); from ipsecmon.helper.__main__ import main; main()"
_GONE = "the helper process has ended: start ipsecmon again, kernel counters bridge what passes meanwhile"
_ERRORS: dict[str, type[SourceError]] = {"rules": RulesRefused}


class OpenedNflog(NamedTuple):
    """requests: how many acknowledgements, one a group in the plan's order, stand on the socket."""

    socket: socket.socket
    requests: int


class Helper:
    """The privileged process. start() before main gives up its own capabilities.

    Every verb raises HelperGone if the process has ended, and SourceError (RulesRefused where it is
    about rules) with one line if it could not do it.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._process: subprocess.Popen[str] | None = None
        self._connection: socket.socket | None = None

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
        self._process.stdin.write(self._plan.encode())
        self._process.stdin.close()
        ours.settimeout(_TIMEOUT_S)
        self._connection = ours

    def stop(self) -> None:
        """Close the connection; the helper ends by itself."""
        if self._connection:
            self._connection.close()
            self._connection = None
        if self._process:
            try:
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    @property
    def pid(self) -> int:
        return self._process.pid if self._process else 0

    def open_nflog(self) -> OpenedNflog:
        """The NFLOG socket of all groups of the plan; this process is its only owner."""
        answer, descriptors = self._ask("open-nflog")
        return OpenedNflog(socket.socket(fileno=descriptors[0]), answer["requests"])

    def counters(self) -> CounterDump:
        """Every named counter of our table, read together."""
        answer, _ = self._ask("counters")
        counters = [NamedCounter(*values) for values in answer["counters"]]
        return CounterDump(answer["table"], answer["generation"], counters)

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

    def rules_stand(self) -> bool:
        answer, _ = self._ask("rules-verify")
        return bool(answer["stand"])

    def _ask(self, verb: str) -> tuple[dict[str, Any], list[int]]:
        if self._connection is None:
            raise HelperGone(_GONE)
        try:
            self._connection.sendall(verb.encode() + b"\n")
            line, descriptors = self._receive_line(self._connection)
        except OSError as error:
            raise HelperGone(_GONE) from error
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise _ERRORS.get(answer["error"], SourceError)(answer["message"])
        return answer, descriptors

    def _receive_line(self, connection: socket.socket) -> tuple[bytes, list[int]]:
        line, descriptors, _, _ = socket.recv_fds(connection, 1 << 16, 1)
        while not line.endswith(b"\n"):
            more = connection.recv(1 << 16)
            if not more or len(line) > MAX_ANSWER:
                raise HelperGone(
                    "the helper process has ended: see its message above, then start ipsecmon again"
                )
            line += more
        return line, descriptors
