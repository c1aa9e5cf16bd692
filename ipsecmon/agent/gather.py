"""How long header copies may gather in their socket before they are read.

A wake-up costs as much as thousands of copies: read rarely. The socket holds so much and no more: never so
rarely that it overflows. Totals and loss wait for nobody: a round reads what is there when it needs it.
"""

from __future__ import annotations

__all__ = ["Gather"]

_LONGEST_NS = 200_000_000
_FASTEST = 160_000_000  # octets a second: a million copies, out of nothing
_AIM = 0.25  # of the socket's buffer; the rest is for bursts, and for times when the CPU is not ours
_SHORTEST = 1 / 16  # of the longest


class Gather:
    """receive_buffer: octets, as the config says it; the kernel gives twice that, for its own needs too."""

    def __init__(self, receive_buffer: int) -> None:
        self._longest_ns = min(_LONGEST_NS, receive_buffer * 1_000_000_000 // _FASTEST)
        self.wait_ns = self._longest_ns

    def learn(self, fullness: float) -> None:
        """fullness: share of the socket's buffer that was in use when wait_ns had passed."""
        aim_ns = self.wait_ns * _AIM / max(fullness, 1e-6)
        self.wait_ns = int(min(self._longest_ns, max(aim_ns, self._longest_ns * _SHORTEST)))
