"""The control socket: `control.sock` in the store's folder, one line of JSON a request and an answer.

Both sides stand here. Only who may write to the folder (0750) and the socket (0660) gets in; nothing that
is asked here reads traffic, and what `reload` changes is what the agent's own config file says.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Optional

from ipsecmon.agent.loop import Loop
from ipsecmon.errors import IpsecmonError, SourceError
from ipsecmon.model import CounterKey, Direction, Increment, ObservationPoint

__all__ = ["SOCKET", "Control", "NotRunning", "Reply", "Totals", "ask", "ask_totals", "describe_totals"]

SOCKET = "control.sock"
MAX_REQUEST = 4096  # octets
MAX_CONNECTIONS = 16
_CLIENT_TIMEOUT_S = 15.0
_NUMBERS = tuple(field.name for field in fields(Increment) if field.name != "key")

Answer = dict[str, Any]
Reply = Callable[[Answer], None]
Verb = Callable[[Reply], None]
Request = Callable[[Mapping[str, Any], Reply], None]


class NotRunning(SourceError):
    """No agent listens on this store."""


@dataclass(frozen=True)
class Totals:
    """Since the agent started, by counter, and when they were read (CLOCK_MONOTONIC)."""

    monotonic_ns: int
    by_key: Mapping[CounterKey, Increment]


class Control:
    """Answers on the loop's thread. verbs: each is given a function that takes its answer, now or later.

    requests: verbs that are given what was asked, too.
    """

    def __init__(
        self,
        folder: Path,
        loop: Loop,
        verbs: Mapping[str, Verb],
        requests: Optional[Mapping[str, Request]] = None,
    ) -> None:
        self._folder = folder
        self._loop = loop
        self._verbs = verbs
        self._requests = requests or {}
        self._listener: Optional[socket.socket] = None
        self._connections: dict[socket.socket, bytes] = {}

    def start(self) -> None:
        """The folder's lock is ours, so a socket that is there is left from a process that died."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with _short_path(self._folder) as path:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)  # noqa: PTH108  # the path is through a descriptor
            listener.bind(path)
            os.chmod(path, 0o660)  # noqa: PTH101
        listener.listen(MAX_CONNECTIONS)
        listener.setblocking(False)
        self._listener = listener
        self._loop.watch(listener, self._accept)

    def stop(self) -> None:
        for connection in list(self._connections):
            self._forget(connection)
        if self._listener:
            self._loop.unwatch(self._listener)
            self._listener.close()
            self._listener = None
            (self._folder / SOCKET).unlink(missing_ok=True)

    def _accept(self) -> None:
        assert self._listener is not None
        connection, _ = self._listener.accept()
        if len(self._connections) >= MAX_CONNECTIONS:
            connection.close()
            return
        connection.setblocking(False)
        self._connections[connection] = b""
        self._loop.watch(connection, lambda: self._receive(connection))

    def _receive(self, connection: socket.socket) -> None:
        try:
            received = connection.recv(MAX_REQUEST)
        except OSError:
            received = b""
        request = self._connections[connection] + received
        if not received or len(request) > MAX_REQUEST:
            self._forget(connection)
        elif request.endswith(b"\n"):
            self._connections[connection] = b""
            self._answer(connection, request)
        else:
            self._connections[connection] = request

    def _answer(self, connection: socket.socket, request: bytes) -> None:
        def reply(answer: Answer) -> None:
            if connection not in self._connections:
                return  # gone meanwhile
            try:
                connection.setblocking(True)
                connection.settimeout(1.0)
                connection.sendall(json.dumps(answer).encode() + b"\n")
                connection.setblocking(False)
            except OSError:
                self._forget(connection)

        try:
            asked = json.loads(request)
            verb = self._verb(asked)
        except (ValueError, KeyError, TypeError, RecursionError):
            reply({"error": f"unknown request; there are {', '.join([*self._verbs, *self._requests])}"})
            return
        try:
            verb(reply)
        except IpsecmonError as error:
            reply({"error": str(error)})
            raise

    def _verb(self, asked: Mapping[str, Any]) -> Verb:
        name = asked["verb"]
        if name not in self._requests:
            return self._verbs[name]
        return lambda reply: self._requests[name](asked, reply)

    def _forget(self, connection: socket.socket) -> None:
        self._loop.unwatch(connection)
        del self._connections[connection]
        connection.close()


def ask(folder: Path, verb: str, **more: Any) -> Answer:
    """The running agent's answer. more: JSON values, for a verb that takes some.

    Raises NotRunning, or SourceError with what the agent said.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_CLIENT_TIMEOUT_S)
        try:
            with _short_path(folder) as path:
                connection.connect(path)
            connection.sendall(json.dumps({"verb": verb, **more}, ensure_ascii=False).encode() + b"\n")
            with connection.makefile("rb") as answers:
                line = answers.readline()
        except PermissionError as error:
            raise SourceError(f"not allowed to ask the agent on {folder}: be root or in its group") from error
        except socket.timeout as error:  # another class than TimeoutError on Python 3.9
            raise SourceError(f"the agent on {folder} does not answer: see its log") from error
        except (ConnectionResetError, BrokenPipeError):  # between connecting and an answer
            line = b""
        except OSError as error:
            raise NotRunning(f"no agent is running on {folder}: start it with ipsecmon run") from error
    if not line:
        raise NotRunning(f"the agent on {folder} closed the connection: it is stopping, or asked by many")
    answer: Answer = json.loads(line)
    if "error" in answer:
        raise SourceError(str(answer["error"]))
    return answer


def ask_totals(folder: Path) -> Totals:
    """What the running agent has counted, read now. Raises as ask()."""
    answer = ask(folder, "totals")
    totals = [_total(row) for row in answer["totals"]]
    return Totals(answer["monotonic_ns"], {one.key: one for one in totals})


def describe_totals(totals: Totals) -> Answer:
    """The answer that ask_totals() understands."""
    return {"monotonic_ns": totals.monotonic_ns, "totals": [_row(one) for one in totals.by_key.values()]}


def _row(total: Increment) -> Answer:
    key = total.key
    names = {"name": key.name, "direction": key.direction.value, "observed_at": key.observed_at.value}
    return {**names, **{field: getattr(total, field) for field in _NUMBERS}}


def _total(row: Mapping[str, Any]) -> Increment:
    key = CounterKey(row["name"], Direction(row["direction"]), ObservationPoint(row["observed_at"]))
    return Increment(key, **{field: row[field] for field in _NUMBERS if field in row})


@contextlib.contextmanager
def _short_path(folder: Path) -> Iterator[str]:
    """The socket's path through a descriptor of its folder: a socket address holds 107 octets only."""
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}/{SOCKET}"
    finally:
        os.close(descriptor)
