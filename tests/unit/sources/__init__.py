"""Tests of what reads the kernel, over sockets of our own."""

from __future__ import annotations
