"""The running whole: wiring, loop, lifecycle, control. The only package that reads the clock at will."""

from __future__ import annotations
