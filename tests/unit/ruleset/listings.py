"""What programs print in a network namespace that was set up for it, and is gone afterwards."""

from __future__ import annotations

import subprocess

from tests.unit.helper.conftest import require_root

__all__ = ["in_namespace", "iptables_refuse", "nft_accepts"]


def in_namespace(script: str) -> str:
    """The stdout of a shell script that runs in a new network namespace and may not fail."""
    require_root("unshare", "nft", "ip")
    done = subprocess.run(
        ["unshare", "--net", "sh", "-ec", script], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def nft_accepts(text: str) -> str:
    """What nft(8) says against a transaction; nothing if it would run it."""
    require_root("unshare", "nft")
    argv = ["unshare", "--net", "nft", "-c", "-f", "-"]
    done = subprocess.run(argv, input=text, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode == 0) == (not done.stderr)
    return done.stderr


def iptables_refuse(program: str, text: str) -> str:
    """What this program's restore says against a text; nothing if it would load it."""
    require_root("unshare", program)
    argv = ["unshare", "--net", f"{program}-restore", "--noflush", "--test"]
    done = subprocess.run(argv, input=text, capture_output=True, text=True, timeout=30, check=False)
    return done.stderr or ("refused" if done.returncode else "")
