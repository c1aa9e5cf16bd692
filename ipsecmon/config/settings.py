"""The whole of a user's file as frozen, checked values: seconds, bits per second, octets."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Optional, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    create_model,
    model_validator,
)

from ipsecmon.config.counters import Counter, OwnName
from ipsecmon.config.fields import (
    RATE_SCHEMA,
    Choice,
    Duration,
    File,
    Folder,
    GroupRanges,
    Interfaces,
    Name,
    NotEmpty,
    OneOrMany,
    Program,
    Rate,
    Volume,
    as_written,
)
from ipsecmon.config.section import Section
from ipsecmon.sinks import SINKS

__all__ = ["Capacity", "Config", "Line", "Nflog", "Nfmark", "SinkEntry", "Store", "Warriors", "Xfrm"]

MIN_STORE_OCTETS, MAX_STORE_OCTETS = 128 * 10**6, 10**12  # half of the least is the log's
MAX_RECEIVE_BUFFER = 1 << 30  # the kernel keeps the size in a signed int and doubles it (socket(7))


def _checked_interval(seconds: int) -> int:
    if not 1 <= seconds <= 3600 or (60 % seconds and seconds % 60):
        raise ValueError("must divide 60s or be a multiple of it, from 1s to 1h, such as 10s or 5min")
    return seconds


def _checked_mask(mask: int) -> int:
    lowest = mask & -mask
    if (mask // lowest) & (mask // lowest + 1):
        raise ValueError("must be one run of bits without a gap, such as 0x00ff0000")
    return mask


def _checked_retention(seconds: int) -> int:
    if not 86400 <= seconds <= 36500 * 86400:
        raise ValueError("must be from 1d to 36500d")
    return seconds


def _checked_store_size(octets: int) -> int:
    if not MIN_STORE_OCTETS <= octets <= MAX_STORE_OCTETS:
        raise ValueError("must be from 128MB to 1000GB")
    return octets


def _checked_rate(bits_per_s: int) -> int:
    if bits_per_s < 1:
        raise ValueError("must be more than 0bit")
    return bits_per_s


def _checked_buffer(octets: int) -> int:
    if not 65536 <= octets <= MAX_RECEIVE_BUFFER:
        raise ValueError("must be from 64KiB to 1GiB")
    return octets


def _both_ways(value: object) -> object:
    return value if isinstance(value, dict) else {"in": value, "out": value}


class Nfmark(Section):
    """The bits of the packet mark (nfmark) that ipsecmon may write."""

    mask: Annotated[int, Field(strict=True, ge=1, le=0xFFFFFFFF), AfterValidator(_checked_mask)] = Field(
        0x00FF0000,
        description="The bits that are ours, 1 to 0xffffffff, in one run; no other bit is written. "
        "The default is 0x00ff0000.",
    )
    use: Annotated[Literal["auto", "off"], Choice("auto", "off")] = Field(
        "auto", description="`auto` tags packets where nothing else uses these bits; `off` never does."
    )


class Capacity(Section):
    """What a line can carry, in bits per second."""

    in_bits_per_s: Annotated[Rate, AfterValidator(_checked_rate)] = Field(
        alias="in", description="Bits per second towards this router."
    )
    out_bits_per_s: Annotated[Rate, AfterValidator(_checked_rate)] = Field(
        alias="out", description="Bits per second from this router."
    )


_CAPACITY_SCHEMA = {
    "anyOf": [
        RATE_SCHEMA,
        {
            "title": "`{in: rate, out: rate}`",
            "type": "object",
            "properties": {"in": RATE_SCHEMA, "out": RATE_SCHEMA},
            "required": ["in", "out"],
            "additionalProperties": False,
        },
    ]
}


class Line(Section):
    """An Internet line, whose parts must sum up to what its interface carries."""

    name: OwnName = Field(description="Its name in every report and series: 1 to 64 characters.")
    interfaces: Interfaces = Field(
        alias="interface",
        description="The network interface the line is on, such as eth1, bond0 or ppp0; or a list, where one "
        "line is several.",
    )
    capacity: Optional[Annotated[Capacity, BeforeValidator(_both_ways), WithJsonSchema(_CAPACITY_SCHEMA)]] = (
        Field(
            None,
            description="What the line can carry, in bits per second: one rate for both directions, or each.",
        )
    )

    @property
    def interface(self) -> str:
        """For people: all of them."""
        return ", ".join(self.interfaces)


class Store(Section):
    """Where ipsecmon keeps its own history and what sinks have not taken yet."""

    path: Folder = Field(
        as_written("/var/lib/ipsecmon"), description="The folder, as a full path; made if it is missing."
    )
    retention_s: Annotated[Duration, AfterValidator(_checked_retention)] = Field(
        as_written("400d"), alias="retention", description="How long history is kept, 1d to 36500d."
    )
    max_octets: Annotated[Volume, AfterValidator(_checked_store_size)] = Field(
        as_written("2GB"),
        alias="max_size",
        description="What the store may take up on disk, 128MB to 1000GB; what goes when it is full is in "
        "docs/storage.md.",
    )


class Nflog(Section):
    """How header copies of packets come from the kernel."""

    group_ranges: GroupRanges = Field(
        as_written("5600-5999"),
        alias="groups",
        description="NFLOG groups, 1 to 65535, that the agent takes numbers from, in this order.",
    )
    receive_buffer_octets: Annotated[Volume, AfterValidator(_checked_buffer)] = Field(
        as_written("32MiB"),
        alias="receive_buffer",
        description="Receive buffer of the socket in octets, 64KiB to 1GiB; more survives longer bursts.",
    )

    nfacct: Annotated[Literal["auto", "off"], Choice("auto", "off")] = Field(
        "auto",
        description="With an iptables backend: `auto` counts in nfacct objects where the kernel has them and "
        "no saved iptables rules are loaded at boot; `off` counts by the rules' own counters.",
    )

    @property
    def groups(self) -> tuple[int, ...]:
        """Every group number, in order, each once."""
        numbers = (number for first, last in self.group_ranges for number in range(first, last + 1))
        return tuple(dict.fromkeys(numbers))


class Xfrm(Section):
    """How the counters of IPsec's SAs are read."""

    reader: Annotated[Literal["netlink", "ip-xfrm"], Choice("netlink", "ip-xfrm")] = Field(
        "netlink",
        description="`netlink` asks the kernel; `ip-xfrm` reads what `ip -s xfrm state` and `ip xfrm "
        "monitor` print, and is taken too where the kernel refuses netlink.",
    )


