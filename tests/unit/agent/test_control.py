"""The control socket over a real loop: the loop runs here, each client in a thread of its own."""

from __future__ import annotations

import ctypes
import json
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable, Optional

import pytest

from ipsecmon.agent.control import MAX_CONNECTIONS, MAX_REQUEST, SOCKET, Control, NotRunning, Reply, ask
from ipsecmon.agent.loop import Loop
from ipsecmon.agent.observe import Counters
from ipsecmon.clock import SystemClock
from ipsecmon.errors import HelperGone, SourceError, StoreError

LIMIT_NS = 20_000_000_000  # a test whose client never comes back ends by then


class Agent:
    """A loop and a control socket with three verbs; `later` answers when it is told to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.counts = Counters()
        self.loop = Loop(SystemClock(), self.counts, {})
        self.waiting: list[Reply] = []
        verbs: dict[str, Callable[[Reply], None]] = {
            "status": lambda reply: reply({"router": "gw", "folder": str(folder)}),
            "later": self._later,
            "close-interval": self._fail,
            "end": lambda reply: self.loop.call_at(0, self.control.stop),
            "vast": lambda reply: reply({"text": "x" * 8_000_000}),
        }
        self.control = Control(folder, self.loop, verbs)
        self.control.start()

    def _later(self, reply: Reply) -> None:
        self.waiting.append(reply)

    def _fail(self, reply: Reply) -> None:
        raise StoreError("the disk is full")

    def serve(self, client: Callable[[], Any]) -> Any:
        """Run the loop until the client, in its thread, has returned or raised."""
        result: list[Any] = []
        error: Optional[BaseException] = None
        done, told = socket.socketpair()

        def run() -> None:
            nonlocal error
            try:
                result.append(client())
            except BaseException as raised:  # noqa: BLE001  # raised again below
                error = raised
            told.close()

        with done, told:
            self.loop.watch(done, self.loop.end)
            self.loop.call_at(SystemClock().now().monotonic_ns + LIMIT_NS, self.loop.end)
            thread = threading.Thread(target=run)
            thread.start()
            self.loop.run()
            thread.join(5)
            self.loop.unwatch(done)
        if error:
            raise error
        return result[0]

    def connected(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(5)
        connection.connect(str(self.folder / SOCKET))
        return connection

    def exchange(self, request: bytes) -> bytes:
        """What comes back until a line's end or the connection's."""
        with self.connected() as connection:
            connection.sendall(request)
            return line_from(connection)

    def stop(self) -> None:
        self.control.stop()
        self.loop.close()


def line_from(connection: socket.socket) -> bytes:
    with connection.makefile("rb") as answers:
        try:
            return answers.readline()
        except ConnectionResetError:  # closed while octets of ours were unread
            return b""


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    made = Agent(tmp_path)
    yield made
    made.stop()


def test_a_verb_is_answered(agent: Agent) -> None:
    assert agent.serve(lambda: ask(agent.folder, "status"))["router"] == "gw"


def test_an_answer_may_come_later(agent: Agent) -> None:
    def answer_all() -> None:
        if not agent.waiting:
            agent.loop.call_at(SystemClock().now().monotonic_ns + 1_000_000, answer_all)
        for reply in agent.waiting:
            reply({"closed": 1})

    agent.loop.call_at(0, answer_all)
    assert agent.serve(lambda: ask(agent.folder, "later")) == {"closed": 1}


def test_a_verb_that_fails_is_answered_with_its_error_and_counted(agent: Agent) -> None:
    with pytest.raises(SourceError, match="the disk is full"):
        agent.serve(lambda: ask(agent.folder, "close-interval"))
    assert agent.counts.totals() == {"agent.errors": 1}


def test_an_unknown_verb_is_answered_with_those_there_are(agent: Agent) -> None:
    with pytest.raises(SourceError, match="there are status, later, close-interval"):
        agent.serve(lambda: ask(agent.folder, "reboot"))


@pytest.mark.parametrize(
    "garbage",
    [
        b"\n",
        b"status\n",
        b"[]\n",
        b'"verb"\n',
        b"null\n",
        b'{"verb": []}\n',
        b'{"verb": null}\n',
        b"{}\n",
        b"\xff\xfe\x00\n",
        b"[" * (MAX_REQUEST - 1) + b"\n",
        b'{"verb": "status"}\n{"verb": "status"}\n',
    ],
)
def test_garbage_is_answered_with_an_error_and_breaks_nothing(agent: Agent, garbage: bytes) -> None:
    assert "error" in json.loads(agent.serve(lambda: agent.exchange(garbage)))
    assert agent.serve(lambda: ask(agent.folder, "status"))
    assert agent.counts.totals() == {}


def test_too_long_a_request_ends_the_connection(agent: Agent) -> None:
    assert agent.serve(lambda: agent.exchange(b"x" * (MAX_REQUEST + 1))) == b""
    assert agent.serve(lambda: ask(agent.folder, "status"))


def test_a_request_may_come_octet_by_octet(agent: Agent) -> None:
    def slowly() -> bytes:
        with agent.connected() as connection:
            for octet in b'{"verb": "status"}\n':
                connection.sendall(bytes([octet]))
            return line_from(connection)

    assert json.loads(agent.serve(slowly))["router"] == "gw"


def test_one_connection_may_ask_again(agent: Agent) -> None:
    def twice() -> list[bytes]:
        with agent.connected() as connection:
            answers = []
            for _ in range(2):
                connection.sendall(b'{"verb": "status"}\n')
                answers.append(line_from(connection))
            return answers

    assert len(set(agent.serve(twice))) == 1


def test_half_a_request_waits_and_holds_up_nobody(agent: Agent) -> None:
    def beside_half() -> Any:
        with agent.connected() as half:
            half.sendall(b'{"verb": ')
            return ask(agent.folder, "status")

    assert agent.serve(beside_half)["router"] == "gw"


def test_connections_beyond_the_limit_are_closed_and_leave_the_others_alone(agent: Agent) -> None:
    def many() -> tuple[bytes, Any]:
        open_ones = [agent.connected() for _ in range(MAX_CONNECTIONS)]
        try:
            with agent.connected() as one_more:
                refused = one_more.recv(1)
            open_ones[0].sendall(b'{"verb": "status"}\n')
            return refused, json.loads(line_from(open_ones[0]))
        finally:
            for connection in open_ones:
                connection.close()

    refused, answer = agent.serve(many)
    assert refused == b""
    assert answer["router"] == "gw"
    assert agent.serve(lambda: ask(agent.folder, "status"))


def test_an_agent_that_too_many_ask_is_not_said_to_be_away(agent: Agent) -> None:
    def many() -> None:
        open_ones = [agent.connected() for _ in range(MAX_CONNECTIONS)]
        try:
            ask(agent.folder, "status")
        finally:
            for connection in open_ones:
                connection.close()

    with pytest.raises(NotRunning, match="closed the connection: it is stopping, or asked by many"):
        agent.serve(many)


def test_a_client_that_is_gone_before_its_answer_breaks_nothing(agent: Agent) -> None:
    def leave() -> None:
        with agent.connected() as connection:
            connection.sendall(b'{"verb": "later"}\n')
        ask(agent.folder, "status")

    agent.serve(leave)
    assert len(agent.waiting) == 1
    agent.waiting[0]({"closed": 1})
    assert agent.serve(lambda: ask(agent.folder, "status"))
    assert agent.counts.totals() == {}


def test_a_client_that_does_not_read_is_given_up(agent: Agent) -> None:
    def idle() -> Any:
        with agent.connected() as connection:
            connection.sendall(b'{"verb": "vast"}\n')
            return ask(agent.folder, "status")

    assert agent.serve(idle)["router"] == "gw"
    assert agent.counts.totals() == {}


def test_a_folder_with_a_very_long_path_will_do(tmp_path: Path) -> None:
    folder = tmp_path / ("a" * 200) / ("b" * 200)
    folder.mkdir(parents=True)
    made = Agent(folder)
    assert made.serve(lambda: ask(folder, "status"))["folder"] == str(folder)
    made.stop()
    assert list(folder.iterdir()) == []


def test_the_socket_is_for_owner_and_group(agent: Agent) -> None:
    assert stat.S_IMODE((agent.folder / SOCKET).stat().st_mode) == 0o660


def test_a_socket_that_a_dead_agent_left_is_replaced(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as left:
        left.bind(str(tmp_path / SOCKET))
    made = Agent(tmp_path)
    assert made.serve(lambda: ask(tmp_path, "status"))["router"] == "gw"
    made.stop()


def test_without_an_agent_the_error_says_so_and_what_to_do(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(NotRunning, match="start it with ipsecmon run"):
            ask(folder, "status")


def test_an_agent_that_is_stopping_is_not_running(agent: Agent) -> None:
    with pytest.raises(NotRunning, match="it is stopping"):
        agent.serve(lambda: ask(agent.folder, "end"))


def test_an_agent_that_does_not_answer_is_not_called_stopped(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ipsecmon.agent.control._CLIENT_TIMEOUT_S", 0.05)
    with pytest.raises(SourceError, match="does not answer") as raised:
        agent.serve(lambda: ask(agent.folder, "later"))
    assert not isinstance(raised.value, NotRunning)


def test_a_helper_that_is_gone_is_said_and_ends_the_loop(tmp_path: Path) -> None:
    made = Agent(tmp_path)

    def gone(reply: Reply) -> None:
        raise HelperGone("the helper process has ended")

    made.control._verbs = {"status": gone}
    with made.connected() as client:
        client.sendall(b'{"verb": "status"}\n')
        with pytest.raises(HelperGone):
            made.loop.run()
        assert json.loads(line_from(client)) == {"error": "the helper process has ended"}
    made.stop()


def test_who_may_not_ask_is_told_why(agent: Agent) -> None:
    def as_nobody() -> Any:
        # setfsuid(2) is of this thread alone, which ends with the call; it does nothing without root
        ctypes.CDLL(None).setfsuid(65534)
        return ask(agent.folder, "status")

    (agent.folder / SOCKET).chmod(0)
    with pytest.raises(SourceError, match="not allowed"):
        agent.serve(as_nobody)


def test_a_verb_may_take_more_than_its_name(tmp_path: Path) -> None:
    made = Agent(tmp_path)
    made.control._requests = {"mark": lambda asked, reply: reply({"said": asked["text"]})}
    assert (
        made.serve(lambda: ask(tmp_path, "mark", text="größer als x" * 100))["said"] == "größer als x" * 100
    )
    made.stop()
