"""What is asked of an XFRM socket (linux/xfrm.h), and the groups it joins. Standard library only.

A dump is asked for by a header alone: GETSA's fixed part is read for a single SA only, and all that is
behind the header would be taken for attributes. The group AEVENTS is never joined: it brings about one
message every two packets.
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Network, IPv6Network
from typing import Optional, Union

from ipsecmon.wire.netlink import NLM_F_DUMP, NLM_F_REQUEST, encode_attribute, encode_message

IPNetwork = Union[IPv4Network, IPv6Network]

__all__ = [
    "EVENT_GROUPS",
    "NETLINK_XFRM",
    "POLICY_GROUPS",
    "XFRM_MSG_EXPIRE",
    "encode_policy_dump",
    "encode_sa_dump",
]

NETLINK_XFRM = 6
XFRM_MSG_GETSA, XFRM_MSG_GETPOLICY, XFRM_MSG_EXPIRE = 0x12, 0x15, 0x18
XFRMNLGRP_EXPIRE, XFRMNLGRP_SA, XFRMNLGRP_POLICY, XFRMNLGRP_MIGRATE = 2, 3, 4, 7
# nl_groups of bind(2)
EVENT_GROUPS = (1 << (XFRMNLGRP_EXPIRE - 1)) | (1 << (XFRMNLGRP_SA - 1))
# whatever may change policies; of EXPIRE, all but XFRM_MSG_EXPIRE, which is of SAs
POLICY_GROUPS = (1 << (XFRMNLGRP_EXPIRE - 1)) | (1 << (XFRMNLGRP_POLICY - 1)) | (1 << (XFRMNLGRP_MIGRATE - 1))

_PROTO, _ADDRESS_FILTER = 25, 26
_FILTER = struct.Struct("=16s16sHBB")  # saddr daddr family splen dplen
_FAMILIES = {4: 2, 6: 10}


def encode_sa_dump(
    sequence: int, protocol: int = 0, between: Optional[tuple[IPNetwork, IPNetwork]] = None
) -> bytes:
    """Ask for all SAs. protocol: 0 is any. between: from the first network to the second, of one family."""
    attributes = b"" if not protocol else encode_attribute(_PROTO, bytes([protocol]))
    if between is not None:
        attributes += encode_attribute(_ADDRESS_FILTER, _address_filter(*between))
    return encode_message(XFRM_MSG_GETSA, NLM_F_REQUEST | NLM_F_DUMP, sequence, attributes)


def encode_policy_dump(sequence: int) -> bytes:
    """Ask for all policies."""
    return encode_message(XFRM_MSG_GETPOLICY, NLM_F_REQUEST | NLM_F_DUMP, sequence, b"")


def _address_filter(source: IPNetwork, destination: IPNetwork) -> bytes:
    from_octets, to_octets = (network.network_address.packed for network in (source, destination))
    family = _FAMILIES[source.version]
    return _FILTER.pack(from_octets, to_octets, family, source.prefixlen, destination.prefixlen)
