"""One SA's life: what its readings say has passed through it, each octet once.

Where packets came and nothing else happened, and that is nearly always, they are summed in an account that
lives of one place share: one addition an SA.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Optional

from ipsecmon.account.path_loss import measure_path
from ipsecmon.ipsec import SecurityAssociation

__all__ = ["Account", "Life", "Passed", "measure_certain_loss", "replace_counters"]

_COUNTERS = ("octets", "packets", "late_packets", "replayed_packets", "integrity_failures")
_STILL, _STILL_TOO = slice(0, 7), slice(14, 23)  # source to reqid, replay_window to encapsulation
_TROUBLES = slice(11, 14)  # late, replayed, failed


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

    used_s: the last time. is_undated: of some the kernel does not tell.
    """

    octets: int = 0
    packets: int = 0
    used_s: int = 0
    is_undated: bool = False


@dataclass(eq=False)
class Life:
    """sa: as last booked. lost: path loss booked. read_at: the settling that did. account: once placed."""

    sa: SecurityAssociation
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

    def is_of(self, sa: SecurityAssociation) -> bool:
        """Whether their ids are equal."""
        own = self.sa
        return own is sa or (
            own.spi == sa.spi
            and own.added_s == sa.added_s
            and own.destination == sa.destination
            and own.protocol == sa.protocol
            and own.family == sa.family
            and own.mark == sa.mark
        )

    def book(self, sa: SecurityAssociation, is_end: bool = False) -> Optional[Passed]:
        """A new reading. None where nothing happened."""
        passed = self.tell(sa, is_end)
        self.lost = max(self.lost, measure_certain_loss(sa, self.sa, is_end))
        self.sa = sa if sa.anti_replay is not None else sa._replace(anti_replay=self.sa.anti_replay)
        self.is_birth = self.is_bridging = False
        return passed

    def tell(self, sa: SecurityAssociation, is_end: bool, is_unseen_end: bool = False) -> Optional[Passed]:
        """What happened until this reading, which is not booked."""
        steps = [max(0, getattr(sa, name) - getattr(self.sa, name)) for name in _COUNTERS]
        lost = max(0, measure_certain_loss(sa, self.sa, is_end) - self.lost)
        if not (any(steps) or lost or self.is_birth or is_end or is_unseen_end):
            return None
        octets, packets, late, replayed, failed = steps
        return Passed(
            life=self,
            octets=octets,
            packets=packets,
            late_packets=late,
            replayed_packets=replayed,
            integrity_failures=failed,
            lost_packets=lost,
            is_birth=self.is_birth,
            is_end=is_end,
            is_unseen_end=is_unseen_end,
            is_bridged=self.is_bridging,
            read_at=self.read_at,
        )

    def advance(self, sa: SecurityAssociation) -> bool:
        """Book a row into the account, if it is of this SA and says no more than that packets came."""
        was, account, state = self.sa, self.account, sa.anti_replay
        octets, packets = sa.octets - was.octets, sa.packets - was.packets
        if (
            account is None
            or octets <= 0
            or packets <= 0
            or state is None
            or was.anti_replay is None
            or state.unseen != was.anti_replay.unseen
            or state.window != was.anti_replay.window
            or (state.window and state.highest - sa.packets - sa.late_packets - state.unseen > self.lost)
            or sa.added_s != was.added_s
            or sa[_TROUBLES] != was[_TROUBLES]
            or sa[_STILL] != was[_STILL]
            or sa[_STILL_TOO] != was[_STILL_TOO]
        ):
            return False
        account.octets += octets
        account.packets += packets
        if sa.last_used_s is None:
            account.is_undated = True
        elif sa.last_used_s > account.used_s:
            account.used_s = sa.last_used_s
        self.sa = sa
        return True


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
    """The SA with counters of another one, or at 0."""
    octets, packets, late, replayed, failed = (0 if of is None else getattr(of, name) for name in _COUNTERS)
    return sa._replace(
        octets=octets,
        packets=packets,
        late_packets=late,
        replayed_packets=replayed,
        integrity_failures=failed,
    )
