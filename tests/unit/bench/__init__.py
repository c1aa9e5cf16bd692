"""Tests of what the bench makes of its rounds."""

from __future__ import annotations
