"""One row of a series."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Union

__all__ = ["FieldValue", "SeriesPoint"]

FieldValue = Union[int, str]


@dataclass(frozen=True)
class SeriesPoint:
    """time_ns: wall clock, ns since 1970."""

    measurement: str
    tags: Mapping[str, str]
    fields: Mapping[str, FieldValue]
    time_ns: int
