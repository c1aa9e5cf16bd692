"""From plans to rules, and what other people's rules say."""

from __future__ import annotations
