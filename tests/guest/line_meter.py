"""What a running agent tells of its line and of all its counters, to be held against a capture."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from click.testing import CliRunner

from ipsecmon.cli.main import cli
from tests.netns.agent import Agent, volume
from tests.netns.exchange import Volume

__all__ = ["WAYS", "LineMeter", "Passed"]

WAYS = ("in", "out")
NOTHING = Volume(0, 0)

Volumes = Mapping[str, Volume]


@dataclass(frozen=True)
class Passed:
    """In one direction; counters and tunnels where nothing passed are left out.

    nic: packets are frames. line: the counter. inner: by rules. tunnels: by SAs. terms: octets, what is not
    known as 0. unseen: frames that no rule saw. word, reasons: of the line since its store began.
    """

    nic: Volume
    line: Volume
    parts: Volumes
    inner: Volumes
    tunnels: Volumes
    terms: Mapping[str, int]
    unseen: int
    word: str
    reasons: list[str]

    @property
    def unexplained(self) -> int:
        """Octets."""
        return self.terms["unexplained"]

    def since(self, before: Passed) -> Passed:
        return Passed(
            nic=_minus(self.nic, before.nic),
            line=_minus(self.line, before.line),
            parts=_less(self.parts, before.parts),
            inner=_less(self.inner, before.inner),
            tunnels=_less(self.tunnels, before.tunnels),
            terms={name: octets - before.terms[name] for name, octets in self.terms.items()},
            unseen=self.unseen - before.unseen,
            word=self.word,
            reasons=self.reasons,
        )


class LineMeter:
    """agent: it runs, and counts one test after the other."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self._before: dict[str, Passed] = {}
        self.start_again()

    def start_again(self) -> None:
        """What was counted until now is not the next test's."""
        self._before = self._read()

    def passed(self) -> dict[str, Passed]:
        """By direction, since start_again()."""
        return {way: now.since(self._before[way]) for way, now in self._read().items()}

    def _read(self) -> dict[str, Passed]:
        """In this process: a new one takes the guest seconds. No header copy may be missing."""
        line = self._call("line", "--json", "--now")
        rows = self._call("report", "--since", "1h", "--json")["counters"]
        for row in rows:
            assert (volume(row), row["lost_packets"]) == (volume(row, "nflog_"), 0), row
        return {way: _passed(line, rows, way) for way in WAYS}

    def _call(self, *arguments: str) -> dict[str, Any]:
        done = CliRunner().invoke(cli, [*arguments, "-c", str(self.agent.config)])
        assert done.exit_code == 0, f"{done.output} {done.exception!r} {self.agent.log()}"
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer


def _passed(document: Mapping[str, Any], rows: list[dict[str, Any]], way: str) -> Passed:
    """Since the store began."""
    line = document[way]
    here = {(row["name"], row["observed_at"]): volume(row) for row in rows if row["direction"] == way}
    return Passed(
        nic=Volume(line["nic_frames"], line["nic_octets"]),
        line=here[document["line"]["name"], "wire"],
        parts={part["name"]: volume(part) for part in line["parts"]},
        inner={name: one for (name, point), one in here.items() if point == "inner"},
        tunnels={one["name"]: volume(one[way]) for one in document["tunnels"]},
        terms={name: octets or 0 for name, octets in line["terms"].items()},
        unseen=line["term_packets"]["unexplained"],
        word=line["agreement"],
        reasons=line["reasons"],
    )


def _less(now: Volumes, before: Volumes) -> Volumes:
    """What moved."""
    found = {name: _minus(new, before.get(name, NOTHING)) for name, new in now.items()}
    return {name: one for name, one in found.items() if one != NOTHING}


def _minus(now: Volume, before: Volume) -> Volume:
    return Volume(now.packets - before.packets, now.octets - before.octets)
