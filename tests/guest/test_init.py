"""`ipsecmon init` on interfaces that only the guest's kernel can make."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.netns.test_init import DEFAULT, PEER, checked, init
from tests.netns.topology import Topology


@pytest.mark.parametrize(
    ("link", "told"),
    [
        (f"gre1 type gre local 203.0.113.1 remote {PEER}", f"# - gre1: GRE to {PEER}"),
        ("wan0.7 link wan0 type vlan id 7", "VLAN 7 on wan0"),
    ],
)
def test_an_interface_on_the_line_is_explained(
    topology: Topology, tmp_path: Path, link: str, told: str
) -> None:
    name = link.split()[0]
    topology.ip("router", f"link add {link}\nlink set {name} up\n{DEFAULT}")
    try:
        text = init(topology, *(["--line", name] if "vlan" in link else []))
        assert told in text
        checked(topology, tmp_path, text)
    finally:
        topology.ip("router", f"route del default\nlink del {name}\n")
