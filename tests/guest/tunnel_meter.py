"""What a running agent tells of its tunnels, by `ipsecmon tunnels`, to be held against what was sent."""

from __future__ import annotations

import json
from typing import Any

from click.testing import CliRunner

from ipsecmon.cli.main import cli
from tests.guest.conversation import Conversation
from tests.netns.agent import Agent, volume
from tests.netns.exchange import Volume

__all__ = ["NOTHING", "TunnelMeter", "added", "carried", "encrypted"]

NOTHING = Volume(0, 0)
WAYS = ("in", "out")


class TunnelMeter:
    """agent: it runs, and counts one tunnel after the other; what a test sees is what passed in it."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self._before: dict[str, dict[str, Any]] = {}

    def rows(self) -> dict[str, dict[str, Any]]:
        """Tunnels by name, since the store began. In this process: a new one takes the guest seconds."""
        done = CliRunner().invoke(cli, ["tunnels", "-c", str(self.agent.config), "--json", "--now"])
        assert done.exit_code == 0, f"{done.output} {done.exception!r} {self.agent.log()}"
        return {row["name"]: row for row in json.loads(done.stdout)["tunnels"]}

    def start_again(self) -> None:
        """What was counted until now is not the next test's."""
        self._before = self.rows()

    def row(self, name: str) -> dict[str, Any]:
        """Since start_again(). Its levels are those of now."""
        row = dict(self.rows()[name])
        before = self._before.get(name)
        if before is not None:
            row.update({way: _less(row[way], before[way]) for way in WAYS})
            row["rekeys"] -= before["rekeys"]
            if None not in (row["path_loss_packets"], before["path_loss_packets"]):
                row["path_loss_packets"] -= before["path_loss_packets"]
        return row

    def passed(self, name: str) -> dict[str, Volume]:
        """Since start_again()."""
        row = self.row(name)
        return {way: volume(row[way]) for way in WAYS}


def carried(*talks: Conversation) -> dict[str, Volume]:
    """What the router encrypted and decrypted: all that was sent away, and all of home that arrived."""
    return {
        "out": added(*(talk.away.sent for talk in talks)),
        "in": added(*(talk.home.received for talk in talks)),
    }


def encrypted(*talks: Conversation) -> dict[str, Volume]:
    """What the router encrypted and decrypted where packets lacked an SA, and were dropped, for a while."""
    away = added(*(talk.away.received for talk in talks))
    return {"out": away, "in": added(*(talk.home.received for talk in talks))}


def added(*volumes: Volume) -> Volume:
    return Volume(sum(one.packets for one in volumes), sum(one.octets for one in volumes))


def _less(row: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    counted = {"octets", "packets", "error_bound_octets", "error_bound_packets", "unseen_ends", "rekeys"}
    counted |= {"unbounded_ends", "bridged_octets", "bridged_packets", "payload_octets", "derived_octets"}
    return {name: value - before[name] if name in counted else value for name, value in row.items()}
