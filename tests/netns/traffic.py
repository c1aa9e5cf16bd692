"""A traffic maker, run as a script inside a namespace; standard library only.

    send     exactly so many UDP packets of mixed sizes, at a bounded rate
    receive  counts UDP packets until stdin closes (says "ready" first)
    serve    takes one TCP connection and reads it to its end (says "ready" first)
    upload   sends octets over one TCP connection

Each prints one line of JSON at its end: {"packets": …, "octets": …}. For UDP these are IP packets and IP
octets, computed from the payload (8 of UDP, 20 or 40 of IP), so they owe nothing to the kernel's
counters. For TCP packets is 0 and octets is the payload: what it took on the wire is what the quiet
NICs counted, less 14 a frame.
"""

from __future__ import annotations

import argparse
import itertools
import json
import select
import socket
import sys
import time
from collections.abc import Sequence

UDP_HEADER = 8
LARGEST_PAYLOAD = 1452  # in 1500 octets, under IPv6
RECEIVE_BUFFER = 32 << 20
SO_RCVBUFFORCE = 33  # asm-generic/socket.h
TICK_S = 0.002


def main(arguments: Sequence[str]) -> None:
    options = _parse(arguments)
    packets, octets = {"send": send, "receive": receive, "serve": serve, "upload": upload}[options.verb](
        options
    )
    print(json.dumps({"packets": packets, "octets": octets}), flush=True)


def send(options: argparse.Namespace) -> tuple[int, int]:
    assert max(options.sizes) <= LARGEST_PAYLOAD, "a fragment would be a packet more"
    payloads = [bytes(size) for size in options.sizes]
    sizes = itertools.islice(itertools.cycle(options.sizes), options.packets)
    with _socket(options, socket.SOCK_DGRAM) as out:
        out.bind((options.source, options.source_port))
        start = time.monotonic()
        for number in range(options.packets):
            if number % 16 == 0:
                _wait(start + number / options.rate)
            out.sendto(payloads[number % len(payloads)], (options.address, options.port))
    return options.packets, sum(sizes) + options.packets * _headers(options)


def receive(options: argparse.Namespace) -> tuple[int, int]:
    packets = octets = 0
    with _socket(options, socket.SOCK_DGRAM) as inbound:
        inbound.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER)
        inbound.bind((options.address, options.port))
        print("ready", flush=True)
        while True:
            readable, _, _ = select.select([inbound, sys.stdin], [], [])
            if inbound not in readable:  # stdin has closed, and all that had arrived is counted
                return packets, octets
            packets += 1
            octets += len(inbound.recv(LARGEST_PAYLOAD + 1)) + _headers(options)


def serve(options: argparse.Namespace) -> tuple[int, int]:
    octets = 0
    with _socket(options, socket.SOCK_STREAM) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((options.address, options.port))
        listening.listen(1)
        print("ready", flush=True)
        connection, _ = listening.accept()
    with connection:
        while piece := connection.recv(1 << 16):
            octets += len(piece)
    return 0, octets


def upload(options: argparse.Namespace) -> tuple[int, int]:
    with _socket(options, socket.SOCK_STREAM) as out:
        out.bind((options.source, options.source_port))
        out.connect((options.address, options.port))
        out.sendall(bytes(options.octets))
        out.shutdown(socket.SHUT_WR)
        assert out.recv(1) == b""  # the far side has read all of it and closed: no frame follows ours
    return 0, options.octets


def _wait(until: float) -> None:
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(left, TICK_S))


def _socket(options: argparse.Namespace, kind: socket.SocketKind) -> socket.socket:
    return socket.socket(socket.AF_INET6 if ":" in options.address else socket.AF_INET, kind)


def _headers(options: argparse.Namespace) -> int:
    return UDP_HEADER + (40 if ":" in options.address else 20)


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("verb", choices=("send", "receive", "serve", "upload"))
    parser.add_argument("address", help="where to send to, or to listen")
    parser.add_argument("port", type=int)
    parser.add_argument("--source", default="", help="address to send from")
    parser.add_argument("--source-port", type=int, default=0)
    parser.add_argument("--packets", type=int, default=1)
    parser.add_argument("--sizes", type=_sizes, default=[100], help="payloads, taken in turn: 20,200,1400")
    parser.add_argument("--rate", type=float, default=20_000.0, help="packets a second, at most")
    parser.add_argument("--octets", type=int, default=1 << 20)
    return parser.parse_args(arguments)


def _sizes(text: str) -> list[int]:
    return [int(size) for size in text.split(",")]


if __name__ == "__main__":
    main(sys.argv[1:])
