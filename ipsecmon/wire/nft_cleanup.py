"""Asking for and deleting base chains and tables that iptables-nft made (linux/netfilter/nf_tables.h).

Deleted only where nothing is in it (NLM_F_NONREC). Standard library only.
"""

from __future__ import annotations

import struct

from ipsecmon.wire.netlink import NLM_F_ACK, NLM_F_REQUEST, encode_attribute, encode_message

__all__ = ["encode_chain_request", "encode_deletion", "encode_table_request"]

_NFNL_SUBSYS_NFTABLES = 10
_BATCH_BEGIN, _BATCH_END = 16, 17
_NFT_MSG_GETTABLE, _NFT_MSG_DELTABLE, _NFT_MSG_GETCHAIN, _NFT_MSG_DELCHAIN = 1, 2, 4, 5
_TABLE_NAME = _CHAIN_TABLE = 1
_CHAIN_NAME = 3
_NFPROTO = {4: 2, 6: 10}
_NLM_F_NONREC = 0x100


def encode_table_request(family: int, table: str, sequence: int) -> bytes:
    """family: 4 or 6. The kernel answers ENOENT where the table is not."""
    return _request(_NFT_MSG_GETTABLE, 0, family, sequence, _table(table))


def encode_chain_request(family: int, table: str, chain: str, sequence: int) -> bytes:
    return _request(_NFT_MSG_GETCHAIN, 0, family, sequence, _table(table) + _chain(chain))


def encode_deletion(family: int, table: str, chain: str, sequence: int) -> bytes:
    """One transaction that deletes a chain, or with chain "" the table; refused where it is in use."""
    kind, attributes = _NFT_MSG_DELTABLE, _table(table)
    if chain:
        kind, attributes = _NFT_MSG_DELCHAIN, attributes + _chain(chain)
    edge = struct.pack(">BBH", 0, 0, _NFNL_SUBSYS_NFTABLES)
    return b"".join(
        (
            encode_message(_BATCH_BEGIN, NLM_F_REQUEST, sequence, edge),
            _request(kind, NLM_F_ACK | _NLM_F_NONREC, family, sequence, attributes),
            encode_message(_BATCH_END, NLM_F_REQUEST, sequence, edge),
        )
    )


def _table(name: str) -> bytes:
    return encode_attribute(_TABLE_NAME, name.encode() + b"\0")


def _chain(name: str) -> bytes:
    return encode_attribute(_CHAIN_NAME, name.encode() + b"\0")


def _request(kind: int, flags: int, family: int, sequence: int, attributes: bytes) -> bytes:
    body = struct.pack(">BBH", _NFPROTO[family], 0, 0) + attributes
    return encode_message(_NFNL_SUBSYS_NFTABLES << 8 | kind, NLM_F_REQUEST | flags, sequence, body)
