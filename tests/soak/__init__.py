"""Real servers that are killed, frozen and restarted at random while everything is being written to them."""

from __future__ import annotations
