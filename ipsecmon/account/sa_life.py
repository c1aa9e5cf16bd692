"""One SA's life: what its readings say has passed through it, each octet once.

Where packets came and nothing else happened, and that is nearly always, they are summed in an account that
lives of one place share (sa_order.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Optional, Protocol

from ipsecmon.account.path_loss import measure_path
from ipsecmon.ipsec import SecurityAssociation

__all__ = ["Account", "Life", "Passed", "Readings", "measure_certain_loss", "replace_counters"]

_COUNTERS = ("octets", "packets", "late_packets", "replayed_packets", "integrity_failures")


class Passed(NamedTuple):
    """What happened on one SA since it was last told of.

    lost_packets: on the path, for certain. is_birth: this is its first, and it was not moved here.
    is_unseen_end: what passed after its last reading, at the settling read_at, is in no number.
    is_bridged: while no agent ran.
    """

    life: Life
    octets: int
    packets: int
    late_packets: int
    replayed_packets: int
    integrity_failures: int
    lost_packets: int
    is_birth: bool
    is_end: bool
    is_unseen_end: bool
    is_bridged: bool
    read_at: int


@dataclass(eq=False)
class Account:
    """What passed through the lives that share it since it was emptied.

    used_s: the last time. is_undated: of some the kernel does not tell. number: of its SaOrder.
    """

    octets: int = 0
    packets: int = 0
    used_s: int = 0
    is_undated: bool = False
    number: int = -1

    def add(self, octets: int, packets: int, used_s: int, is_undated: bool) -> None:
        self.octets += octets
        self.packets += packets
        self.used_s = max(self.used_s, used_s)
        self.is_undated |= is_undated


class Readings(Protocol):
    """Of the last dump, by the row."""

    def reading(self, row: int) -> SecurityAssociation: ...


@dataclass(eq=False)
class Life:
    """lost: path loss booked. read_at: the settling of the last reading. account: once placed.

    booked: the last reading, if late does not have it.
    """

    booked: SecurityAssociation
    lost: int
    read_at: int
    is_birth: bool = False  # not told of yet
    is_announced: bool = False  # its NEWSA has come
    is_dumped: bool = False  # a settled dump had it
    is_bridging: bool = False  # its next reading is of the time when no agent ran
    has_gap: bool = False  # it may have ended without a word before the dump that waits
    has_late_gap: bool = False  # or since
    is_lost: bool = False  # taken to have ended unseen
    is_over: bool = False  # not among those alive
    missed: int = 0  # dumps in a row without it
    came_at: int = -1  # the dump since which an event told of it
    position: int = -1  # in the last dump
    account: Optional[Account] = None
    late: Optional[Readings] = None

    @property
    def sa(self) -> SecurityAssociation:
        """As last booked."""
        if self.late is not None:
            self.booked, self.late = self.late.reading(self.position), None
        return self.booked

    def book(self, sa: SecurityAssociation, is_end: bool = False) -> Optional[Passed]:
        """A new reading. None where nothing happened."""
        passed = self.tell(sa, is_end)
        self.lost = max(self.lost, measure_certain_loss(sa, self.sa, is_end))
        self.booked = sa if sa.anti_replay is not None else sa._replace(anti_replay=self.sa.anti_replay)
        self.is_bridging = False
        return passed

    def tell(self, sa: SecurityAssociation, is_end: bool, is_unseen_end: bool = False) -> Optional[Passed]:
        """What happened until this reading, which is not booked."""
        steps = [max(0, getattr(sa, name) - getattr(self.sa, name)) for name in _COUNTERS]
        lost = max(0, measure_certain_loss(sa, self.sa, is_end) - self.lost)
        if not (any(steps) or lost or self.is_birth or is_end or is_unseen_end):
            return None
        octets, packets, late, replayed, failed = steps
        is_birth, self.is_birth = self.is_birth, False
        return Passed(
            life=self,
            octets=octets,
            packets=packets,
            late_packets=late,
            replayed_packets=replayed,
            integrity_failures=failed,
            lost_packets=lost,
            is_birth=is_birth,
            is_end=is_end,
            is_unseen_end=is_unseen_end,
            is_bridged=self.is_bridging,
            read_at=self.read_at,
        )


def measure_certain_loss(
    sa: SecurityAssociation, was: Optional[SecurityAssociation] = None, is_end: bool = False
) -> int:
    """Path loss for certain. At the end, numbers still missing will not come."""
    path = measure_path(sa)
    if path is not None:
        return path.lost + (path.open if is_end else 0)
    before = measure_path(was) if was is not None else None
    if before is None or was is None:
        return 0
    return before.lost + (max(0, before.open - (sa.packets - was.packets)) if is_end else 0)


def replace_counters(sa: SecurityAssociation, of: Optional[SecurityAssociation]) -> SecurityAssociation:
    """The SA with counters of another one, and the window that goes with them; or at 0."""
    octets, packets, late, replayed, failed = (0 if of is None else getattr(of, name) for name in _COUNTERS)
    return sa._replace(
        octets=octets,
        packets=packets,
        late_packets=late,
        replayed_packets=replayed,
        integrity_failures=failed,
        anti_replay=sa.anti_replay if of is None else of.anti_replay,
    )