class Warriors(Section):
    """Who the road warriors of counters with `inside: l2tp` are."""

    names: Optional[File] = Field(
        None,
        description="A file, as a full path, with a line `ADDRESS NAME` for each address inside, such as an "
        "ip-up script of pppd writes; read again when it changes.",
    )
    command: Program = Field(
        (),
        description="A program and its arguments that prints such lines; executed without a shell, at most "
        "once a minute, and given one second.",
    )


class SinkEntry(Section):
    """One sink: its kind as the only key, with its settings."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1, "maxProperties": 1})

    @property
    def kind(self) -> str:
        """The key in the file and in SINKS."""
        return next(iter(self.model_fields_set))

    @property
    def settings(self) -> BaseModel:
        """An instance of SINKS[kind].config."""
        return cast(BaseModel, getattr(self, self.kind))

    @model_validator(mode="before")
    @classmethod
    def _kind_without_settings(cls, value: Any) -> Any:
        if isinstance(value, dict):
            return {kind: {} if settings is None else settings for kind, settings in value.items()}
        return value

    @model_validator(mode="after")
    def _is_one_kind(self) -> SinkEntry:
        if len(self.model_fields_set) != 1:
            raise ValueError(f"needs exactly one of {', '.join(type(self).model_fields)}, with its settings")
        return self


if TYPE_CHECKING:
    _AnySink = SinkEntry
else:
    _AnySink = create_model(
        "Sink",
        __base__=SinkEntry,
        __doc__=SinkEntry.__doc__,
        **{name: (Optional[kind.config], Field(None)) for name, kind in SINKS.items()},
    )


class Config(Section):
    """Everything that a file may say."""

    NOT_YET: ClassVar[Mapping[str, str]] = {"page": "leave it out"}

    router: Name = Field(
        default_factory=socket.gethostname,
        description="This router's name, a tag on every series; the hostname when left out.",
    )
    interval_s: Annotated[Duration, AfterValidator(_checked_interval)] = Field(
        as_written("10s"),
        alias="interval",
        description="How often counters are read and sent; divides 60s or is a multiple of it, 1s to 1h.",
    )
    rules: Annotated[Literal["managed", "manual", "off"], Choice("managed", "manual", "off")] = Field(
        "managed",
        description="Who keeps the counting rules: `managed`, ipsecmon does; `manual`, you do, and each "
        "counter names its NFLOG groups; `off`, there are none, and the interface and SAs alone are counted.",
    )
    backend: Annotated[
        Literal["auto", "nft", "iptables", "iptables-nft", "iptables-legacy"],
        Choice("auto", "nft", "iptables", "iptables-nft", "iptables-legacy"),
    ] = Field(
        "auto",
        description="What installs the rules: `auto` takes nft where it works, else iptables; `iptables` "
        "takes its nft flavour where that works, else its legacy one.",
    )
    nfmark: Nfmark = Field(as_written({}), description="Packet marks.")
    lines: Annotated[tuple[Line, ...], OneOrMany(1), NotEmpty] = Field(
        alias="line",
        description="The Internet line; or a list of them, each with parts of its own, named `PART@LINE`.",
    )
    counters: Annotated[tuple[Counter, ...], OneOrMany()] = Field(
        (), description="Named counters; a packet counts in the first that takes it."
    )
    store: Store = Field(as_written({}), description="The own history.")
    sinks: Annotated[tuple[_AnySink, ...], OneOrMany()] = Field(
        (), description="Where series are sent, in any number."
    )
    nflog: Nflog = Field(as_written({}), description="Header copies from the kernel.")
    xfrm: Xfrm = Field(as_written({}), description="The counters of IPsec's SAs.")
    warriors: Warriors = Field(as_written({}), description="Names of road warriors.")
