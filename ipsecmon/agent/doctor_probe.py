"""Whether this kernel takes what our nft rules are made of: by `nft --check`, which installs nothing."""

from __future__ import annotations

from collections.abc import Mapping

from ipsecmon.agent.doctor_nft import is_net_admin
from ipsecmon.errors import SourceError
from ipsecmon.helper.programs import find, run

__all__ = ["NEEDED", "lacking"]

# in words: hook and statement
NEEDED: Mapping[str, tuple[str, str]] = {
    "NFLOG": ("prerouting", "log group 1 snaplen 28 queue-threshold 512"),
    "meta secpath": ("prerouting", "meta secpath exists"),
    "ipsec in": ("prerouting", "ipsec in ip saddr 192.0.2.1"),
    "rt ipsec": ("postrouting", "rt ipsec exists"),
    "fib": ("prerouting", "fib saddr type local"),
}
_TABLE = """table inet ipsecmon-probe {{
 chain tried {{
  type filter hook {} priority 0
  {}
 }}
}}
"""


def lacking(needed: Mapping[str, tuple[str, str]] = NEEDED) -> list[str]:
    """The words of what is refused. Raises SourceError where this process may not ask."""
    if not is_net_admin():
        raise SourceError("only root may try rules: sudo ipsecmon doctor")
    program = find("nft")
    if program is None:
        raise SourceError("nft is not installed")
    return [words for words, tried in needed.items() if not _is_taken(program, *tried)]


def _is_taken(program: str, hook: str, statement: str) -> bool:
    return run(program, ("--check", "-f", "-"), _TABLE.format(hook, statement)).returncode == 0
