"""Header copies as columns: what sources make and account/ folds. Apart from the model, as it needs numpy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Optional

import numpy as np
from numpy.typing import NDArray

__all__ = ["EspColumns", "Packets"]


class EspColumns(NamedTuple):
    """By what the SA of some rows is told. rows: of Packets, int64, ascending.

    spi: u32; 0, which no SA has (RFC 4303 section 2.1), where the copy does not tell. destination: four u32
    of an IPv6 address, or of an IPv4 one mapped into it (RFC 4291 section 2.5.5.2).
    """

    rows: NDArray[np.int64]
    spi: NDArray[np.uint32]
    destination: NDArray[np.uint32]


@dataclass(frozen=True)
class Packets:
    """One drained read of header copies, as columns of one row a packet.

    group: u16 NFLOG group. octets: u32 IP length from the header, 0 where it cannot be known.
    sequence: NFULA_SEQ, which the kernel counts per group modulo 2**32; -1 where a copy has none.
    odd: packets per named oddity; they are in the columns too. esp: of the groups that somebody asked it for.
    """

    group: NDArray[np.uint16]
    octets: NDArray[np.uint32]
    sequence: NDArray[np.int64]
    odd: Mapping[str, int] = field(default_factory=dict)
    esp: Optional[EspColumns] = None
