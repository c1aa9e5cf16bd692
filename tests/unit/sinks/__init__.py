"""Tests of ipsecmon.sinks that need no server."""

from __future__ import annotations
