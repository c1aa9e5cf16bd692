"""The privileged process, in a network namespace of its own."""

from __future__ import annotations
