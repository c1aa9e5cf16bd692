"""Tests in network namespaces of this machine."""

from __future__ import annotations
