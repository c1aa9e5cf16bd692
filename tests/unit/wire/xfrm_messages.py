"""XFRM messages built octet by octet, and the recorded ones of the guest's kernel."""

from __future__ import annotations

import struct

from ipsecmon.ipsec import Policy, SaEvent, SecurityAssociation
from ipsecmon.wire.netlink import pull_messages
from ipsecmon.wire.xfrm import decode_event, decode_sa
from ipsecmon.wire.xfrm_policy import decode_policy
from tests.unit.wire.hexfiles import FIXTURES, load
from tests.unit.wire.messages import message

__all__ = [
    "DELSA",
    "EXPIRE",
    "KEY",
    "NEWSA",
    "RECORDED",
    "SA_ID",
    "UPDSA",
    "esn",
    "info",
    "recorded_events",
    "recorded_policies",
    "recorded_states",
    "recorded_text",
    "state",
]

NEWSA, DELSA, EXPIRE, UPDSA = 0x10, 0x11, 0x18, 0x1A
RECORDED = [*load("xfrm-states"), *load("xfrm-events"), *load("xfrm-policies")]
SOURCE, DESTINATION = bytes((192, 0, 2, 1)) + bytes(12), bytes((192, 0, 2, 2)) + bytes(12)
SA_ID = DESTINATION + struct.pack(">I", 0x1001) + struct.pack("=HBx", 2, 50)
KEY = b"\xa5" * 20


def info(octets: int = 700, packets: int = 7, window: int = 32, flags: int = 0, family: int = 2) -> bytes:
    """A struct xfrm_usersa_info."""
    limits = struct.pack("=8Q", *(2**64 - 1,) * 4, 0, 0, 0, 0)
    counters = struct.pack("=4Q3I", octets, packets, 1000, 0, 1, 2, 3)
    rest = struct.pack("=IIHBBB7x", 0, 11, family, 1, window, flags)
    return bytes(56) + DESTINATION + struct.pack(">IB3x", 0x1001, 50) + SOURCE + limits + counters + rest


def state(*attributes: bytes, kind: int = NEWSA, fixed: bytes = b"") -> bytes:
    return message(kind, (fixed or info()) + b"".join(attributes))


def esn(highest: int, window: int, *words: int, sent: int = 0) -> bytes:
    """A struct xfrm_replay_state_esn."""
    high, low = divmod(highest, 1 << 32)
    sent_high, sent_low = divmod(sent, 1 << 32)
    head = struct.pack("=6I", len(words), sent_low, low, sent_high, high, window)
    return head + struct.pack(f"={len(words)}I", *words)


def recorded_states() -> list[SecurityAssociation]:
    dumped = [(one, found) for one in load("xfrm-states") for found in pull_messages(one)]
    return [decode_sa(one, found) for one, found in dumped if found.kind == NEWSA]


def recorded_events() -> list[SaEvent]:
    events = [decode_event(one, found) for one in load("xfrm-events") for found in pull_messages(one)]
    return [event for event in events if event is not None]


def recorded_policies() -> list[Policy]:
    dumped = [(one, found) for one in load("xfrm-policies") for found in pull_messages(one)]
    return [decode_policy(one, found) for one, found in dumped if found.kind == 0x13]


def recorded_text(name: str) -> str:
    """What ip(8) printed, without the line that says how."""
    return (FIXTURES / f"{name}.txt").read_text().partition("\n")[2]
