"""The lines in which `ip -s xfrm` prints an SA, each as fields of a SecurityAssociation.

read_line() takes a line without its indentation and adds what it says to the fields; those that begin with
"_" are for other lines. Digits are ASCII and few, so that int() takes all that matched.
"""

from __future__ import annotations

import datetime
import re
from re import Match
from typing import Any, Callable, Optional

from ipsecmon.ipsec import AntiReplay, Encapsulation, Lifetime, Mark, Offload, Selector
from ipsecmon.model import Direction
from ipsecmon.wire.xfrm_attributes import ENCAPSULATIONS, XFRM_STATE_ESN, count_unseen
from ipsecmon.wire.xfrm_layout import GRE, MODES

__all__ = ["ADDRESS", "NETWORKS", "PROTOCOLS", "read_line", "read_selector"]

Fields = dict[str, Any]
Reader = Callable[[Match[str], Fields], None]

PROTOCOLS = {"esp": 50, "ah": 51, "comp": 108, "route2": 43, "hao": 60, "ipsec-any": 255}
DIRECTIONS = {"in": Direction.IN, "out": Direction.OUT}
# those names of /etc/protocols that selectors are seen with
SELECTED = {"icmp": 1, "igmp": 2, "ipencap": 4, "tcp": 6, "udp": 17, "dccp": 33, "ipv6": 41, "gre": 47}
SELECTED |= {"esp": 50, "ah": 51, "ipv6-icmp": 58, "ospf": 89, "pim": 103, "vrrp": 112, "l2tp": 115}
SELECTED |= {"sctp": 132, "mobility-header": 135, "udplite": 136}
FLAGS = ("noecn", "decap-dscp", "nopmtudisc", "wildrecv", "icmp", "af-unspec", "align4", "esn")
EXTRA_FLAGS = ("dont-encap-dscp", "oseq-may-wrap")

ADDRESS = "([0-9a-fA-F:.]{2,45})"
NETWORKS = r"src ([0-9a-fA-F:./]{4,49}) dst ([0-9a-fA-F:./]{4,49})(.*)"
_U32, _U64, _HEX = "([0-9]{1,10})", "([0-9]{1,20})", "(?:0x)?([0-9a-f]{1,8})"  # `%#x` prints a bare 0
_LIMIT = rf"(?:\(INF\)|{_U64})"
_TIME = "(-|[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2})"
_EPOCH = datetime.datetime(1970, 1, 1)


def read_line(line: str, fields: Fields) -> bool:
    """False: the line is known and is not as iproute2 writes it. Lines that may hold a key are not read."""
    word = line.partition(" ")[0]
    if word in _ALGORITHMS:
        fields["is_keyed"] = True
        return True
    for pattern, read in _LINES.get(word, _SHAPES):
        matched = pattern.fullmatch(line)
        if matched is not None:
            try:
                read(matched, fields)
            except (ValueError, KeyError):  # no such time; or a line before the one that it follows
                return False
            return True
    return word not in _LINES


def _identity(matched: Match[str], fields: Fields) -> None:
    protocol, spi, reqid, mode = matched.groups()
    fields["protocol"] = PROTOCOLS[protocol] if protocol in PROTOCOLS else int(protocol)
    fields["spi"] = int(spi, 16)
    fields["reqid"] = int(reqid)
    fields["mode"] = MODES.get(int(mode), mode) if mode.isdigit() else mode


def _window_and_flags(matched: Match[str], fields: Fields) -> None:
    """No space stands before extra_flag; flags without a name follow the others as one number."""
    window, flags, extra = matched.groups()
    fields["replay_window"] = int(window)
    fields["flags"] = _bits(flags or "", FLAGS)
    fields["extra_flags"] = _bits(extra or "", EXTRA_FLAGS)


def _bits(words: str, names: tuple[str, ...]) -> int:
    bits = 0
    for word in words.split():
        if word in names:
            bits |= 1 << names.index(word)
        elif re.fullmatch("[0-9a-f]{1,8}", word):
            bits |= int(word, 16)
    return bits


def _statistics(matched: Match[str], fields: Fields) -> None:
    fields["late_packets"], fields["replayed_packets"], fields["integrity_failures"] = map(
        int, matched.groups()
    )


