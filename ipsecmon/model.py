"""The nouns that flow from sources to sinks, and nothing that does anything.

Packets ─▶ (account) ◀─ Reading      account ─▶ Increment ─▶ Batch ─▶ store, sinks

A Reading is what a cumulative counter *said*; an Increment is what *happened* since the last
one. They are different types so that a total can never be added to a total.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Optional, Protocol

if TYPE_CHECKING:  # the helper imports this module and must stay without numpy
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "Batch",
    "CounterKey",
    "Counts",
    "Direction",
    "Increment",
    "ObservationPoint",
    "Packets",
    "Reading",
    "SelfMeasurement",
]


class Direction(str, enum.Enum):
    """Relative to this router. UNKNOWN is shown, never guessed away."""

    IN = "in"
    OUT = "out"
    UNKNOWN = "unknown"


class ObservationPoint(str, enum.Enum):
    """Where octets were counted."""

    WIRE = "wire"  # IP packets on the line, encrypted ones as ESP; IP headers included
    INNER = "inner"  # plaintext of a tunnel, before encryption or after decryption
    PAYLOAD = "payload"  # transport mode as the SA counts it: without the IP header
    NIC = "nic"  # the interface's own counter: octets with link headers, packets are frames


class CounterKey(NamedTuple):
    """What names a counter, everywhere: in the store, in sinks, in reports."""

    name: str
    direction: Direction
    observed_at: ObservationPoint


@dataclass(frozen=True)
class Reading:
    """What a cumulative kernel counter said.

    octets, packets: totals since the counter was born. birth: names this life of the counter;
    another birth under the same key is another counter. Two births are compared for equality only.
    from_zero: that life began at 0; a rule set that somebody dumped and loaded again did not.
    before: octets and packets to go on from, where the source knows better than the last reading.
    """

    key: CounterKey
    octets: int
    packets: int
    birth: str
    from_zero: bool = True
    before: Optional[tuple[int, int]] = None


@dataclass(frozen=True)
class Increment:
    """What happened on one counter in one interval.

    octets, packets: by the kernel counter; the truth. Of these, bridged_* passed while no agent
    was reading (restart): they are right in sum, but their moment inside the gap is unknown.
    nflog_*: sum over header copies; never enters a total. lost_packets: copies that are certainly
    lost. pending_packets: copies that may be lost or still on their way, at the interval's end; a
    level, not a rate. Summed since the first interval, with the newest pending_packets:
    packets = nflog_packets + lost_packets + pending_packets + bridged_packets.
    """

    key: CounterKey
    octets: int
    packets: int
    nflog_octets: int = 0
    nflog_packets: int = 0
    lost_packets: int = 0
    pending_packets: int = 0
    bridged_octets: int = 0
    bridged_packets: int = 0


@dataclass(frozen=True)
class SelfMeasurement:
    """One number of the agent about itself: what happened in the interval, or a level at its end."""

    component: str
    kind: str
    value: int


class Counts(Protocol):
    """Where everything that moves counts itself: one call, kinds are short fixed words."""

    def add(self, component: str, kind: str, number: int = 1) -> None: ...


@dataclass(frozen=True)
class Batch:
    """The increments of one closed interval, half-open [start_ns, end_ns), wall clock, ns since 1970.

    start_ns is unique in a store's life (a clock that steps back does not repeat one), so
    (key, start_ns) can be written twice to a time series without counting twice.
    """

    router: str
    start_ns: int
    end_ns: int
    increments: tuple[Increment, ...]
    self_measurements: tuple[SelfMeasurement, ...] = ()


@dataclass(frozen=True)
class Packets:
    """One drained read of header copies, as columns of one row a packet.

    group: u16 NFLOG group. octets: u32 IP length from the header, 0 where it cannot be known.
    sequence: NFULA_SEQ, which the kernel counts per group modulo 2**32; -1 where a copy has none.
    odd: packets per named oddity; they are in the columns too.
    """

    group: NDArray[np.uint16]
    octets: NDArray[np.uint32]
    sequence: NDArray[np.int64]
    odd: Mapping[str, int] = field(default_factory=dict)
