"""What a report, a file sink's file and a real influxd say, and continuous traffic to hold against it."""

from __future__ import annotations

import csv
import json
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.netns.exchange import TRAFFIC, Volume
from tests.netns.topology import FAR, Topology

__all__ = ["Traffic", "counter", "csv_file", "in_file", "unaccounted"]

SIZES = "12,472,1372"
NOTHING = Volume(0, 0)


def counter(port: int) -> dict[str, Any]:
    """Settings of a counter of UDP to and from a port."""
    return {"name": f"port {port}", "match": {"proto": "udp", "port": port}}


def csv_file(path: Path) -> dict[str, Any]:
    """Settings of a file sink."""
    return {"file": {"path": str(path), "format": "csv"}}


class Traffic:
    """From role to an address where nobody listens, to each of these ports at a rate of packets a second.

    It ends by itself lasts_s seconds after the last keep_up(), or later on a busy machine.
    """

    def __init__(
        self,
        topology: Topology,
        ports: Sequence[int],
        rate: int,
        role: str = "lan",
        to: str = FAR,
        lasts_s: int = 10,
    ) -> None:
        self._topology = topology
        self._ports = ports
        self._rate = rate
        self._role, self._to = role, to
        self._packets = lasts_s * rate
        self._senders: list[subprocess.Popen[str]] = []

    def keep_up(self) -> None:
        """Go on, where it has ended."""
        if all(sender.poll() is not None for sender in self._senders):
            amount = ("--packets", str(self._packets), "--rate", str(self._rate), "--sizes", SIZES)
            self._senders += [
                self._topology.start(self._role, *TRAFFIC, "send", self._to, str(port), *amount)
                for port in self._ports
            ]

    def goes_on(self) -> bool:
        """None of it has ended."""
        return all(sender.poll() is None for sender in self._senders)

    def sent(self) -> Volume:
        """All of it, at its end."""
        said = [json.loads(sender.communicate(timeout=120)[0]) for sender in self._senders]
        return Volume(sum(one["packets"] for one in said), sum(one["octets"] for one in said))


def unaccounted(rows: Mapping[tuple[str, str, str], Mapping[str, int]]) -> list[tuple[str, str, str]]:
    """Counters whose packets are not exactly what was seen, lost and bridged, with nothing pending."""
    parts = ("nflog_packets", "lost_packets", "bridged_packets")
    return [
        key
        for key, row in rows.items()
        if row["packets"] != sum(row[part] for part in parts) or row["pending_packets"]
    ]


def in_file(path: Path) -> dict[tuple[str, str], Volume]:
    """Of a csv file, by counter and direction. No row may stand there twice."""
    with path.open() as file:
        rows = list(csv.DictReader(file))
    places = Counter((row["start"], row["counter"], row["direction"], row["observed_at"]) for row in rows)
    assert not [place for place, times in places.items() if times > 1]
    found: dict[tuple[str, str], Volume] = {}
    for row in rows:
        key = (row["counter"], row["direction"])
        before = found.get(key, NOTHING)
        found[key] = Volume(before.packets + int(row["packets"]), before.octets + int(row["octets"]))
    return found
