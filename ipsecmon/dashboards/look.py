"""Colours and how lines are drawn. A part of the line has the same colour wherever it is drawn.

Blue to purple is the VPN, green to orange is clear, grey is `other`, red a limit. The shade of a part goes by
its initial: names are the user's, and Grafana 9.2 has nothing that gives a name one colour in all panels.
The names of colours are Grafana's: they are right in its dark and its light theme.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = [
    "CAPACITY",
    "CLEAR_PARTS",
    "IN_COLOUR",
    "OTHER_BEFORE_COLOUR",
    "OTHER_COLOUR",
    "OUT_COLOUR",
    "TROUBLE",
    "VPN_BEFORE_COLOUR",
    "VPN_COLOUR",
    "VPN_PARTS",
    "Json",
    "before_line",
    "fixed",
    "limit_line",
    "of_name",
    "prop",
]

Json = dict[str, Any]

VPN_COLOUR, OTHER_COLOUR, TROUBLE = "blue", "#8e8e8e", "red"
VPN_BEFORE_COLOUR, OTHER_BEFORE_COLOUR = "purple", "text"  # seen on the areas of now, dark and light
IN_COLOUR, OUT_COLOUR = "green", "orange"
CAPACITY = "capacity"  # the name of that curve

_INITIALS = ("a-c", "d-f", "g-i", "j-m", "n-p", "q-s", "t-v", "^a-v")
_VPN_SHADES = (
    "light-blue",
    "dark-blue",
    "super-light-purple",
    "semi-dark-purple",
    "purple",
    "light-purple",
    "blue",
    "dark-purple",
)
_CLEAR_SHADES = (
    "green",
    "dark-orange",
    "dark-yellow",
    "light-green",
    "orange",
    "dark-green",
    "light-orange",
    "semi-dark-green",
)


def prop(name: str, value: object) -> Json:
    return {"id": name, "value": value}


def fixed(colour: str) -> Json:
    return prop("color", {"mode": "fixed", "fixedColor": colour})


def of_name(name: str, *properties: Json) -> Json:
    return {"matcher": {"id": "byName", "options": name}, "properties": list(properties)}


def by_initial(shades: Sequence[str]) -> list[Json]:
    return [
        {"matcher": {"id": "byRegexp", "options": f"/^[{initials}]/i"}, "properties": [fixed(shade)]}
        for initials, shade in zip(_INITIALS, shades)
    ]


def before_line(name: str, colour: str) -> Json:
    """Of the past: dashed, in nothing's place, on its own pile that ends where the past's sum does."""
    return of_name(
        name,
        fixed(colour),
        prop("custom.fillOpacity", 0),
        prop("custom.lineWidth", 2),
        prop("custom.lineStyle", {"fill": "dash", "dash": [10, 6]}),
        prop("custom.stacking", {"mode": "normal", "group": "before"}),
    )


def limit_line() -> Json:
    """The capacity: a dashed line above what is stacked below it."""
    return of_name(
        CAPACITY,
        fixed(TROUBLE),
        prop("custom.fillOpacity", 0),
        prop("custom.lineStyle", {"fill": "dash", "dash": [8, 6]}),
        prop("custom.stacking", {"mode": "none", "group": "limit"}),
    )


VPN_PARTS = by_initial(_VPN_SHADES)
CLEAR_PARTS = [*by_initial(_CLEAR_SHADES), of_name("other", fixed(OTHER_COLOUR))]
"""Overrides for panels whose curves or bars are parts of that kind, by their names."""
