"""Pure codecs: octets to values and back. No I/O, no clock, no logging.

A decoder returns a value or raises DecodeError; nothing else.
"""

from __future__ import annotations
