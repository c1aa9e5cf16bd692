"""A daemon that speaks real vici packets on a UNIX socket, as well or as badly as a test wants.

Packets are made by the `vici` package's own encoder: its server side does not exist.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Callable

from vici.protocol import Message, Packet

__all__ = ["Answer", "child", "daemon", "ike", "telling"]

Section = Mapping[str, Any]
Answer = Callable[[socket.socket], None]
LIMIT_S = 20


def child(name: str, reqid: int, spi_in: int, spi_out: int) -> Section:
    """As charon lists a CHILD_SA, less what nobody reads."""
    spis = {"spi-in": f"{spi_in:08x}", "spi-out": f"{spi_out:08x}"}
    return {"name": name, "reqid": str(reqid), "protocol": "ESP", **spis, "local-ts": ["10.1.0.0/24"]}


def ike(local: str, remote: str, *children: Section) -> Section:
    listed = {f"{one['name']}-{number}": one for number, one in enumerate(children)}
    return {"uniqueid": "1", "local-host": local, "remote-host": remote, "child-sas": listed}


def telling(sas: Iterable[Section]) -> Answer:
    """A daemon with these IKE_SAs: each section is of one, by its connection's name."""
    events = [_named(Packet.EVENT, b"list-sa") + Message.serialize(one) for one in sas]

    def answer(connection: socket.socket) -> None:
        _receive(connection)
        _send(connection, bytes([Packet.EVENT_CONFIRM]))
        _receive(connection)
        for event in events:
            _send(connection, event)
        _send(connection, bytes([Packet.CMD_RESPONSE]))
        _receive(connection)
        _send(connection, bytes([Packet.EVENT_CONFIRM]))

    return answer


@contextlib.contextmanager
def daemon(path: Path, answer: Answer) -> Iterator[list[int]]:
    """Yields the numbers of connections that were made so far."""
    made: list[int] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(path))
        listening.listen()
        thread = threading.Thread(target=_serve, args=(listening, answer, made))
        thread.start()
        try:
            yield made
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join(LIMIT_S)
            path.unlink()


def _serve(listening: socket.socket, answer: Answer, made: list[int]) -> None:
    while True:
        try:
            connection, _ = listening.accept()
        except OSError:
            return
        made.append(len(made))
        with connection, contextlib.suppress(OSError):
            connection.settimeout(LIMIT_S)
            answer(connection)


def _named(kind: int, name: bytes) -> bytes:
    return bytes([kind, len(name)]) + name


def _send(connection: socket.socket, packet: bytes) -> None:
    connection.sendall(struct.pack("!I", len(packet)) + packet)


def _receive(connection: socket.socket) -> bytes:
    (length,) = struct.unpack("!I", connection.recv(4, socket.MSG_WAITALL))
    return connection.recv(length, socket.MSG_WAITALL)
