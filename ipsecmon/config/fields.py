"""The kinds of value a user writes, as annotated types: how each is read, and its JSON Schema as written.

The title in each schema is the kind's name in docs/configuration.md.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, GetJsonSchemaHandler, PlainValidator, WithJsonSchema
from pydantic.annotated_handlers import GetCoreSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from ipsecmon.config.problems import suggestion
from ipsecmon.config.protocols import PROTOCOLS
from ipsecmon.config.readers import (
    IPNetwork,
    Range,
    parse_group_range,
    parse_if_id,
    parse_network,
    parse_peer,
    parse_port_range,
    parse_protocol,
    parse_reqid_range,
    parse_xfrm_mark,
)
from ipsecmon.units import parse_duration, parse_octets, parse_rate

__all__ = [
    "NotEmpty",
    "as_written",
    "RATE_SCHEMA",
    "Choice",
    "Connections",
    "Duration",
    "File",
    "Folder",
    "GroupRanges",
    "IfIds",
    "Interfaces",
    "Name",
    "Networks",
    "OneOrMany",
    "Peers",
    "Ports",
    "Program",
    "Protocols",
    "Rate",
    "Reqids",
    "Volume",
    "XfrmMarks",
]

MAX_NAME = 64  # characters; Linux's own limit for a host name
MAX_CONNECTION = 255  # characters; swanctl.conf(5) sets no limit, nobody's names come near it
MAX_INTERFACE = 15  # octets: IFNAMSIZ less its end mark (linux/if.h)


def as_written(default: object) -> Any:
    """A default in the user's words; it is read like theirs, and shown like that in the reference."""
    return default


class OneOrMany:
    """A tuple that may be written as one item, a list of them, or nothing. least: for the schema only."""

    def __init__(self, least: int = 0) -> None:
        self._least = least

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(_as_list, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        array = handler(schema)
        return {"anyOf": [array["items"], {**array, **({"minItems": self._least} if self._least else {})}]}


class Choice:
    """One of a few words. later: words of a later version, refused by name."""

    def __init__(self, *words: str, later: tuple[str, ...] = ()) -> None:
        self._words, self._later = words, later

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self._checked)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"enum": list(self._words)}

    def _checked(self, value: object) -> str:
        if isinstance(value, str) and value in self._words:
            return value
        allowed = " or ".join(self._words)
        if value in self._later:
            raise ValueError(f"not yet in this version; write {allowed}")
        nearest = suggestion(str(value), self._words) if len(self._words) > 1 else None
        raise ValueError(f"must be {allowed}" + (f"; did you mean {nearest}?" if nearest else ""))


def _as_list(value: object) -> object:
    if value is None:
        return []
    return value if isinstance(value, (list, tuple)) else [value]


def _checked_name(value: str) -> str:
    if not (1 <= len(value) <= MAX_NAME and value.isprintable() and value == value.strip()):
        raise ValueError(f"must be 1 to {MAX_NAME} printable characters without a space at either end")
    return value


def _checked_connection(value: str) -> str:
    if not (1 <= len(value) <= MAX_CONNECTION and value.isprintable() and value == value.strip()):
        raise ValueError(f"must be 1 to {MAX_CONNECTION} printable characters without a space at either end")
    return value


def _checked_interface(value: str) -> str:
    # dev_valid_name() in net/core/dev.c; quotes and wildcards would mean something else in a rule
    refused = any(char in '/:"\\*' or char.isspace() or not char.isprintable() for char in value)
    if refused or value in (".", "..") or not 1 <= len(value.encode("utf-8", "replace")) <= MAX_INTERFACE:
        raise ValueError(
            f'must be an interface: 1 to {MAX_INTERFACE} characters, no space, none of / : " \\ *'
        )
    return value


def _checked_folder(value: object) -> Path:
    if isinstance(value, str) and value.startswith("/") and value.isprintable():
        return Path(value)
    raise ValueError("must be a folder's full path, such as /var/lib/ipsecmon")


def _checked_file(value: object) -> Path:
    if isinstance(value, str) and value.startswith("/") and value.isprintable():
        return Path(value)
    raise ValueError("must be a file's full path, such as /etc/ipsecmon/warriors")


def _checked_program(words: tuple[str, ...]) -> tuple[str, ...]:
    if words and not words[0].startswith("/"):
        raise ValueError("must begin with a program's full path, such as [/usr/local/bin/warriors, --all]")
    return words


def _not_empty(items: tuple[Any, ...]) -> tuple[Any, ...]:
    if not items:
        raise ValueError("must not be empty: give one or leave the key out")
    return items


def _merged_ranges(ranges: tuple[Range, ...]) -> tuple[Range, ...]:
    merged: list[Range] = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return tuple(merged)


def _merged_networks(networks: tuple[IPNetwork, ...]) -> tuple[IPNetwork, ...]:
    v4 = [network for network in networks if isinstance(network, ipaddress.IPv4Network)]
    v6 = [network for network in networks if isinstance(network, ipaddress.IPv6Network)]
    return (*ipaddress.collapse_addresses(v4), *ipaddress.collapse_addresses(v6))


def _text(title: str, pattern: str, *examples: str) -> JsonSchemaValue:
    return {"title": title, "type": "string", "pattern": pattern, "examples": list(examples)}


def _number_or_range(title: str, example: str, highest: int = 65535) -> JsonSchemaValue:
    number = {"type": "integer", "minimum": 1, "maximum": highest}
    digits = f"[0-9]{{1,{len(str(highest))}}}"
    return {"title": title, "anyOf": [number, _text("range", f"^{digits}(-{digits})?$", example)]}


