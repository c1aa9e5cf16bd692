"""Tests in a guest kernel that has ESP."""

from __future__ import annotations
