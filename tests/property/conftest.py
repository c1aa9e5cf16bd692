"""How properties are tried: no example has a deadline, as machines are shared."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("ipsecmon", deadline=None)
settings.load_profile("ipsecmon")
