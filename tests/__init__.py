"""Tests of ipsecmon, a folder for each kind of world they need."""

from __future__ import annotations
