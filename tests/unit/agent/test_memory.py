"""Freed memory stays: asked of the C library itself, in a process of its own."""

from __future__ import annotations

import subprocess
import sys

FAULTS = """
import resource
import numpy as np
from ipsecmon.agent.memory import keep_freed_memory

def faults() -> int:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(50):
        [np.ones(1 << 17, np.int64) for _ in range(4)]  # 1 MiB each
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

keep_freed_memory()
faults()
print(faults())
"""


def test_memory_that_was_used_before_is_used_again_without_page_faults() -> None:
    done = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)

    assert int(done.stdout) < 100  # of 4 KiB; the arrays have 51,200
