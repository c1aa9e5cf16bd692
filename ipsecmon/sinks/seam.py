"""What the agent needs from a sink, and nothing of what is behind it.

A sink takes whole batches, one at a time, from one thread. That send() returns means that the
batch is safe on the far side; until then the same batch may come again, also after a crash, so a
sink must make sending twice look like sending once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from ipsecmon.model import Batch

__all__ = ["BulkSink", "Sink"]


class Sink(Protocol):
    def start(self) -> None:
        """Open what send() needs. Raises Unavailable; may then be called again."""

    def send(self, batch: Batch) -> None:
        """Return when the batch is safe. Raises Unavailable (try again) or Rejected (do not)."""

    def stop(self) -> None:
        """Let go of everything; harmless when nothing was started."""


@runtime_checkable
class BulkSink(Sink, Protocol):
    """One that takes what has come together during an outage in fewer and larger pieces, and sums of hours.

    It tells these from intervals (Batch.resolution_s); what adds up all that it gets must not have them.
    """

    def send_all(self, batches: Sequence[Batch]) -> None:
        """As send() of one after the other; what it raises holds for all of them together."""
