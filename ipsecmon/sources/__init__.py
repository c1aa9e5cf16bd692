"""The only kernel I/O of main: header copies, rule counters, interface counters."""

from __future__ import annotations
