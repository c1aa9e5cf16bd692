"""What every mapping in the user's file has in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, model_validator

__all__ = ["Section"]


class Section(BaseModel):
    """Frozen; unknown keys are refused; a key with nothing after it is an empty section.

    NOT_YET: keys of a later version, refused by name, each with what to write instead.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    NOT_YET: ClassVar[Mapping[str, str]] = {}

    @model_validator(mode="before")
    @classmethod
    def _nothing_is_empty(cls, value: Any) -> Any:
        return {} if value is None else value
