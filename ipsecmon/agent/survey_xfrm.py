"""What ip-xfrm(8) prints -> the far ends of IPsec.

In: the stdout of `ip xfrm state list nokeys` and `ip xfrm policy list`. A record begins in the first
column with `src A dst B`; what is not understood is passed over.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Optional

__all__ = ["Sighting", "read_policies", "read_states"]

_RECORD = re.compile(r"^(?=src )", re.MULTILINE)
_ENDS = re.compile(r"src ([0-9A-Fa-f.:]+)(?:/(\d+))? dst ([0-9A-Fa-f.:]+)(?:/(\d+))?")
_TEMPLATE = re.compile(r"tmpl src ([0-9A-Fa-f.:]+) dst ([0-9A-Fa-f.:]+)\s+proto (?:esp|ah)\b")
_L2TP_SERVER = re.compile(r"src .* proto (?:udp|17)\b.* sport 1701\b")
_IF_ID = re.compile(r"^\s+if_id (0x[0-9a-f]+)\b", re.MULTILINE)
_KEYED = re.compile(r"^\s+proto (?:esp|ah)\b", re.MULTILINE)


@dataclass(frozen=True)
class Sighting:
    """A far end. has_sas: keyed now, not only wanted by a policy. in_udp: its ESP goes in UDP (NAT-T).

    near_ends: our addresses. is_l2tp: for L2TP alone, with us as the server; None where that is not said.
    if_ids: of the xfrm interfaces whose packets it takes.
    """

    address: str
    has_sas: bool
    in_udp: bool = False
    near_ends: tuple[str, ...] = ()
    is_l2tp: Optional[bool] = None
    if_ids: tuple[int, ...] = ()


def read_states(text: str, own: Collection[str]) -> Iterator[Sighting]:
    """The far end of each SA; own: this machine's addresses."""
    for record in _RECORD.split(text):
        ends = _ENDS.match(record)
        if ends and _KEYED.search(record):
            in_udp = "encap type espin" in record
            for address, near in _far((ends[1], ends[3]), own):
                yield Sighting(address, True, in_udp, near, if_ids=_if_ids(record))


def read_policies(text: str, own: Collection[str]) -> Iterator[Sighting]:
    """The far end of each outbound policy's template; in transport mode that is the selector's."""
    for record in _RECORD.split(text):
        if not re.search(r"^\s+dir out\b", record, re.MULTILINE):
            continue
        for template in _TEMPLATE.finditer(record):
            ends: tuple[str, ...] = (template[1], template[2])
            if all(ipaddress.ip_address(end).is_unspecified for end in ends):
                ends = _host_ends(record)
            for address, near in _far(ends, own):
                is_l2tp = bool(_L2TP_SERVER.match(record))
                yield Sighting(address, False, near_ends=near, is_l2tp=is_l2tp, if_ids=_if_ids(record))


def _if_ids(record: str) -> tuple[int, ...]:
    return tuple(int(one, 16) for one in _IF_ID.findall(record))


def _host_ends(record: str) -> tuple[str, ...]:
    """The selector's ends that are one address each."""
    ends = _ENDS.match(record)
    if ends is None:
        return ()
    pairs = ((ends[1], ends[2]), (ends[3], ends[4]))
    return tuple(address for address, length in pairs if length == ("128" if ":" in address else "32"))


def _far(ends: tuple[str, ...], own: Collection[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """With one end ours: the other one, and ours. An SA between two others is not this machine's line."""
    near = tuple(end for end in ends if end in own)
    if near:
        yield from ((end, near) for end in ends if end not in own)
