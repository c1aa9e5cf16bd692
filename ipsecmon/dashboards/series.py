"""The tags and fields of the series that dashboards ask for, as sinks write them (docs/series.md).

And the kinds of `event` that tell of a change on purpose.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ipsecmon.sinks.hour_points import HOUR_NUMBERS
from ipsecmon.sinks.points import AGREEMENT_FIELDS, METER_FIELDS
from ipsecmon.sinks.queue_points import NUMBERS as QUEUE_NUMBERS
from ipsecmon.sinks.queue_points import OPTIONAL_NUMBERS as QUEUE_OPTIONAL
from ipsecmon.sinks.tunnel_points import NUMBERS, OPTIONAL_NUMBERS

__all__ = ["CHANGE_KINDS", "SERIES", "Series", "series"]


class Series(NamedTuple):
    """tags and fields: their names."""

    tags: frozenset[str]
    fields: frozenset[str]

    @property
    def names(self) -> frozenset[str]:
        return self.tags | self.fields


def series(tags: str, fields: str) -> Series:
    """Names parted by blanks."""
    return Series(frozenset(tags.split()), frozenset(fields.split()))


SERIES: Mapping[str, Series] = {
    "counter": series("router counter direction observed_at", "octets packets"),
    "meter": series("router counter direction observed_at", " ".join(METER_FIELDS)),
    "interface": series("router interface direction", "octets frames"),
    "line_term": series("router interface direction term", "octets packets"),
    "part": series("router line part direction", "octets packets how"),
    "baseline": series("router line part direction shift", "octets packets how"),
    "line": series("router line direction", "capacity_bits_per_s"),
    "tunnel": series("router tunnel peer direction observed_at", " ".join((*NUMBERS, *OPTIONAL_NUMBERS))),
    "layer": series("router tunnel layer direction", "octets packets bridged_octets bridged_packets"),
    "road_warrior": series(
        "router tunnel warrior direction", "octets packets bridged_octets bridged_packets"
    ),
    "agreement": series("router counter direction observed_at pair", " ".join(AGREEMENT_FIELDS)),
    "xfrm_error": series("router error", "packets"),
    "qdisc": series(
        "router line interface direction kind handle parent", " ".join((*QUEUE_NUMBERS, *QUEUE_OPTIONAL))
    ),
    "event": series("router kind tunnel direction interface", "count text end_ms"),
    "agent": series("router component kind", "value"),
    "counter_1h": series("router counter direction observed_at", "octets packets"),
    "interface_1h": series("router interface direction", "octets frames"),
    "line_1h": series("router line direction", "capacity_bits_per_s"),
    "part_1h": series("router line part direction", "octets packets how"),
    "tunnel_1h": series("router tunnel direction observed_at", " ".join(HOUR_NUMBERS)),
}

CHANGE_KINDS = ("qdisc-changed", "rules-changed", "mark")
"""What a comparison of before and after starts from."""
