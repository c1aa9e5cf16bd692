"""The commands and what they are made of."""

from __future__ import annotations
