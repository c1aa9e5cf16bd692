"""A named counter of the user's: an IPsec tunnel, or a share of clear or of decrypted traffic."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple, Optional

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from ipsecmon.config.fields import Choice, Name, OneOrMany
from ipsecmon.config.ipsec import Ipsec
from ipsecmon.config.match import Match
from ipsecmon.config.section import Section
from ipsecmon.model import UNNAMED, Direction, ObservationPoint

__all__ = ["BUILT_IN_PARTS", "Counter", "NflogPin", "OwnName", "Pin"]

BUILT_IN_PARTS = ("esp", "nat-t", "ah", "ike", "gre", "l2tp", "other", "inner")


def _not_built_in(name: str) -> str:
    if name.casefold() in BUILT_IN_PARTS:
        raise ValueError(
            f'is the name of a built-in part: write another one, such as "my-{name}", or leave the counter '
            f"out where the built-in part is what it counts; not allowed: {', '.join(BUILT_IN_PARTS)}"
        )
    if "@" in name:
        raise ValueError('may not hold @, which stands between a part and its line: write "-" in its place')
    if name.casefold() == UNNAMED:
        raise ValueError("is the name of the SAs that no counter takes: give it another one")
    return name


OwnName = Annotated[Name, AfterValidator(_not_built_in)]


class Pin(NamedTuple):
    """One NFLOG group, fixed by the user, and the copy that goes to it."""

    group: int
    direction: Direction
    observed_at: ObservationPoint


class NflogPin(Section):
    """Fixes the NFLOG group of one of a counter's header copies."""

    group: Annotated[int, Field(strict=True, ge=1, le=65535)] = Field(
        description="NFLOG group number, 1 to 65535; one group serves one copy."
    )
    direction: Annotated[Literal["in", "out"], Choice("in", "out")] = Field(
        description="Which direction's copy, relative to this router."
    )
    observed_at: Optional[Annotated[Literal["wire", "inner"], Choice("wire", "inner")]] = Field(
        None,
        description="Where the copy is taken: `wire` on the line, `inner` inside the tunnel. "
        "Default: `wire`, and `inner` for a counter with `inside_tunnel`.",
    )


class Counter(Section):
    """One named counter; it has exactly one of `ipsec` and `match`, or with `rules: manual` only `nflog`."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {"required": ["ipsec"]},
                {"required": ["match"]},
                {"required": ["nflog"], "not": {"anyOf": [{"required": ["ipsec"]}, {"required": ["match"]}]}},
            ]
        }
    )

    name: OwnName = Field(
        description="Its name in every report and series: 1 to 64 characters, unlike any other "
        "counter's or line's, also when letter case is ignored."
    )
    ipsec: Optional[Ipsec] = Field(None, description="Count this IPsec tunnel.")
    match: Optional[Match] = Field(None, description="Count these clear packets of the line.")
    inside: Optional[Annotated[Literal["gre", "l2tp", "xfrm"], Choice("gre", "l2tp", "xfrm")]] = Field(
        None,
        description="What this tunnel's IPsec carries, to count it layer by layer: `gre`, by the GRE "
        "interfaces whose packets it encrypts; `l2tp`, by PPP sessions, each a road warrior; `xfrm`, by "
        "the xfrm interfaces of its SAs' if_id.",
    )
    inside_tunnel: Optional[str] = Field(
        None,
        description="Name of a counter with `ipsec`: take `match` inside that tunnel, not on the line.",
    )
    nflog: Annotated[tuple[NflogPin, ...], OneOrMany()] = Field(
        (),
        description="Fixed NFLOG group numbers; without it the agent takes them from `nflog.groups`. "
        "With `rules: manual`, the groups that your own rules log to.",
    )

    @property
    def pins(self) -> tuple[Pin, ...]:
        """The fixed groups, each with its observation point."""
        default = "inner" if self.inside_tunnel else "wire"
        return tuple(
            Pin(pin.group, Direction(pin.direction), ObservationPoint(pin.observed_at or default))
            for pin in self.nflog
        )

    @model_validator(mode="after")
    def _is_one_thing(self) -> Counter:
        if self.ipsec is not None and self.match is not None:
            raise ValueError("needs exactly one of ipsec and match")
        if self.inside_tunnel is not None and self.match is None:
            raise ValueError("inside_tunnel goes with match, not with ipsec")
        if self.inside is not None and self.ipsec is None:
            raise ValueError("inside goes with ipsec: it says what that carries")
        return self

    @model_validator(mode="after")
    def _has_the_pinned_copies(self) -> Counter:
        copies = [(pin.direction, pin.observed_at) for pin in self.pins]
        if len(set(copies)) < len(copies):
            raise ValueError("nflog fixes two groups for one direction and observation point")
        point = ObservationPoint.INNER if self.inside_tunnel else ObservationPoint.WIRE
        if self.match is not None and any(pin.observed_at is not point for pin in self.pins):
            raise ValueError(f"nflog: a counter with this match is observed at {point.value} only")
        return self
