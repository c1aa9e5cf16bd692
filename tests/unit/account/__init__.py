"""The arithmetic, with the time injected."""

from __future__ import annotations
