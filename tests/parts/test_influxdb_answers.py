"""Endless, huge or compressed answers of a server cost no memory and lose nothing."""

from __future__ import annotations

import contextlib
import gzip
import itertools
import json
import socket
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from ipsecmon.errors import Rejected, Unavailable
from ipsecmon.sinks.deadline import MAX_ANSWER_OCTETS
from ipsecmon.sinks.influxdb import Config, Sink

from .batches import batch

SOCKET_BUFFERS = 32 << 20  # more than both ends may hold of what was sent and not read
BLOCK = bytes(65536)
CHUNK = b"10000\r\n" + BLOCK + b"\r\n"
ENDLESS = {
    "until it closes": (b"HTTP/1.1 500 X\r\n\r\n", BLOCK),
    "a length of 100 GB": (b"HTTP/1.1 200 OK\r\nContent-Length: 100000000000\r\n\r\n", BLOCK),
    "chunks": (b"HTTP/1.1 502 X\r\nTransfer-Encoding: chunked\r\n\r\n", CHUNK),
    "a chunk of 1 TB": (b"HTTP/1.1 502 X\r\nTransfer-Encoding: chunked\r\n\r\nffffffffff\r\n", BLOCK),
    "header lines": (b"HTTP/1.1 204 No Content\r\n", b"X: y\r\n" * 1000),
}


class Server:
    """Answers one request with all of the pieces. sent: octets that it got rid of."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self.sent = 0
        self._pieces = pieces
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def answer(self) -> None:
        connection, _ = self._listener.accept()
        with self._listener, connection, contextlib.suppress(OSError):
            connection.recv(65536)
            for piece in self._pieces:
                connection.sendall(piece)
                self.sent += len(piece)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):  # closed with some unread, the kernel would take back the answer
                pass


@contextlib.contextmanager
def answering(pieces: Iterable[bytes]) -> Iterator[Server]:
    server = Server(pieces)
    thread = threading.Thread(target=server.answer)
    thread.start()
    yield server
    thread.join()


@pytest.fixture(params=["v1", "v2"])
def place(request: pytest.FixtureRequest, token_file: Path) -> dict[str, object]:
    bucket: dict[str, object] = {"bucket": "b", "org": "ops", "token_file": token_file}
    return bucket if request.param == "v2" else {"database": "traffic"}


def sink(url: str, place: dict[str, object]) -> Sink:
    return Sink(Config.model_validate({"url": url, "timeout": "20s", **place}))


@pytest.mark.parametrize("kind", list(ENDLESS))
def test_an_answer_without_an_end_is_cut_off_and_the_batch_waits(kind: str, place: dict[str, object]) -> None:
    head, piece = ENDLESS[kind]
    with answering(itertools.chain([head], itertools.repeat(piece))) as server:
        sending = sink(server.url, place)
        with pytest.raises(Unavailable, match=r"InfluxDB server|see the server's log"):
            sending.send(batch())
        sending.stop()
    assert server.sent < MAX_ANSWER_OCTETS + SOCKET_BUFFERS


def test_a_compressed_answer_is_not_unpacked_and_the_batch_waits(place: dict[str, object]) -> None:
    body = gzip.compress(json.dumps({"error": "0" * 100_000_000, "message": "0"}).encode())
    head = f"HTTP/1.1 400 X\r\nContent-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n"
    with answering([head.encode(), body]) as server:
        sending = sink(server.url, place)
        with pytest.raises(Unavailable, match="an InfluxDB server"):
            sending.send(batch())
        sending.stop()


def test_a_refusal_that_quotes_a_megabyte_is_one(place: dict[str, object]) -> None:
    body = json.dumps({"error": "unable to parse 'x': missing fields\n" + "y" * 1_000_000}).encode()
    head = f"HTTP/1.1 400 X\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    with answering([head.encode(), body]) as server:
        sending = sink(server.url, place)
        with pytest.raises(Rejected, match="unable to parse") as caught:
            sending.send(batch())
        sending.stop()
    assert caught.value.dropped == 1
