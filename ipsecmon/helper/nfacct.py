"""nfacct objects of ours: made at 0, read, deleted, and nobody else's ever touched.

They outlive the rules that count in them. One of them has no rule: its name says which life of all of
them this is.
"""

from __future__ import annotations

import errno
import secrets
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Callable, NamedTuple

from ipsecmon.helper.netlink import Netlink
from ipsecmon.wire.nfacct import AcctObject, decode_object, encode_delete, encode_dump, encode_new

__all__ = ["Acct", "AcctReading", "reloaded_by"]

_LIFE = "life-"
_LET_GO_S = 2.0
_STEP_S = 0.01
# What loads saved iptables rules at boot. Rules that name an nfacct object can't be loaded before it is made.
_SAVED_RULES = (
    "/etc/iptables/rules.v4",
    "/etc/iptables/rules.v6",
    "/etc/iptables/iptables.rules",
    "/etc/sysconfig/iptables",
    "/etc/sysconfig/ip6tables",
    "/var/lib/iptables/rules-save",
)


class AcctReading(NamedTuple):
    """life: 0 if there is none. objects: by name less our prefix."""

    life: int
    objects: dict[str, AcctObject]


class Acct:
    """prefix: of the names of ours."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._netfilter = Netlink()

    def supported(self) -> bool:
        try:
            self._netfilter.ask(encode_dump)
        except OSError:
            return False
        return True

    def read(self) -> AcctReading:
        """Raises OSError, DecodeError."""
        life, objects = 0, {}
        for buffer, message in self._netfilter.dump(encode_dump):
            one = decode_object(buffer, message)
            if one.name.startswith(self._prefix + _LIFE):
                life = int(one.name[len(self._prefix + _LIFE) :], 16)
            elif one.name.startswith(self._prefix):
                objects[one.name[len(self._prefix) :]] = one
        return AcctReading(life, objects)

    def make(self, names: Iterable[str]) -> None:
        """Those that are there keep their values. Raises OSError."""
        found = self.read()
        if not found.life:  # without it nobody can say when the others began
            self.delete()
            self._ask(encode_new, f"{_LIFE}{secrets.randbits(32) or 1:08x}")
            found = AcctReading(0, {})
        for name in names:
            if name not in found.objects:
                self._ask(encode_new, name)

    def delete(self) -> None:
        """All of ours, the life last. Raises OSError where a rule still uses one."""
        life, objects = self.read()
        for name in objects:
            self._ask(encode_delete, name)
        if life:
            self._ask(encode_delete, f"{_LIFE}{life:08x}")

    def _ask(self, encode: Callable[[str, int], bytes], name: str) -> None:
        """nf_tables lets go of the objects of deleted rules a moment later."""
        deadline = time.monotonic() + _LET_GO_S
        while True:
            try:
                self._netfilter.ask(lambda sequence: encode(self._prefix + name, sequence))
                return
            except OSError as error:
                if error.errno in (errno.EEXIST, errno.ENOENT):
                    return
                if error.errno != errno.EBUSY or time.monotonic() > deadline:
                    raise
            time.sleep(_STEP_S)


def reloaded_by(files: Iterable[str] = _SAVED_RULES) -> str:
    """The file that somebody loads iptables rules from at boot, or nothing."""
    return next((name for name in files if Path(name).exists()), "")
