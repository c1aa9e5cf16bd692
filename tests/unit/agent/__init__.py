"""The pieces of the agent, each by itself."""

from __future__ import annotations
