"""What these tests need of the machine; also for the other tests that run nft in a namespace."""

from __future__ import annotations

import os
import shutil

import pytest

__all__ = ["require_root"]


def require_root(*programs: str) -> None:
    """Skip where there is no root, or a program is missing; fail in CI, which must have them."""
    lacking = [program for program in programs if shutil.which(program) is None]
    if os.geteuid() != 0:
        lacking.insert(0, "root")
    if lacking and os.environ.get("CI"):
        pytest.fail(f"CI must run this test, and lacks {', '.join(lacking)}")
    if lacking:
        pytest.skip(f"needs {', '.join(lacking)}")
