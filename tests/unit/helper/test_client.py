"""Main's side of the connection: what is no answer, is nobody's."""

from __future__ import annotations

import socket

import pytest

from ipsecmon.helper.client import _exchange


@pytest.mark.parametrize("said", [b"\xff\n", b'{"sas": "\n', b"[]\n", b'{"stand": true}\n{}\n', b"{}\nrest"])
def test_what_is_no_answer_ends_the_connection_and_is_not_repeated(said: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(said)
        with pytest.raises(ConnectionResetError) as raised:
            _exchange(ours, "rules-verify\n")
    assert raised.value.args == ()
    assert raised.value.__suppress_context__ or raised.value.__context__ is None


def test_an_answer_is_its_line_and_the_octets_behind_it() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b'{"octets": 3}\nabc')
        assert _exchange(ours, "sa-dump\n") == ({"body": b"abc"}, [])
