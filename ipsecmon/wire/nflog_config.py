"""Requests that bind an NFLOG group (linux/netfilter/nfnetlink_log.h; net/netfilter/nfnetlink_log.c).

Standard library only: the helper sends these. Why each value stands as it does: a buffer above
131072 octets is ignored by the kernel and acknowledged all the same; the effective threshold is the
smaller of the instance's and the rule's; without sequence numbers a loss leaves no trace.
"""

from __future__ import annotations

import struct

from ipsecmon.wire.netlink import NLM_F_ACK, NLM_F_REQUEST, encode_attribute, encode_message

__all__ = ["COPY_RANGE", "FLUSH_S", "MAX_BUFFER", "NETLINK_NETFILTER", "THRESHOLD", "encode_bind"]

NETLINK_NETFILTER = 12
NFNL_SUBSYS_ULOG = 4
NFULNL_MSG_CONFIG = 1

_CFG_CMD, _CFG_MODE, _CFG_NLBUFSIZ, _CFG_TIMEOUT, _CFG_QTHRESH, _CFG_FLAGS = 1, 2, 3, 4, 5, 6
_CMD_BIND = 1
_COPY_PACKET = 2
_FLAG_SEQ = 1

MAX_BUFFER = 131072  # octets; NFULNL_NLBUFSIZ_MAX
THRESHOLD = 512  # packets in one datagram
FLUSH_S = 0.1  # the kernel sends what it holds after this long
COPY_RANGE = 128  # octets; each rule's own snap length cuts shorter


def encode_bind(group: int, sequence: int) -> bytes:
    """Bind a group and set everything about it in one message, so that no copy escapes the settings."""
    attributes = (
        encode_attribute(_CFG_CMD, struct.pack("=B", _CMD_BIND))
        + encode_attribute(_CFG_MODE, struct.pack(">IBB", COPY_RANGE, _COPY_PACKET, 0))
        + encode_attribute(_CFG_NLBUFSIZ, struct.pack(">I", MAX_BUFFER))
        + encode_attribute(_CFG_TIMEOUT, struct.pack(">I", round(FLUSH_S * 100)))
        + encode_attribute(_CFG_QTHRESH, struct.pack(">I", THRESHOLD))
        + encode_attribute(_CFG_FLAGS, struct.pack(">H", _FLAG_SEQ))
    )
    body = struct.pack(">BBH", 0, 0, group) + attributes
    return encode_message(
        NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_CONFIG, NLM_F_REQUEST | NLM_F_ACK, sequence, body
    )
