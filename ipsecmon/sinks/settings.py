"""Settings that every sink has, and the types that their own settings are made of."""

from __future__ import annotations

from typing import Annotated, Optional

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from ipsecmon.units import parse_duration

__all__ = ["DurationS", "SinkConfig"]

DurationS = Annotated[
    int,
    Field(ge=1),
    BeforeValidator(parse_duration),
    WithJsonSchema({"type": "string", "pattern": r"^\s*[0-9.]+\s*(s|min|m|h|d|w)\s*$"}),
]


class SinkConfig(BaseModel):
    # A setting may name a secret or hold a URL that should not: nothing of it is echoed.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    counters: Optional[tuple[str, ...]] = Field(
        default=None,
        min_length=1,
        description=(
            "Names of the counters, interfaces and tunnels that this sink gets; all of them, and the"
            " agent's measurements of itself, when it is left out."
        ),
    )
