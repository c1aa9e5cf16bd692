"""What `ipsecmon init` proposes in a lab router, run as it stands, and what its report must then be."""

from __future__ import annotations

from collections.abc import Mapping

from tests.netns.agent import IPSECMON, Agent, volume
from tests.netns.exchange import LINK_HEADER, Volume
from tests.netns.namespaces import Namespaces

__all__ = ["LINE", "Counted", "assert_exact", "checked", "init", "start_as_proposed"]

LINE = "internet"
Counted = Mapping[tuple[str, str, str], Volume]  # by (name, direction, observed_at)


def init(among: Namespaces, *arguments: str) -> str:
    """The text that `ipsecmon init` prints in the router."""
    return among.run("router", *IPSECMON, "init", *arguments)


def checked(among: Namespaces, agent: Agent, text: str) -> str:
    """What `ipsecmon check` says about a text, unchanged; it fails where the text does not pass."""
    agent.config.write_text(text)
    return among.run("router", *IPSECMON, "check", str(agent.config))


def start_as_proposed(among: Namespaces, agent: Agent, *arguments: str) -> str:
    """The proposed text, of which a lab changes the store's place and the interval, and nothing else."""
    text = init(among, *arguments)
    checked(among, agent, text)
    lab = {
        "path: /var/lib/ipsecmon": f"path: {agent.config.parent / 'store'}",
        "interval: 10s": "interval: 1s",
    }
    mended = text
    for proposed, own in lab.items():
        assert mended.count(proposed) == 1, text
        mended = mended.replace(proposed, own)
    agent.config.write_text(mended)
    agent.start()
    return text


def assert_exact(agent: Agent, counted: Counted, nic: str, link_header: int = LINK_HEADER) -> None:
    """The report has what was counted and nothing else; the line is its parts, and with headers its NIC."""
    report = agent.report()
    rows = {(row["name"], row["direction"], row["observed_at"]): row for row in report["counters"]}
    lines = {(LINE, way, "wire"): _sum(counted, way) for way in ("in", "out")}
    lines = {key: line for key, line in lines.items() if line.packets}
    assert {key: volume(row) for key, row in rows.items() if row["packets"]} == {**counted, **lines}
    for way in ("in", "out"):
        line = _sum(counted, way)
        found = next(row for row in report["interfaces"] if row["direction"] == way)
        assert (found["name"], found["frames"]) == (nic, line.packets)
        assert found["octets"] == line.octets + line.packets * link_header
    for row in rows.values():
        if row["observed_at"] == "ip":
            continue  # by an interface's own counter: no header is copied
        assert volume(row) == volume(row, "nflog_")
        assert (row["lost_packets"], row["pending_packets"]) == (0, 0)


def _sum(counted: Counted, way: str) -> Volume:
    parts = [one for (_, direction, at), one in counted.items() if (direction, at) == (way, "wire")]
    return Volume(sum(one.packets for one in parts), sum(one.octets for one in parts))
