"""One written value -> its neutral form, pure.

In: a plain value of any type from the YAML. Out: an address, network, range or number. What cannot be
read raises ValueError that says what is allowed, and nothing else is ever raised.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Optional, Union

from ipsecmon.config.problems import suggestion
from ipsecmon.config.protocols import ESP_AND_AH, PROTOCOLS

__all__ = [
    "IPAddress",
    "IPNetwork",
    "Range",
    "parse_address",
    "parse_group_range",
    "parse_if_id",
    "parse_network",
    "parse_peer",
    "parse_port_range",
    "parse_protocol",
    "parse_reqid_range",
    "parse_xfrm_mark",
]

IPAddress = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]
IPNetwork = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]
Range = tuple[int, int]  # first and last, both inclusive

_LABEL = r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)"
_HOST = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(\.{_LABEL})*")  # RFC 1123, 2.1
_RANGE = re.compile(r"([0-9]{1,10})(?:-([0-9]{1,10}))?")
_NUMBER = re.compile("0x[0-9a-fA-F]{1,8}|[0-9]{1,10}")
_U32 = 0xFFFFFFFF


def parse_address(text: str) -> Optional[IPAddress]:
    """The address, or None where the text is none (a name, a network, one with a zone)."""
    try:
        return None if "%" in text else ipaddress.ip_address(text)
    except ValueError:
        return None


def parse_peer(value: object) -> str:
    """An IP address in its shortest form, or a host name as written. Raises ValueError."""
    if isinstance(value, str):
        address = parse_address(value)
        if address and (address.is_unspecified or address.is_multicast):
            raise ValueError("must be the peer's own address, not an unspecified or multicast one")
        if address:
            return str(address)
        if _HOST.fullmatch(value) and not value.rpartition(".")[2].isdigit():
            return value
    raise ValueError("must be one IP address or host name, such as 198.51.100.7 or berlin.example.net")


def parse_network(value: object) -> IPNetwork:
    """A network; a lone address is a network of one. Raises ValueError."""
    text, _, length = value.partition("/") if isinstance(value, str) else ("", "", "")
    address = parse_address(text)
    bits = int(length) if re.fullmatch("[0-9]{1,3}", length) else None
    if address is None or (bits is None and value != text) or (bits or 0) > address.max_prefixlen:
        raise ValueError("must be an IP address or network, such as 192.0.2.7 or 10.1.5.0/24")
    network = ipaddress.ip_network((address, address.max_prefixlen if bits is None else bits), strict=False)
    if network.network_address != address:
        raise ValueError(f"has bits set beyond the network's length; did you mean {network}?")
    return network


def parse_port_range(value: object) -> Range:
    """80, '80' or '5000-5999'. Raises ValueError."""
    return _parse_range(value, "a port from 1 to 65535 or a range such as 5000-5999")


def parse_group_range(value: object) -> Range:
    """NFLOG groups: 5600 or '5600-5999'. Raises ValueError."""
    return _parse_range(value, "a group from 1 to 65535 or a range such as 5600-5999")


def parse_protocol(value: object) -> int:
    """An IP protocol number from its name or number. Raises ValueError."""
    word = value.lower() if isinstance(value, str) else value
    if word in (*ESP_AND_AH, *ESP_AND_AH.values()):
        raise ValueError("ESP and AH are not matched: ipsec: and the built-in parts esp and ah count them")
    if isinstance(word, str) and word in PROTOCOLS:
        return PROTOCOLS[word]
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 255:
        return value
    nearest = suggestion(str(value), PROTOCOLS)
    hint = f"; did you mean {nearest}?" if nearest else f"; names: {', '.join(PROTOCOLS)}"
    raise ValueError(f"must be an IP protocol's name or a number from 0 to 255{hint}")


def parse_reqid_range(value: object) -> Range:
    """7 or '10-19'. Raises ValueError."""
    return _parse_range(value, f"a reqid from 1 to {_U32} or a range such as 10-19", _U32)


def parse_if_id(value: object) -> int:
    """42, 0x2a or '0x2a'. Raises ValueError."""
    number = _number(value)
    if number is None or number == 0:
        raise ValueError(f"must be an if_id from 1 to {_U32}, such as 42 or 0x2a")
    return number


def parse_xfrm_mark(value: object) -> tuple[int, int]:
    """Value and mask from 0x10 or '0x10/0xff'. Raises ValueError."""
    left, slash, right = value.partition("/") if isinstance(value, str) else (value, "", "")
    mark, mask = _number(left), _number(right) if slash else _U32
    if mark is None or not mask:
        raise ValueError("must be a mark such as 0x10, or one with its mask such as 0x10/0xff")
    if mark & ~mask:
        raise ValueError(f"has bits outside its mask; did you mean 0x{mark & mask:x}/0x{mask:x}?")
    return mark, mask


def _number(value: object) -> Optional[int]:
    """0 to 2**32 - 1, as a number or as text of one."""
    text = str(value)
    if isinstance(value, bool) or not _NUMBER.fullmatch(text):
        return None
    number = int(text, 16 if text.startswith("0x") else 10)
    return number if number <= _U32 else None


def _parse_range(value: object, what: str, highest: int = 65535) -> Range:
    matched = None if isinstance(value, bool) else _RANGE.fullmatch(str(value))
    first = int(matched.group(1)) if matched else 0
    last = int(matched.group(2) or first) if matched else 0
    if not (1 <= first <= highest and 1 <= last <= highest):
        raise ValueError(f"must be {what}")
    if first > last:
        raise ValueError(f"is a range that ends before it begins; did you mean {last}-{first}?")
    return first, last
