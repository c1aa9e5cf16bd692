"""Annotated hex files of netlink datagrams: what tests read and the capture script writes.

Hex digits in words of four octets as they lay in memory; `#` begins a comment; each line that says
`datagram` in its comment, and nothing else, begins one.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

__all__ = ["FIXTURES", "load", "render"]

FIXTURES = Path(__file__).with_name("fixtures")
_PACKET = 0x0400
_NEWOBJ, _NEWTABLE, _NEWGEN = 0x0A12, 0x0A00, 0x0A0F
_NEWSA, _DELSA, _EXPIRE, _UPDSA, _NEWPOLICY = 0x10, 0x11, 0x18, 0x1A, 0x13
_KINDS = {
    2: "NLMSG_ERROR",
    3: "NLMSG_DONE",
    _PACKET: "NFULNL_MSG_PACKET",
    _NEWOBJ: "NFT_MSG_NEWOBJ",
    _NEWTABLE: "NFT_MSG_NEWTABLE",
    _NEWGEN: "NFT_MSG_NEWGEN",
    _NEWSA: "XFRM_MSG_NEWSA",
    _DELSA: "XFRM_MSG_DELSA",
    _EXPIRE: "XFRM_MSG_EXPIRE",
    _UPDSA: "XFRM_MSG_UPDSA",
    0x1C: "XFRM_MSG_FLUSHSA",
    36: "RTM_NEWQDISC",
    37: "RTM_DELQDISC",
    40: "RTM_NEWTCLASS",
    44: "RTM_NEWTFILTER",
    _NEWPOLICY: "XFRM_MSG_NEWPOLICY",
}
_XFRM_NAMES = (
    "ALG_AUTH ALG_CRYPT ALG_COMP ENCAP TMPL SA POLICY SEC_CTX LTIME_VAL REPLAY_VAL REPLAY_THRESH "
    "ETIMER_THRESH SRCADDR COADDR LASTUSED POLICY_TYPE MIGRATE ALG_AEAD KMADDRESS ALG_AUTH_TRUNC MARK TFCPAD "
    "REPLAY_ESN_VAL SA_EXTRA_FLAGS PROTO ADDRESS_FILTER PAD OFFLOAD_DEV SET_MARK SET_MARK_MASK IF_ID "
    "MTIMER_THRESH SA_DIR"
)
_FIXED = {  # octets before the attributes, and what they are
    _NEWSA: (224, "xfrm_usersa_info"),
    _UPDSA: (224, "xfrm_usersa_info"),
    _DELSA: (24, "xfrm_usersa_id"),
    _EXPIRE: (232, "xfrm_user_expire"),
    _NEWPOLICY: (168, "xfrm_userpolicy_info"),
}
_NAMES = {
    **dict.fromkeys(_FIXED, _XFRM_NAMES),
    _PACKET: "PACKET_HDR MARK TIMESTAMP IFINDEX_INDEV IFINDEX_OUTDEV PHYSINDEV PHYSOUTDEV HWADDR PAYLOAD "
    "PREFIX UID SEQ SEQ_GLOBAL GID HWTYPE HWHEADER HWLEN CT CT_INFO VLAN L2HDR",
    _NEWOBJ: "TABLE NAME TYPE DATA USE HANDLE PAD USERDATA",
    _NEWTABLE: "NAME FLAGS USE HANDLE PAD USERDATA OWNER",
    _NEWGEN: "ID PROC_PID PROC_NAME",
}


def load(name: str) -> list[bytes]:
    """The datagrams of one file of FIXTURES."""
    datagrams: list[bytes] = []
    for line in (FIXTURES / f"{name}.hex").read_text().splitlines():
        digits, _, comment = line.partition("#")
        if comment.strip() == "datagram":
            datagrams.append(b"")
        elif digits.strip():
            datagrams[-1] += bytes.fromhex(digits)
    return datagrams


def render(head: Iterable[str], datagrams: Iterable[bytes]) -> str:
    """The text of a file: head as comments, then a line a header and a line an attribute."""
    lines = [f"# {line}".rstrip() for line in head]
    for datagram in datagrams:
        lines += ["", "# datagram", *_message_lines(datagram)]
    return "\n".join(lines) + "\n"


def _message_lines(datagram: bytes) -> Iterator[str]:
    start = 0
    while start < len(datagram):
        length, kind = struct.unpack_from("=IH", datagram, start)
        yield _line(datagram[start : start + 16], f"{_KINDS.get(kind, '?')}, {length} octets", indent=0)
        body, end = start + 16, start + (length + 3) // 4 * 4
        if kind in _NAMES:
            fixed, what = _FIXED.get(kind, (4, "nfgenmsg"))
            yield _line(datagram[body : body + fixed], what, indent=2)
            yield from _attribute_lines(datagram, body + fixed, end, _NAMES[kind].split())
        else:
            yield _line(datagram[body:end], "body", indent=2)
        start = end


def _attribute_lines(datagram: bytes, at: int, end: int, names: list[str]) -> Iterator[str]:
    while at < end:
        length, kind = struct.unpack_from("=HH", datagram, at)
        past = at + (length + 3) // 4 * 4
        yield _line(datagram[at:past], names[(kind & 0x3FFF) - 1], indent=4)
        at = past


def _line(octets: bytes, comment: str, indent: int) -> str:
    return f"{' ' * indent}{octets.hex(' ', 4)}  # {comment}"
