"""Properties that hold for every input."""

from __future__ import annotations
