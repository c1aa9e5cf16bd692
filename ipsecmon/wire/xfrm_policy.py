"""Policies (XFRM_MSG_NEWPOLICY of a dump): what tells the direction of an SA, and its subnets."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Union

from ipsecmon.errors import DecodeError
from ipsecmon.ipsec import Mark, Policy, Template
from ipsecmon.wire.netlink import Message, pull_attributes
from ipsecmon.wire.xfrm_layout import (
    MODES,
    SELECTOR_OCTETS,
    decode_address,
    decode_mark,
    decode_selector,
    decode_unsigned,
)

__all__ = ["XFRM_MSG_NEWPOLICY", "decode_policy", "policy_key"]

Octets = Union[bytes, bytearray, memoryview]

XFRM_MSG_NEWPOLICY = 0x13
XFRM_POLICY_MAX = 3  # from here on the directions again, of a socket's own policy
DIRECTIONS = {0: "in", 1: "out", 2: "fwd"}
ACTION_BLOCK = 1
AF_INET = 2

_TMPL, _MARK, _IF_ID = 5, 21, 31
_INFO = struct.Struct(
    f"={SELECTOR_OCTETS}s96xI4xBBBB4x"
)  # sel lft+curlft priority index dir action flags share
_CURRENT = slice(120, 152)  # curlft: when it was used last; all else stays as long as the policy is the same
_TEMPLATE = struct.Struct("=16s4sB3xH2x16sIBBB13x")  # id family saddr reqid mode share optional algorithms


def decode_policy(buffer: Octets, message: Message) -> Policy:
    """Raises DecodeError."""
    if message.kind != XFRM_MSG_NEWPOLICY:
        raise DecodeError("unexpected message type", message.start - 12)
    if message.end - message.start < _INFO.size:
        raise DecodeError("policy cut short", message.start)
    selector, priority, direction, action, _, _ = _INFO.unpack_from(buffer, message.start)
    is_socket = direction >= XFRM_POLICY_MAX
    direction -= XFRM_POLICY_MAX if is_socket else 0
    templates: tuple[Template, ...] = ()
    mark, if_id = Mark(0, 0), 0
    for kind, start, end in pull_attributes(buffer, message.start + _INFO.size, message.end):
        if kind == _TMPL:
            templates = tuple(_templates(buffer, start, end))
        elif kind == _MARK:
            mark = decode_mark(buffer, start, end)
        elif kind == _IF_ID:
            if_id = decode_unsigned(buffer, start, end, 4)
    return Policy(
        selector=decode_selector(selector, AF_INET, message.start),
        direction=DIRECTIONS.get(direction) or str(direction),
        is_socket=is_socket,
        is_blocking=action == ACTION_BLOCK,
        priority=priority,
        templates=templates,
        mark=mark,
        if_id=if_id,
    )


def policy_key(buffer: Octets, message: Message) -> bytes:
    """The same for messages of which decode_policy says the same: quicker than that."""
    start, end = message.start, message.end
    return bytes(buffer[start : start + _CURRENT.start]) + bytes(buffer[start + _CURRENT.stop : end])


def _templates(buffer: Octets, start: int, end: int) -> Iterator[Template]:
    if (end - start) % _TEMPLATE.size:
        raise DecodeError("template cut short", start)
    for at in range(start, end, _TEMPLATE.size):
        to, spi, protocol, family, source, reqid, mode, _, optional = _TEMPLATE.unpack_from(buffer, at)
        yield Template(
            decode_address(source, family, at),
            decode_address(to, family, at),
            family,
            int.from_bytes(spi, "big"),
            protocol,
            MODES.get(mode) or str(mode),
            reqid,
            bool(optional),
        )
