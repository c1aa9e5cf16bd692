"""Tests of the store, on real SQLite files."""

from __future__ import annotations
