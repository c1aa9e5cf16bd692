"""Keeps the last batches in memory: the test double for everything that has a sink behind it."""

from __future__ import annotations

from collections import deque

from pydantic import Field

from ipsecmon.errors import SinkError
from ipsecmon.model import Batch
from ipsecmon.sinks.settings import SinkConfig

__all__ = ["Config", "Sink"]


class Config(SinkConfig):
    keep: int = Field(default=100, ge=1, description="How many batches are kept; older ones are forgotten.")


class Sink:
    """`batches` holds what was taken; `fail_next` says what the next sends raise instead."""

    def __init__(self, config: Config) -> None:
        self.batches: deque[Batch] = deque(maxlen=config.keep)
        self._failures: deque[SinkError] = deque()

    def start(self) -> None:
        pass

    def send(self, batch: Batch) -> None:
        if self._failures:
            raise self._failures.popleft()
        self.batches.append(batch)

    def stop(self) -> None:
        pass

    def fail_next(self, *failures: SinkError) -> None:
        """The next sends raise these, one each, and then all is well again."""
        self._failures.extend(failures)
