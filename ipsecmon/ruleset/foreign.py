"""What other people's rules on this router mean for ours: do they translate addresses, and who else
uses bits of the nfmark that we would write.

In: the text that nft(8), iptables-save(8), ip-rule(8), ip-xfrm(8) and tc(8) print. Out: findings.
A use that is not understood counts as a use of every bit: a wrong nfmark can cut a VPN.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

__all__ = ["does_nat", "nfmark_overlaps", "without_chains", "without_tables"]

_ALL_BITS = 0xFFFFFFFF
_TABLE = re.compile(r"^table \S+ \S+ \{$.*?^\}$\n?", re.MULTILINE | re.DOTALL)
_NUMBER = r"(0x[0-9a-f]+|\d+)"
# Comparisons of a part of the mark: in nft's words; in those of iptables, ip rule and ip xfrm.
_COMPARED = re.compile(rf"mark (?:&|and) {_NUMBER} (?:==|!=|<|>)")
_VALUE_MASK = re.compile(rf"mark (?:0x[0-9a-f]+|\d+)/{_NUMBER}")
_MATCH_MODULE = re.compile(r"-m (?:conn)?mark\b")
_SETTING = re.compile(r"mark set|set-|restore|save")
_USED = re.compile(r"\bmark\b|MARK|fwmark|-mark")
_TC_HANDLE = re.compile(rf"handle (?:0x[0-9a-f]+|\d+)/{_NUMBER}")
_TC_USED = re.compile(r" fw .*handle|\bmark\b|connmark|ctinfo|nf_mark")


def without_tables(nft_text: str, names: tuple[str, ...]) -> str:
    """A ruleset listing less the inet tables named."""
    heads = tuple(f"table inet {name} {{" for name in names)
    return _TABLE.sub(lambda found: "" if found.group().startswith(heads) else found.group(), nft_text)


def without_chains(text: str, prefixes: tuple[str, ...]) -> str:
    """What nft(8) or iptables-save(8) printed, less the chains whose names begin so, and jumps to them."""
    names = "|".join(map(re.escape, prefixes))
    text = re.sub(rf"^\tchain (?:{names})\S* \{{$.*?^\t\}}$\n?", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(rf"^.*(?:-A|-j|jump|goto) (?:{names}).*\n?", "", text, flags=re.MULTILINE)


def does_nat(nft_text: str, iptables_text: str) -> bool:
    """Whether any chain of this network namespace translates addresses."""
    return "type nat hook" in nft_text or "*nat\n" in iptables_text


def nfmark_overlaps(listings: Mapping[str, str], mask: int) -> list[str]:
    """One sentence for each foreign use of a bit in mask.

    listings: program name (nft, iptables, ip rule, ip xfrm, tc) to what it printed.
    """
    found = [
        f"{origin} uses nfmark bits 0x{bits & mask:08x} of our mask: {line.strip()[:100]}"
        for origin, text in listings.items()
        for line, bits in _uses(origin, text)
        if bits & mask
    ]
    return list(dict.fromkeys(found))


def _uses(origin: str, text: str) -> Iterator[tuple[str, int]]:
    for line in text.splitlines():
        if origin == "tc":
            if _TC_USED.search(line):
                yield line, _tc_bits(line)
        elif _USED.search(line):
            yield line, _bits(line)


def _bits(line: str) -> int:
    """Of everything that the line says of marks. What is not understood is every bit."""
    if _SETTING.search(line):
        return _ALL_BITS
    bits = 0
    for understood in (_COMPARED, _VALUE_MASK):
        for found in understood.finditer(line):
            bits |= int(found.group(1), 0)
        line = understood.sub("", line)
    return _ALL_BITS if _USED.search(_MATCH_MODULE.sub("", line)) else bits


def _tc_bits(line: str) -> int:
    found = _TC_HANDLE.search(line)
    return int(found.group(1), 0) if " fw " in line and found else _ALL_BITS
