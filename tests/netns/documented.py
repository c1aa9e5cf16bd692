"""What docs/manual-rules.md tells people to type, as it stands there but for names of the test network."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from tests.netns.topology import FAR, Topology

__all__ = ["documented_settings", "run_documented_commands"]

PAGE = Path(__file__).parents[2] / "docs" / "manual-rules.md"
NAMES = {"eth1": "wan0", "198.51.100.7": FAR}


def blocks(language: str) -> list[str]:
    """Every fenced block in a language, with this network's names."""
    text = PAGE.read_text()
    for there, here in NAMES.items():
        text = text.replace(there, here)
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def run_documented_commands(topology: Topology, flavour: str = "nft") -> None:
    commands = [line for block in blocks("sh") for line in block.splitlines()]
    assert len(commands) == 9 and all(line.startswith("iptables ") for line in commands)
    script = "\n".join(line.replace("iptables", f"iptables-{flavour}", 1) for line in commands)
    topology.run("router", "sh", "-e", "-c", script)


def documented_settings() -> dict[str, Any]:
    (text,) = blocks("yaml")
    settings: dict[str, Any] = yaml.safe_load(text)
    return settings
