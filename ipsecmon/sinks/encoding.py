"""Batches as lines of text: InfluxDB's line protocol, JSON, CSV.

Every line ends in one line feed and holds no other. The same batch always gives the same lines:
the file sink finds out by comparing them what is already written.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timezone

from ipsecmon.model import LINE_TERMS, Batch
from ipsecmon.sinks.point import FieldValue, SeriesPoint
from ipsecmon.sinks.points import METER_FIELDS, points_of

__all__ = [
    "CSV_COLUMNS",
    "CSV_TUNNEL",
    "FORMATS",
    "Format",
    "encode_csv",
    "encode_json",
    "encode_line_protocol",
]

CSV_TUNNEL = "tunnel"  # in the column observed_at: not `inner`, where a rule may count the same packets

CSV_COLUMNS = (
    "start",
    "end",
    "router",
    "counter",
    "direction",
    "observed_at",
    "octets",
    "packets",
    *METER_FIELDS,
)

# Our own names of measurements, tags and fields have nothing to escape.
_IN_TAG = str.maketrans({",": r"\,", "=": r"\=", " ": r"\ ", "\n": r"\n", "\t": r"\t", "\r": r"\r"})
_IN_STRING = str.maketrans({'"': r"\"", "\\": r"\\"})


@dataclass(frozen=True)
class Format:
    """header: the first line of a new file, or nothing."""

    encode: Callable[[Batch], list[bytes]]
    header: bytes = b""


def encode_line_protocol(batch: Batch) -> list[bytes]:
    """One line a point, in nanoseconds."""
    return [_line(point) for point in points_of(batch)]


def _line(point: SeriesPoint) -> bytes:
    """As influxdb_client's Point writes it, in a third of the time: a spool has millions of them."""
    tags = "".join(
        f",{name}={_tag_value(point.tags[name])}" for name in sorted(point.tags) if point.tags[name]
    )
    fields = ",".join(f"{name}={_field_value(point.fields[name])}" for name in sorted(point.fields))
    return f"{point.measurement}{tags} {fields} {point.time_ns}\n".encode()


def _tag_value(text: str) -> str:
    """A backslash at the end would escape what follows: the server keeps the space behind it."""
    escaped = text.translate(_IN_TAG)
    return f"{escaped} " if escaped.endswith("\\") else escaped


def _field_value(value: FieldValue) -> str:
    return f"{value}i" if isinstance(value, int) else f'"{value.translate(_IN_STRING)}"'


def encode_json(batch: Batch) -> list[bytes]:
    """One object a point, as points.py has it: measurement, tags, fields, time_ns."""
    texts = (json.dumps(asdict(point), ensure_ascii=False) for point in points_of(batch))
    return [f"{text}\n".encode() for text in texts]


def encode_csv(batch: Batch) -> list[bytes]:
    """One row an increment, CSV_COLUMNS, and one a tunnel and direction, its peers together.

    The agent's measurements of itself, the line's terms, errors and events have no row.
    """
    times = (_iso(batch.start_ns), _iso(batch.end_ns), batch.router)
    rows = []
    for increment in batch.increments:
        if increment.key.observed_at in LINE_TERMS:
            continue
        key = (increment.key.name, increment.key.direction.value, increment.key.observed_at.value)
        meter = (getattr(increment, name) for name in METER_FIELDS)
        rows.append(_row((*times, *key, increment.octets, increment.packets, *meter)))
    for (tunnel, direction), sums in _tunnel_sums(batch).items():
        numbers = (sums[name] for name in CSV_COLUMNS[6:])
        rows.append(_row((*times, tunnel, direction, CSV_TUNNEL, *numbers)))
    return rows


def _tunnel_sums(batch: Batch) -> dict[tuple[str, str], Counter[str]]:
    """Numbers that a tunnel has not are 0: no header is copied of what an SA counts."""
    found: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for one in batch.tunnels:
        sums = found[one.key.tunnel, one.key.direction.value]
        for name in ("octets", "packets", "bridged_octets", "bridged_packets"):
            sums[name] += getattr(one, name)
    return found


def _row(cells: tuple[object, ...]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(" ".join(str(cell).splitlines()) for cell in cells)
    return f"{text.getvalue()}\n".encode()


def _iso(time_ns: int) -> str:
    seconds, fraction_ns = divmod(time_ns, 10**9)
    text = datetime.fromtimestamp(seconds, tz=timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{fraction_ns:09d}Z" if fraction_ns else f"{text}Z"


FORMATS: Mapping[str, Format] = {
    "line-protocol": Format(encode_line_protocol),
    "json": Format(encode_json),
    "csv": Format(encode_csv, header=_row(CSV_COLUMNS)),
}
