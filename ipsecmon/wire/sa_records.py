"""SAs and policies on their way from the helper to main: what a dump has other than the last one, as octets.

A header, runs of rows that stood in the last dump (by their place there), blocks of numbers of rows that
moved, and new rows and policies as JSON; sa_dumps.py decodes them. Nothing but what the fields of the values
in ipsec.py are made of is ever in a record, and none of it is a key. Standard library only.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Optional

from ipsecmon.ipsec import Policy
from ipsecmon.wire.sa_changes import Changes, Form, Moved
from ipsecmon.wire.sa_rows import encode_rows

__all__ = ["BLOCK", "HEADER", "MAX_POLICIES", "MAX_RECORDS", "MAX_SAS", "RUN", "encode_dump"]

MAX_SAS = 200_000  # ten times of what any gateway is known to have; 100 MB of rows, each told once
MAX_POLICIES = 200_000
MAX_RECORDS = 512 << 20  # octets of one answer; a whole one takes 230 an SA and 300 a policy

HEADER = struct.Struct("=4Ib3x")  # runs, blocks, octets of rows, octets of policies; whether there are any
RUN = struct.Struct("=2I")  # first place in the last dump, rows
BLOCK = struct.Struct("=2B2xII")  # kind, whether last use is told, octets of the window, rows; these follow


def encode_dump(changes: Changes, policies: Optional[Sequence[Policy]]) -> bytes:
    """policies: None where they are as last told."""
    told = encode_rows(changes.told)
    ruled = b"" if policies is None else encode_rows(policies)
    head = HEADER.pack(len(changes.runs), len(changes.moved), len(told), len(ruled), policies is not None)
    blocks = (part for form, moved in changes.moved.items() for part in _block(form, moved))
    return b"".join((head, *(RUN.pack(*run) for run in changes.runs), *blocks, told, ruled))


def _block(form: Form, moved: Moved) -> tuple[bytes, bytes, bytes]:
    rows = len(moved.rows)
    head = BLOCK.pack(form.kind, form.has_used, form.octets, rows)
    return head, struct.pack(f"={rows}I", *moved.rows), b"".join(moved.pieces)
