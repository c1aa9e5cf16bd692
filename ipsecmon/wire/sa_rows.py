"""SAs, policies and events as JSON: an array a value, its fields in order. Standard library only.

Texts are at most MAX_TEXT characters and numbers below 2**64, or it is a DecodeError; text that the kernel
or ip(8) could not have told is one of a helper that went wrong.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, Callable, TypeVar

from ipsecmon.errors import DecodeError
from ipsecmon.ipsec import (
    AntiReplay,
    Encapsulation,
    Lifetime,
    Mark,
    Offload,
    Policy,
    SaEnd,
    SaEvent,
    SaFlush,
    SaNews,
    SaSoftExpiry,
    SecurityAssociation,
    Selector,
    Template,
)
from ipsecmon.model import Direction

__all__ = ["MAX_TEXT", "decode_events", "decode_policies", "decode_rows", "encode_events", "encode_rows"]

MAX_TEXT = 64  # the longest is an IPv6 network, 43
KEPT = 4096  # lifetimes and selectors repeat from SA to SA
_LIMIT = 1 << 64

Value = TypeVar("Value")
Check = Callable[[Any], Any]


def encode_rows(rows: Iterable[SecurityAssociation | Policy]) -> bytes:
    """Nothing where there are none."""
    listed = list(rows)
    return _encode(listed) if listed else b""


def decode_rows(text: bytes, offset: int = 0) -> list[SecurityAssociation]:
    return _decoded(text, offset, _sa) if text else []


def decode_policies(text: bytes, offset: int = 0) -> list[Policy]:
    return _decoded(text, offset, _policy) if text else []


def encode_events(events: Iterable[SaEvent]) -> bytes:
    return _encode([(_WORDS[type(event)], *event) for event in events])


def decode_events(text: bytes) -> list[SaEvent]:
    return _decoded(text, 0, _event)


def _encode(rows: Sequence[object]) -> bytes:
    return json.dumps(rows, separators=(",", ":"), default=_offload_fields).encode()


def _offload_fields(value: object) -> tuple[object, ...]:
    if not isinstance(value, Offload):
        raise TypeError(type(value))
    return (value.is_inbound, value.is_full, value.ifindex, value.ifname)


def _decoded(text: bytes, offset: int, one: Callable[[Any], Value]) -> list[Value]:
    try:
        return [one(fields) for fields in _array(json.loads(text))]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise DecodeError("malformed record", offset) from error


def _array(value: Any) -> list[Any]:
    if type(value) is not list:
        raise TypeError
    return value


def _text(value: Any) -> str:
    if type(value) is not str or len(value) > MAX_TEXT:
        raise TypeError
    return value


def _number(value: Any) -> int:
    if type(value) is not int or not 0 <= value < _LIMIT:
        raise TypeError
    return value


def _protocol(value: Any) -> int:
    return -1 if value == -1 else _number(value)


def _flag(value: Any) -> bool:
    if type(value) is not bool:
        raise TypeError
    return value


def _optional(check: Check) -> Check:
    return lambda value: None if value is None else check(value)


def _tuple_of(make: Callable[..., Value], *checks: Check) -> Callable[[Any], Value]:
    """A value from its fields. Those of the same number of fields are mistaken only for valid ones."""
    number = len(checks)

    def check_fields(fields: Any) -> Value:
        if type(fields) not in (list, tuple) or len(fields) != number:
            raise TypeError
        return make(*[check(field) for check, field in zip(checks, fields)])

    return check_fields


def _kept(check: Callable[[Any], Value]) -> Callable[[Any], Value]:
    cached = lru_cache(KEPT)(check)
    return lambda fields: cached(tuple(_array(fields)))


_mark = _tuple_of(Mark, _number, _number)
_selector = _kept(
    _tuple_of(Selector, _text, _text, _protocol, _optional(_number), _optional(_number)),
)
_lifetime = _kept(_tuple_of(Lifetime, *[_optional(_number)] * 8))
_anti_replay = _tuple_of(AntiReplay, _number, _number, _number, _number, _flag)
_encapsulation = _tuple_of(Encapsulation, _text, _number, _number, _text)
_offload = _tuple_of(Offload, _flag, _flag, _number, _text)
_template = _tuple_of(Template, _text, _text, _number, _number, _number, _text, _number, _flag)

_sa = _tuple_of(
    SecurityAssociation,
    *(_text, _text, _number, _number, _number, _text, _number),  # source to reqid
    *(_number, _number, _number, _optional(_number)),  # octets to used_s
    *(_number, _number, _number, _number, _number),  # late_packets to flags
    *(_lifetime, _optional(_selector), _mark, _optional(_mark), _number, Direction),
    *(_optional(_encapsulation), _optional(_anti_replay), _optional(_number), _optional(_offload)),
    *(_number, _optional(_number), _flag),
)
_policy = _tuple_of(
    Policy,
    *(_selector, _text, _flag, _flag, _number),
    lambda templates: tuple(map(_template, _array(templates))),
    *(_mark, _number),
)

_EVENTS: dict[str, Callable[[Any], SaEvent]] = {
    "news": _tuple_of(SaNews, _sa, _flag),
    "end": _tuple_of(SaEnd, _sa, _flag),
    "soft": _tuple_of(SaSoftExpiry, _sa),
    "flush": _tuple_of(SaFlush, _number),
}
_WORDS: dict[type, str] = {SaNews: "news", SaEnd: "end", SaSoftExpiry: "soft", SaFlush: "flush"}


def _event(fields: Any) -> SaEvent:
    word, *rest = _array(fields)
    return _EVENTS[_text(word)](rest)