def _marks(matched: Match[str], fields: Fields) -> None:
    value, mask, set_value, set_mask = (int(number, 16) if number else None for number in matched.groups())
    if value is not None and mask is not None:
        fields["mark"] = Mark(value, mask)
    if set_value is not None:
        fields["set_mark"] = Mark(set_value, 0xFFFFFFFF if set_mask is None else set_mask)


def _encapsulation(matched: Match[str], fields: Fields) -> None:
    kind, source, destination, original = matched.groups()
    kind = ENCAPSULATIONS.get(int(kind), kind) if kind.isdigit() else kind
    fields["encapsulation"] = Encapsulation(kind, int(source), int(destination), original)


def _last_used(matched: Match[str], fields: Fields) -> None:
    fields["last_used_s"] = _time(matched[1])


def _anti_replay(matched: Match[str], fields: Fields) -> None:
    highest, sent, bitmap = (int(number, 16) for number in matched.groups())
    window = min(fields["replay_window"], 32)
    seen = bin(bitmap & ((1 << window) - 1)).count("1")
    fields["anti_replay"] = AntiReplay(
        highest, sent, fields["replay_window"], count_unseen(seen, window, highest)
    )


def _esn_sequence(matched: Match[str], fields: Fields) -> None:
    """Newer versions leave out the half that an SA of one direction has no use for."""
    highest_high, highest, sent_high, sent = (int(number or "0", 16) for number in matched.groups())
    is_esn = bool(fields["flags"] & XFRM_STATE_ESN)
    fields["anti_replay"] = AntiReplay(highest_high << 32 | highest, sent_high << 32 | sent, 0, 0, is_esn)


def _esn_window(matched: Match[str], fields: Fields) -> None:
    """The bitmap's words follow, the last one first."""
    window = int(matched[1])
    anti_replay = fields["anti_replay"]
    unseen = count_unseen(0, window, anti_replay.highest)
    fields["anti_replay"] = anti_replay._replace(window=window, unseen=unseen)
    fields["_words"] = int(matched[2])


def _bitmap(matched: Match[str], fields: Fields) -> None:
    words = fields.get("_words", 0)
    for word in matched[0].split():
        words -= 1
        if words < 0:
            raise ValueError("more words than announced")
        anti_replay = fields["anti_replay"]
        window = min(32, max(0, anti_replay.window - 32 * words))
        seen = bin(int(word, 16) & ((1 << window) - 1)).count("1")
        fields["anti_replay"] = anti_replay._replace(unseen=max(0, anti_replay.unseen - seen))
    fields["_words"] = words


def _offload(matched: Match[str], fields: Fields) -> None:
    ifname, direction, mode = matched.groups()
    fields["offload"] = Offload(direction == "in", mode == "packet", ifname=ifname)


def _if_id(matched: Match[str], fields: Fields) -> None:
    fields["if_id"] = int(matched[1], 16)


def _direction(matched: Match[str], fields: Fields) -> None:
    fields["direction"] = DIRECTIONS.get(matched[1], Direction.UNKNOWN)


def _cpu(matched: Match[str], fields: Fields) -> None:
    fields["cpu"] = int(matched[1])


def _selector(matched: Match[str], fields: Fields) -> None:
    fields["selector"] = read_selector(matched)


def read_selector(matched: Match[str]) -> Selector:
    """matched: NETWORKS. Raises ValueError."""
    source, destination, rest = matched.groups()
    said = dict(re.findall(r"(proto|sport|dport|type|code|key) (\S{1,30})", rest))
    name = said.get("proto", "0")
    protocol = int(name) if name.isdigit() and name.isascii() else SELECTED.get(name, -1)
    ports = _optional(said.get("sport", said.get("type"))), _optional(said.get("dport", said.get("code")))
    if protocol == GRE and "key" in said:
        ports = divmod(int(said["key"]), 1 << 16)
    return Selector(source, destination, protocol, *ports)


def _optional(number: Optional[str]) -> Optional[int]:
    return None if number is None else int(number)


def _limit(matched: Match[str], fields: Fields) -> None:
    """Four lines in a fixed order: octets, packets, seconds since added, seconds since first used."""
    limits = [_optional(number) for number in matched.groups()]
    fields.setdefault("_limits", []).extend(limits)


def _expiry(matched: Match[str], fields: Fields) -> None:
    limits = fields.setdefault("_limits", [])
    limits.extend(int(number) or None for number in matched.groups())
    if len(limits) == 8:
        fields["lifetime"] = Lifetime(*limits)


