"""The arithmetic between sources and store: pure, synchronous, time is an argument."""

from __future__ import annotations