_NUMBER = r"^\s*[0-9]{1,15}(\.[0-9]{1,6})?\s*"
_HEX = "(0x[0-9A-Fa-f]{1,8}|[0-9]{1,10})"
_U32 = {"type": "integer", "minimum": 0, "maximum": 0xFFFFFFFF}
_OCTETS = {"type": "integer", "minimum": 0}
_VOLUME = {
    "title": "volume",
    "anyOf": [_text("volume", _NUMBER + "(kB|MB|GB|KiB|MiB|GiB)?$", "32MiB"), _OCTETS],
}
_PROTOCOL = {
    "title": "protocol name or number",
    "anyOf": [
        {"type": "string", "enum": list(PROTOCOLS)},
        {"type": "integer", "minimum": 0, "maximum": 255, "not": {"enum": [50, 51]}},
    ],
}

RATE_SCHEMA = _text("rate", _NUMBER + "(bit|kbit|Mbit|Gbit)$", "1544kbit", "16Mbit")

Duration = Annotated[
    int,
    BeforeValidator(parse_duration),
    WithJsonSchema(_text("duration", _NUMBER + "(s|m|min|h|d|w)$", "10s", "400d")),
]
Rate = Annotated[int, BeforeValidator(parse_rate), WithJsonSchema(RATE_SCHEMA)]
Volume = Annotated[int, BeforeValidator(parse_octets), WithJsonSchema(_VOLUME)]
Name = Annotated[
    str,
    AfterValidator(_checked_name),
    WithJsonSchema({"title": "name", "type": "string", "minLength": 1, "maxLength": MAX_NAME}),
]
_InterfaceName = Annotated[
    str,
    AfterValidator(_checked_interface),
    WithJsonSchema(_text("interface", r'^[^/:"\\*\s]{1,15}$', "eth1")),
]
Folder = Annotated[
    Path, PlainValidator(_checked_folder), WithJsonSchema(_text("folder", "^/", "/var/lib/ipsecmon"))
]
File = Annotated[
    Path, PlainValidator(_checked_file), WithJsonSchema(_text("file", "^/", "/etc/ipsecmon/warriors"))
]
Program = Annotated[tuple[str, ...], OneOrMany(1), AfterValidator(_checked_program)]
_Peer = Annotated[
    str,
    PlainValidator(parse_peer),
    WithJsonSchema(_text("IP address or host name", "^[A-Za-z0-9.:-]{1,253}$", "198.51.100.7")),
]
_Connection = Annotated[
    str,
    AfterValidator(_checked_connection),
    WithJsonSchema(
        {"title": "connection name", "type": "string", "minLength": 1, "maxLength": MAX_CONNECTION}
    ),
]
_IfId = Annotated[
    int,
    PlainValidator(parse_if_id),
    WithJsonSchema({"title": "if_id", "anyOf": [_U32, _text("if_id", f"^{_HEX}$", "0x2a")]}),
]
_XfrmMark = Annotated[
    tuple[int, int],
    PlainValidator(parse_xfrm_mark),
    WithJsonSchema(
        {
            "title": "mark, or mark/mask",
            "anyOf": [_U32, _text("mark", f"^{_HEX}(/{_HEX})?$", "0x10/0xff")],
        }
    ),
]
_Reqid = Annotated[
    Range,
    PlainValidator(parse_reqid_range),
    WithJsonSchema(_number_or_range("reqid or range", "10-19", 0xFFFFFFFF)),
]
_Network = Annotated[
    IPNetwork,
    PlainValidator(parse_network),
    WithJsonSchema(_text("IP address or network", "^[0-9A-Fa-f:.]+(/[0-9]{1,3})?$", "10.1.5.0/24")),
]
_Port = Annotated[
    Range, PlainValidator(parse_port_range), WithJsonSchema(_number_or_range("port or range", "5000-5999"))
]
_Group = Annotated[
    Range, PlainValidator(parse_group_range), WithJsonSchema(_number_or_range("group or range", "5600-5999"))
]
_Protocol = Annotated[int, PlainValidator(parse_protocol), WithJsonSchema(_PROTOCOL)]

NotEmpty = AfterValidator(_not_empty)

Networks = Annotated[tuple[_Network, ...], OneOrMany(1), NotEmpty, AfterValidator(_merged_networks)]
Ports = Annotated[tuple[_Port, ...], OneOrMany(1), NotEmpty, AfterValidator(_merged_ranges)]
GroupRanges = Annotated[tuple[_Group, ...], OneOrMany(1), NotEmpty]
_EachOnce = AfterValidator(lambda values: tuple(dict.fromkeys(values)))
Interfaces = Annotated[tuple[_InterfaceName, ...], OneOrMany(1), NotEmpty, _EachOnce]
Protocols = Annotated[tuple[_Protocol, ...], OneOrMany(1), NotEmpty, _EachOnce]
Peers = Annotated[tuple[_Peer, ...], OneOrMany(1), NotEmpty, _EachOnce]
Connections = Annotated[tuple[_Connection, ...], OneOrMany(1), NotEmpty, _EachOnce]
IfIds = Annotated[tuple[_IfId, ...], OneOrMany(1), NotEmpty, _EachOnce]
XfrmMarks = Annotated[tuple[_XfrmMark, ...], OneOrMany(1), NotEmpty, _EachOnce]
Reqids = Annotated[tuple[_Reqid, ...], OneOrMany(1), NotEmpty, AfterValidator(_merged_ranges)]
