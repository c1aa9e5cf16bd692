"""Runs the subjects in turn, A B C D A B C D, and writes build/bench.json and a table. Needs root.

python -m tests.bench [--rounds 5] [--packets 400000] [--rate 120000] [--subject NAME …]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import ipsecmon
from tests.bench.results import OURS, Round, ratios, results
from tests.bench.rounds import network, one_round
from tests.bench.subjects import SUBJECTS

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ("ip", "nft", "ethtool", "sysctl", "uacctd", "ulogd")
LIMIT_S = 280.0  # no round begins after that less the longest round
GOAL = ("uacctd-tuned", 0.5)


def main(arguments: Sequence[str]) -> int:
    options = _parse(arguments)
    if os.geteuid() != 0:
        return _refuse("it needs root: sudo make bench")
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        return _refuse(f"missing: {', '.join(missing)}; run scripts/ensure-packages bench")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: terminated"))  # what was started is ended
    rounds = _run(options)
    if not rounds:
        return _refuse("no round was finished in time: ask for fewer --packets")
    document = as_document(rounds, _versions())
    target = ROOT / "build" / "bench.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(document, indent=2) + "\n")
    _show(document)
    return 0


def as_document(rounds: Sequence[Round], versions: Mapping[str, str]) -> dict[str, Any]:
    """What build/bench.json holds."""
    return {
        "machine": _machine(),
        "kernel": platform.release(),
        "versions": dict(versions),
        "results": results(rounds),
        "ratios": ratios(rounds),
    }


def _run(options: argparse.Namespace) -> list[Round]:
    """Whole rounds only, so that each subject has as many."""
    done: list[Round] = []
    start = time.monotonic()
    longest = 0.0
    with network() as among:
        for number in range(options.rounds):
            began = time.monotonic()
            if began + longest - start > LIMIT_S:
                print(f"stopped after {number} rounds: time is up", file=sys.stderr)
                break
            for name in options.subject:
                done.append(one_round(among, SUBJECTS[name], name, options.packets, options.rate))
                _say(number, done[-1])
            longest = max(longest, time.monotonic() - began)
    return done


def _say(number: int, one: Round) -> None:
    lost = "?" if one.lost is None else one.lost
    print(
        f"round {number + 1}: {one.subject:15} {one.cpu_us_per_packet:6.3f} us a packet, {lost} lost",
        flush=True,
    )


def _show(document: dict[str, Any]) -> None:
    print(f"\n{document['machine']}, Linux {document['kernel']}")
    print(f"{'work':8} {'subject':15} {'us a packet':>11} {'lost':>9} {'rounds':>6}")
    for row in document["results"]:
        print(
            f"{row['work']:8} {row['subject']:15} {row['cpu_us_per_packet']:11.3f} "
            f"{row['lost_packets']:>9} {row['rounds']:6}"
        )
    for row in document["ratios"]:
        subject, goal = GOAL
        aim = f"   goal: at most {goal}" if row["to"] == subject else ""
        print(f"{OURS} / {row['to']}: {row['median']:.2f} ({row['min']:.2f} to {row['max']:.2f}){aim}")


def _machine() -> str:
    models = [
        line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")
    ]
    model = models[0].partition(":")[2].strip() if models else platform.machine()
    return f"{os.cpu_count()} x {model}"


def _versions() -> dict[str, str]:
    return {
        "ipsecmon": ipsecmon.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "uacctd": _said("uacctd", "-V"),
        "ulogd2": _said("ulogd", "-V"),
    }


def _said(*command: str) -> str:
    """The first line that has a digit."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    lines = (done.stdout + done.stderr).splitlines()
    return next((line.strip() for line in lines if any(map(str.isdigit, line))), "unknown")


def _refuse(why: str) -> int:
    print(f"bench: {why}", file=sys.stderr)
    return 1


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--packets", type=int, default=400_000, help="a subject and round")
    parser.add_argument("--rate", type=int, default=120_000, help="packets a second, at most")
    parser.add_argument("--subject", nargs="+", choices=SUBJECTS, default=list(SUBJECTS))
    options = parser.parse_args(arguments)
    if OURS not in options.subject:
        parser.error(f"the ratios are those of {OURS}: name it too")
    return options


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
