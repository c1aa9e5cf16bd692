"""What `ip xfrm policy list` prints (iproute2's ipxfrm.c, 5.x to 7.x).

Gives the same values as wire/xfrm_policy.py does from netlink, but for a protocol that is told by a name not
known here. A policy begins in the first column with its selector; its templates take two or three lines
each. Lines that are not known are passed over, as newer versions add some.
"""

from __future__ import annotations

import re
from re import Match
from typing import Any, Callable

from ipsecmon.errors import DecodeError
from ipsecmon.ipsec import Mark, Policy, Selector, Template
from ipsecmon.wire.ip_xfrm_lines import ADDRESS, NETWORKS, PROTOCOLS, read_selector
from ipsecmon.wire.xfrm_layout import MODES

__all__ = ["decode_policies"]

Fields = dict[str, Any]
Reader = Callable[[Match[str], Fields], None]

AF_INET, AF_INET6 = 2, 10
_U32_MAX, _U8_MAX = (1 << 32) - 1, 255
_NOT_YET = -1
_BEGINS = re.compile(r"^(?=\S)", re.MULTILINE)
_HEAD = re.compile(NETWORKS, re.ASCII)


def decode_policies(text: str) -> list[Policy]:
    """A whole list. Raises DecodeError."""
    if text and not text.endswith("\n"):
        raise DecodeError("line cut short", len(text))
    starts = [found.start() for found in _BEGINS.finditer(text)]
    if text and (not starts or starts[0] != 0):
        raise DecodeError("text before the first policy", 0)
    return [_policy(text[start:end], start) for start, end in zip(starts, [*starts[1:], len(text)])]


def _policy(record: str, start: int) -> Policy:
    head, *lines = record.split("\n")
    fields: Fields = {"selector": _selector(head, start), "templates": []}  # each name is Policy's
    offset = start + len(head) + 1
    for line in lines:
        if not _read_line(line.strip(), fields):
            raise DecodeError("line not understood", offset)
        offset += len(line) + 1
    templates: list[Template] = fields["templates"]
    if "priority" not in fields or any(template.protocol == _NOT_YET for template in templates):
        raise DecodeError("policy cut short", start)
    return Policy(**{**fields, "templates": tuple(templates)})


def _selector(head: str, start: int) -> Selector:
    ends = _HEAD.fullmatch(head.rstrip())
    if ends is None:
        raise DecodeError("not the beginning of a policy", start)
    try:
        return read_selector(ends)
    except ValueError as error:
        raise DecodeError("selector not understood", start) from error


def _read_line(line: str, fields: Fields) -> bool:
    """False: the line is known and is not as iproute2 writes it, or not where it stands."""
    known = _LINES.get(line.partition(" ")[0])
    if known is None:
        return True
    matched = known[0].fullmatch(line)
    if matched is None:
        return False
    try:
        known[1](matched, fields)
    except (ValueError, IndexError):  # a number out of its range; a line before the one that it follows
        return False
    return True


def _head(matched: Match[str], fields: Fields) -> None:
    kind, direction, action, priority = matched.groups()
    fields.update(is_socket=kind == "socket", direction=direction, is_blocking=action == "block")
    fields["priority"] = _number(priority, _U32_MAX)


def _mark(matched: Match[str], fields: Fields) -> None:
    fields["mark"] = Mark(int(matched[1], 16), int(matched[2], 16))


def _if_id(matched: Match[str], fields: Fields) -> None:
    fields["if_id"] = int(matched[1], 16)


def _template(matched: Match[str], fields: Fields) -> None:
    """Its protocol follows, with which it is whole."""
    source, destination = matched.groups()
    if (":" in source) != (":" in destination):
        raise ValueError("two families")
    family = AF_INET6 if ":" in destination else AF_INET
    fields["templates"].append(Template(source, destination, family, 0, _NOT_YET, "", 0, is_optional=False))


def _identity(matched: Match[str], fields: Fields) -> None:
    protocol, spi, reqid, mode = matched.groups()
    fields["templates"][-1] = fields["templates"][-1]._replace(
        spi=int(spi or "0", 16),
        protocol=PROTOCOLS[protocol] if protocol in PROTOCOLS else _number(protocol, _U8_MAX),
        mode=MODES.get(int(mode), mode) if mode.isdigit() else mode,
        reqid=_number(reqid, _U32_MAX),
    )


def _level(matched: Match[str], fields: Fields) -> None:
    """The line stands only where the level is not 0, or with -s."""
    is_optional = matched[1] not in ("required", "0")
    fields["templates"][-1] = fields["templates"][-1]._replace(is_optional=is_optional)


def _number(text: str, most: int) -> int:
    number = int(text)
    if number > most:
        raise ValueError("out of range")
    return number


def _pattern(pattern: str, read: Reader) -> tuple[re.Pattern[str], Reader]:
    return re.compile(pattern, re.ASCII), read


_U32, _HEX = "([0-9]{1,10})", "(?:0x)?([0-9a-f]{1,8})"  # `%#x` prints a bare 0
_DIRECTION = (
    r"(dir|socket) (in|out|fwd|[0-9]{1,3}) (?:action (allow|block|[0-9]{1,3}) )?"
    rf"(?:index [0-9]{{1,10}} )?priority {_U32}(?: .*)?"
)
_LINES = {  # by the first word
    "dir": _pattern(_DIRECTION, _head),
    "socket": _pattern(_DIRECTION, _head),
    "mark": _pattern(rf"mark {_HEX}/{_HEX}(?: output-mark .*)?", _mark),
    "if_id": _pattern(f"if_id {_HEX}", _if_id),
    "tmpl": _pattern(f"tmpl src {ADDRESS} dst {ADDRESS}", _template),
    "proto": _pattern(
        rf"proto ([a-z0-9-]+) (?:spi 0x([0-9a-f]{{8}})(?:\([0-9]{{1,10}}\))? )?"
        rf"reqid {_U32}(?:\(0x[0-9a-f]{{8}}\))? mode ([a-z_]+|[0-9]{{1,3}})",
        _identity,
    ),
    "level": _pattern(r"level (required|use|[0-9]{1,3})(?: share .*)?", _level),
}