def _counters(matched: Match[str], fields: Fields) -> None:
    fields["octets"], fields["packets"] = int(matched[1]), int(matched[2])


def _times(matched: Match[str], fields: Fields) -> None:
    fields["added_s"], fields["used_s"] = _time(matched[1]) or 0, _time(matched[2])


def _hard(matched: Match[str], fields: Fields) -> None:
    fields["_hard"] = matched[1] != "0"


def _time(text: str) -> Optional[int]:
    if text == "-":
        return None
    return int((datetime.datetime.strptime(text, "%Y-%m-%d %H:%M:%S") - _EPOCH).total_seconds())


def _pattern(pattern: str, read: Reader) -> tuple[re.Pattern[str], Reader]:
    return re.compile(pattern, re.ASCII), read


_ALGORITHMS = frozenset(("auth", "auth-trunc", "enc", "aead", "comp"))
_NAMES = "([a-z0-9 -]*?)"
_ESN = rf"(?:seq-hi {_HEX}, seq {_HEX})?,? ?(?:oseq-hi {_HEX}, oseq {_HEX})?"
_LINES = {  # by the first word
    "proto": [
        _pattern(
            rf"proto ([a-z0-9-]+) spi 0x([0-9a-f]{{8}})(?:\([0-9]{{1,10}}\))? "
            rf"reqid {_U32}(?:\(0x[0-9a-f]{{8}}\))? mode ([a-z_]+|[0-9]{{1,3}})",
            _identity,
        )
    ],
    "replay-window": [
        _pattern(rf"replay-window {_U32} replay {_U32} failed {_U32}", _statistics),
        _pattern(
            r"replay-window ([0-9]{1,3})(?: seq 0x[0-9]+)?"
            rf"(?: flag {_NAMES})?(?: ?extra_flag {_NAMES})?(?: ?\(0x[01]{{8}}\))?",
            _window_and_flags,
        ),
    ],
    "mark": [_pattern(rf"mark {_HEX}/{_HEX}(?: output-mark {_HEX}(?:/{_HEX})?)?", _marks)],
    "output-mark": [_pattern(rf"()()output-mark {_HEX}(?:/{_HEX})?", _marks)],
    "encap": [
        _pattern(rf"encap type ([a-z0-9-]+) sport {_U32} dport {_U32} addr {ADDRESS}", _encapsulation),
    ],
    "lastused": [_pattern(f"lastused {_TIME}", _last_used)],
    "anti-replay": [
        _pattern(rf"anti-replay context: seq {_HEX}, oseq {_HEX}, bitmap {_HEX}", _anti_replay),
        _pattern(rf"anti-replay esn context:\s*{_ESN}", _esn_sequence),
    ],
    "seq-hi": [_pattern(_ESN, _esn_sequence)],
    "oseq-hi": [_pattern(_ESN, _esn_sequence)],
    "replay_window": [_pattern(rf"replay_window {_U32}, bitmap-length ([0-9]{{1,3}})", _esn_window)],
    "crypto": [
        _pattern(
            r"crypto offload parameters: dev (\S{1,15})(?: dir (in|out))?(?: mode (crypto|packet))?", _offload
        ),
    ],
    "if_id": [_pattern(f"if_id {_HEX}", _if_id)],
    "dir": [_pattern(r"dir (in|out|other \([0-9]+\))", _direction)],
    "pcpu-num": [_pattern(f"pcpu-num {_U32}", _cpu)],
    "sel": [_pattern(f"sel {NETWORKS}", _selector)],
    "limit:": [
        _pattern(rf"limit: soft {_LIMIT}\((?:bytes|packets)\), hard {_LIMIT}\((?:bytes|packets)\)", _limit)
    ],
    "expire": [_pattern(rf"expire (?:add|use): soft {_U64}\(sec\), hard {_U64}\(sec\)", _expiry)],
    "add": [_pattern(f"add {_TIME} use {_TIME}", _times)],
    "hard": [_pattern("hard ([0-9]{1,3})", _hard)],
}
_SHAPES = [
    _pattern(rf"{_U64}\(bytes\), {_U64}\(packets\)", _counters),
    _pattern(r"[0-9a-f]{8}(?: [0-9a-f]{8})*", _bitmap),
]
