"""Where batches go. Each module has a Config and a Sink; SINKS is the list of them.

Importing this loads no third party but pydantic: what a sink needs is loaded when it starts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ipsecmon.sinks import file, influxdb, memory
from ipsecmon.sinks.seam import Sink
from ipsecmon.sinks.settings import SinkConfig

__all__ = ["SINKS", "Sink", "SinkConfig", "SinkKind"]


@dataclass(frozen=True)
class SinkKind:
    """config: checks the settings under the sink's word. build: an inert sink of such settings."""

    config: type[SinkConfig]
    build: Callable[[Any], Sink]


SINKS: Mapping[str, SinkKind] = {
    "influxdb": SinkKind(influxdb.Config, influxdb.Sink),
    "file": SinkKind(file.Config, file.Sink),
    "memory": SinkKind(memory.Config, memory.Sink),
}
