"""Which way packets go."""

from __future__ import annotations

import enum

__all__ = ["Direction"]


class Direction(str, enum.Enum):
    """Relative to this router. UNKNOWN is shown, never guessed away."""

    IN = "in"
    OUT = "out"
    UNKNOWN = "unknown"
