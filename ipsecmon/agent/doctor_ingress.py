"""What filters at an interface's ingress take, by what tc(8) prints of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from ipsecmon.agent.doctor_facts import IngressFilter
from ipsecmon.errors import SourceError
from ipsecmon.helper.programs import find, run

__all__ = ["list_filters", "read_filters"]

_ESP, _UDP = 50, 17
_NATT_PORT = 4500
_FILTER = re.compile(r"^filter (.*)((?:\n[ \t].*)*)", re.MULTILINE)
_HEAD = re.compile(r"protocol (\S+) pref \d+ (\S+)(?: chain (\d+))?(.*)")
_WHOLE = {"u32": " order ", "matchall": " handle ", "flower": " handle "}  # others are its table, or its name
_REDIRECT = re.compile(r"mirred \(Egress Redirect to device (\S+?)\)")
_POLICE = re.compile(r"\bpolice (0x[0-9a-f]+)")
_ENDS = re.compile(r"gact action (?:pass|ok|drop|shot|stolen)")
_ACTION = re.compile(r"action order|\bpolice\b")
_KEY = re.compile(r"^  (\w+) (\S+)$", re.MULTILINE)
_MATCH = re.compile(r"match ([0-9a-f]{8})/([0-9a-f]{8}) at (\S+)")
_FAMILIES = {"all": "", "ip": "ip", "ipv6": "ip6"}
_ANY, _OTHER = -1, 255  # of IP protocols
# by what flower prints; ESP as a number, which some versions write in hexadecimal
_NAMES = {"udp": _UDP, str(_ESP): _ESP, f"{_ESP:x}": _ESP}
_FLOWER_WORDS = ("eth_type", "ip_proto", "dst_port", "src_port", "not_in_hw", "in_hw", "skip_hw", "skip_sw")
# (word's offset, its mask) of the IP protocol; of UDP's ports behind an IPv4 header without options
_PROTOCOLS = {("8", 0x00FF0000): 16, ("4", 0x0000FF00): 8}
_PORTS = {
    ("20", 0x0000FFFF): 0,
    ("20", 0xFFFF0000): 16,
    ("nexthdr+0", 0x0000FFFF): 0,
    ("nexthdr+0", 0xFFFF0000): 16,
}


def list_filters(names: Sequence[str]) -> Mapping[str, Sequence[IngressFilter]]:
    """By interface. Raises SourceError."""
    program = find("tc")
    if program is None:
        raise SourceError("tc is not installed")
    return {name: _listed(program, name) for name in names}


def read_filters(text: str) -> list[IngressFilter]:
    """text: of `tc filter show dev NAME ingress`."""
    return [one for found in _FILTER.finditer(text) for one in _filter(found[1], found[2])]


def _listed(program: str, name: str) -> list[IngressFilter]:
    done = run(program, ("filter", "show", "dev", name, "ingress"))
    if done.returncode and "Cannot find device" not in done.stderr:
        raise SourceError(f"tc: {done.stderr.strip().partition(chr(10))[0]}")
    return read_filters(done.stdout)


def _filter(head: str, body: str) -> Iterator[IngressFilter]:
    found = _HEAD.search(head)
    if found is None:
        return
    protocol, kind, chain, rest = found.groups()
    if _WHOLE.get(kind, " handle ") not in f"{rest} ":
        return
    one = _taking(kind, protocol, body)
    if chain not in (None, "0"):  # something goes to it
        one = one._replace(is_opaque=True)
    redirect, police = _REDIRECT.search(body), _POLICE.search(body)
    shaper = redirect[1] if redirect else f"policer {police[1]}" if police else ""
    ends = bool(shaper or _ENDS.search(body) or not _ACTION.search(body))
    yield one._replace(shaper=shaper, ends=ends)


def _taking(kind: str, protocol: str, body: str) -> IngressFilter:
    if kind not in _WHOLE or protocol.startswith("802.1"):
        return IngressFilter(kind, is_opaque=True)
    if protocol not in _FAMILIES:  # ARP and the like
        return IngressFilter(kind, takes_esp=False, takes_others=False)
    if kind == "flower":
        return _flower(body)
    return _u32(body) if kind == "u32" else IngressFilter(kind, takes_all=True)


def _u32(body: str) -> IngressFilter:
    number, ports, is_narrow = _ANY, set(), False
    for word, mask_word, at in _MATCH.findall(body):
        value, mask = int(word, 16), int(mask_word, 16)
        if (at, mask) in _PROTOCOLS:
            number = value >> _PROTOCOLS[at, mask] & 0xFF
        elif (at, mask) in _PORTS:
            ports.add(value >> _PORTS[at, mask] & 0xFFFF)
        else:
            is_narrow = is_narrow or mask != 0
    return _of_protocol("u32", number, ports, is_narrow)


def _flower(body: str) -> IngressFilter:
    keys = dict(_KEY.findall(body))
    word = keys.get("ip_proto", "")
    number = _ANY if not word else _NAMES.get(word, _OTHER)
    ports = {int(keys[name]) for name in ("dst_port", "src_port") if keys.get(name, "").isdigit()}
    is_narrow = any(name not in _FLOWER_WORDS for name in keys)
    return _of_protocol("flower", number, ports, is_narrow)


def _of_protocol(kind: str, number: int, ports: set[int], is_narrow: bool) -> IngressFilter:
    """number: of the IP protocol."""
    if number == _UDP:
        is_natt = _NATT_PORT in ports
        return IngressFilter(kind, takes_esp=is_natt or not ports, takes_others=not is_natt)
    return IngressFilter(
        kind,
        takes_esp=number in (_ANY, _ESP) and not ports,
        takes_others=number != _ESP,
        takes_all=not is_narrow and not ports and number in (_ANY, _ESP),
    )
