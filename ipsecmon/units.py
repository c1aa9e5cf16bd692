"""Durations, rates and volumes as people write and read them.

Parsers take a string or a bare number and raise ValueError with what is allowed; they are pure,
so configuration classes use them as validators.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Union

__all__ = [
    "parse_duration",
    "parse_octets",
    "parse_rate",
    "render_octets",
    "render_rate",
    "render_whole_rate",
]

_DURATIONS_S = {"s": 1, "min": 60, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_RATES = {"bit": 1, "kbit": 10**3, "Mbit": 10**6, "Gbit": 10**9}
_VOLUMES = {"": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_NUMBER = re.compile(r"\s*(\d{1,15}(?:\.\d{1,6})?)\s*([A-Za-z]*)\s*")


def _scaled(text: Union[str, float], units: dict[str, int], what: str, example: str) -> int:
    matched = _NUMBER.fullmatch(str(text))
    if not matched or matched.group(2) not in units:
        names = ", ".join(unit for unit in units if unit)
        raise ValueError(f"not {what}: write a number and one of {names}, such as {example}")
    number, unit = matched.groups()
    value = Fraction(number) * units[unit]
    if value.denominator != 1:
        raise ValueError(f"not {what}: must come to a whole number, such as {example}")
    return int(value)


def parse_duration(text: Union[str, float]) -> int:
    """Whole seconds from '10s', '5min', '1h', '400d'. Raises ValueError."""
    return _scaled(text, _DURATIONS_S, "a duration", "10s")


def parse_rate(text: Union[str, float]) -> int:
    """Bits per second from '1544kbit', '16Mbit' (SI, as tc(8) writes them). Raises ValueError."""
    return _scaled(text, _RATES, "a rate", "1544kbit")


def parse_octets(text: Union[str, float]) -> int:
    """Octets from '16MiB', '4MB' or a bare number. Raises ValueError."""
    return _scaled(text, _VOLUMES, "a volume", "16MiB")


def _render(value: float, unit: str) -> str:
    for prefix in ("", "k", "M", "G"):
        if abs(value) < 1000:
            return f"{value:.{0 if not prefix else 1}f} {prefix}{unit}"
        value /= 1000
    return f"{value:.1f} T{unit}"


def render_rate(bits_per_s: float) -> str:
    """'1.5 Mbit/s': SI, as router people expect."""
    return _render(bits_per_s, "bit/s")


def render_whole_rate(bits_per_s: int) -> str:
    """'1544 kbit/s': in the largest unit that keeps it whole, as a line's capacity is said."""
    units = ((unit, factor) for unit, factor in reversed(_RATES.items()) if bits_per_s % factor == 0)
    unit, factor = next(units)
    return f"{bits_per_s // factor} {unit}/s"


def render_octets(octets: float) -> str:
    """'20.4 MB': SI."""
    return _render(octets, "B")
