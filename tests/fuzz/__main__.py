"""`python -m tests.fuzz [target …] [--inputs N] [--first SEED]`: inputs a second, and every input that broke.

An input's number is its seed: what broke is made again with `--first NUMBER --inputs 1`. Runs on every CPU.
Exit status: 0 nothing broke, 1 something did.
"""

from __future__ import annotations

import argparse
import multiprocessing
import multiprocessing.pool
import os
import sys
import time
from collections.abc import Iterator, Sequence
from random import Random

from tests.fuzz.targets import TARGETS

__all__ = ["broken"]

_BLOCK = 5_000
_MOST = 20  # of one target; more say nothing new


def main(arguments: Sequence[str]) -> int:
    options = _parse(arguments)
    status = 0
    with multiprocessing.Pool(options.processes) as pool:
        for name in options.targets or TARGETS:
            began = time.monotonic()
            found = list(_run(pool, name, range(options.first, options.first + options.inputs)))
            rate = options.inputs / (time.monotonic() - began)
            print(f"{name:<14} {options.inputs:>9,} inputs  {rate:>9,.0f}/s  broken: {len(found)}")
            print("".join(f"  {line}\n" for line in found[:_MOST]), end="", flush=True)
            status |= bool(found)
    return status


def broken(name: str, first: int, inputs: int) -> list[str]:
    """One line for each input that broke a promise."""
    found = []
    choose = Random()
    for number in range(first, first + inputs):
        choose.seed(number)
        try:
            TARGETS[name](choose)
        except Exception as error:  # noqa: BLE001 - whatever comes out is what is looked for
            said = f"{type(error).__name__}: {error}"[:200]
            found.append(f"python -m tests.fuzz {name} --first {number} --inputs 1  # {said!a}")
    return found


def _run(pool: multiprocessing.pool.Pool, name: str, numbers: range) -> Iterator[str]:
    blocks = [(name, first, min(_BLOCK, numbers.stop - first)) for first in numbers[::_BLOCK]]
    for found in pool.starmap(broken, blocks, chunksize=1):
        yield from found


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="target", help=f"of {', '.join(TARGETS)}; default: all")
    parser.add_argument("--inputs", type=int, default=1_000_000, help="of each target")
    parser.add_argument("--first", type=int, default=0, help="the first input's number, its seed")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    options = parser.parse_args(arguments)
    for name in options.targets:
        if name not in TARGETS:
            parser.error(f"no target is named {name}; there are: {', '.join(TARGETS)}")
    return options


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
