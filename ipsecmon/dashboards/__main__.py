"""Writes the dashboards: python -m ipsecmon.dashboards FOLDER."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from ipsecmon.dashboards import before_after, health, months, tunnel, vpn_versus_other
from ipsecmon.dashboards.look import Json

__all__ = ["DASHBOARDS", "main", "render"]

DASHBOARDS: Mapping[str, Callable[[], Json]] = {
    "vpn-versus-other": vpn_versus_other.build,
    "tunnel": tunnel.build,
    "before-and-after": before_after.build,
    "months": months.build,
    "health": health.build,
}
"""By the name of the file."""


def render(dashboard: Json) -> str:
    return json.dumps(dashboard, indent=2, ensure_ascii=False) + "\n"


def main(arguments: list[str]) -> None:
    (folder,) = arguments
    for name, build in DASHBOARDS.items():
        (Path(folder) / f"{name}.json").write_text(render(build()), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
