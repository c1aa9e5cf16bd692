"""What the replay counters of an inbound SA say about the path (RFC 4303 section 3.4.3).

highest is the greatest number that came, and numbers begin with 1: those up to it that were neither let in
nor dropped as too late never arrived. Of these the ones still inside the window may yet come, reordered;
the rest are lost for certain, and that number never decreases.
"""

from __future__ import annotations

from typing import NamedTuple, Optional

from ipsecmon.ipsec import SecurityAssociation

__all__ = ["PathLoss", "measure_path"]


class PathLoss(NamedTuple):
    """lost: packets, for certain. open: numbers missing inside the window, now."""

    lost: int
    open: int


def measure_path(sa: SecurityAssociation) -> Optional[PathLoss]:
    """Since the SA's start. None where anti-replay is off, or the message does not tell."""
    state = sa.anti_replay
    if state is None or not state.window:
        return None
    return PathLoss(state.highest - sa.packets - sa.late_packets - state.unseen, state.unseen)
