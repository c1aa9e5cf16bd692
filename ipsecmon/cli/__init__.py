"""The commands: thin, each parses its arguments, calls and prints."""

from __future__ import annotations
