"""Tests of the codecs, on octets of real kernels and on octets that break the formats."""

from __future__ import annotations
