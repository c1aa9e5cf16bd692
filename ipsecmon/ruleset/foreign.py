"""What other people's rules on this router mean for ours: do they translate addresses, and who else
uses bits of the nfmark that we would write.

In: the text that nft(8), iptables-save(8), ip-rule(8), ip-xfrm(8) and tc(8) print. Out: findings.
A use that is not understood counts as a use of every bit: a wrong nfmark can cut a VPN.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

__all__ = ["does_nat", "nfmark_overlaps", "without_tables"]

_ALL_BITS = 0xFFFFFFFF
_TABLE = re.compile(r"^table \S+ \S+ \{$.*?^\}$\n?", re.MULTILINE | re.DOTALL)
_NUMBER = r"(0x[0-9a-f]+|\d+)"
_COMPARED = re.compile(rf"mark (?:&|and) {_NUMBER} (?:==|!=|<|>)")  # nft: only these bits are looked at
_VALUE_MASK = re.compile(rf"mark {_NUMBER}/{_NUMBER}")  # iptables, ip rule, ip xfrm
_SETTING = re.compile(r"mark set|set-|restore|save")
_TC_HANDLE = re.compile(rf"handle {_NUMBER}(?:/{_NUMBER})?")


def without_tables(nft_text: str, names: tuple[str, ...]) -> str:
    """A ruleset listing less the inet tables named."""
    heads = tuple(f"table inet {name} {{" for name in names)
    return _TABLE.sub(lambda found: "" if found.group().startswith(heads) else found.group(), nft_text)


def does_nat(nft_text: str, iptables_text: str) -> bool:
    """Whether any chain of this network namespace translates addresses."""
    return "type nat hook" in nft_text or "*nat\n" in iptables_text


def nfmark_overlaps(listings: Mapping[str, str], mask: int) -> list[str]:
    """One sentence for each foreign use of a bit in mask.

    listings: program name (nft, iptables, ip rule, ip xfrm, tc) to what it printed.
    """
    return [
        f"{origin} uses nfmark bits 0x{bits & mask:08x} of our mask: {line.strip()[:100]}"
        for origin, text in listings.items()
        for line, bits in _uses(origin, text)
        if bits & mask
    ]


def _uses(origin: str, text: str) -> Iterator[tuple[str, int]]:
    for line in text.splitlines():
        if origin == "tc":
            if " fw" in line and "handle" in line:
                yield line, _masked(_TC_HANDLE.search(line))
        elif re.search(r"\bmark\b|MARK|fwmark|-mark", line):
            yield line, _bits(line)


def _bits(line: str) -> int:
    if _SETTING.search(line):
        return _ALL_BITS
    compared = _COMPARED.search(line)
    if compared:
        return int(compared.group(1), 0)
    return _masked(_VALUE_MASK.search(line))


def _masked(found: re.Match[str] | None) -> int:
    """The mask of a value/mask pair; without one every bit is meant."""
    return int(found.group(2), 0) if found and found.group(2) else _ALL_BITS
