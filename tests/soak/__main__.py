"""`make soak`: ten minutes of faults. Status 1: a point is missing or double.

python -m tests.soak [--seconds 600] [--seed N]
"""

from __future__ import annotations

import argparse
import dataclasses
import random
import sys
import tempfile
from pathlib import Path

from tests.soak.soak import soak


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="ipsecmon-soak-") as folder:
        figures = soak(Path(folder), options.seconds, options.seed)
    for name, value in dataclasses.asdict(figures).items():
        print(f"{name:13} {value}")
    return 1 if figures.missing or figures.double or figures.dropped or figures.rejected else 0


if __name__ == "__main__":
    sys.exit(main())
