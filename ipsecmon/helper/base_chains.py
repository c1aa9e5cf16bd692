"""Base chains and tables that iptables-nft makes for our rules: which were not there before, and taking
exactly these away again. Legacy tables have all their chains always and can't be taken away.
"""

from __future__ import annotations

from ipsecmon.errors import DecodeError
from ipsecmon.helper.netlink import Netlink
from ipsecmon.helper.xtables import Xtables
from ipsecmon.wire.nft_cleanup import encode_chain_request, encode_deletion, encode_table_request
from ipsecmon.wire.nftables import decode_generation, encode_generation_request

__all__ = ["BaseChains"]

_TABLE = "mangle"
# older programs make all five at once
_LETTERS = {"p": "PREROUTING", "i": "INPUT", "f": "FORWARD", "o": "OUTPUT", "q": "POSTROUTING"}
_WHOLE_TABLE = "t"


class BaseChains:
    """What is missing is told in letters, which stand in the name of a chain of ours."""

    def __init__(self) -> None:
        self._netfilter = Netlink()

    def missing(self, table: Xtables) -> str:
        """What is not there now, of what the program may make for rules."""
        if table.flavour != "nft":
            return ""
        family = table.family
        found = [
            letter
            for letter, chain in _LETTERS.items()
            if not self._netfilter.is_there(
                lambda sequence, chain=chain: encode_chain_request(family, _TABLE, chain, sequence)  # type: ignore[misc]
            )
        ]
        if not self._netfilter.is_there(lambda sequence: encode_table_request(family, _TABLE, sequence)):
            found.append(_WHOLE_TABLE)
        return "".join(found)

    def delete(self, table: Xtables, letters: str) -> None:
        """Those of these letters that nobody uses now, the table last."""
        if table.flavour != "nft":
            return
        policies = table.read().chains
        for letter, chain in _LETTERS.items():
            if letter in letters and policies.get((_TABLE, chain)) == "ACCEPT":
                self._delete(table.family, chain)
        if _WHOLE_TABLE in letters:
            self._delete(table.family, "")

    def generation(self) -> int:
        """Changes with every change of any nft or iptables-nft rule set; 0 where the kernel has none."""
        try:
            return decode_generation(*self._netfilter.ask(encode_generation_request))
        except (OSError, DecodeError):
            return 0

    def _delete(self, family: int, chain: str) -> None:
        try:
            self._netfilter.ask(lambda sequence: encode_deletion(family, _TABLE, chain, sequence))
        except OSError:
            pass  # somebody uses it by now, or has deleted it
