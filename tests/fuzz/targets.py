"""What is fuzzed: each target takes a random.Random, makes one input, and raises where a promise is broken.

Decoders may raise DecodeError, the config's loader ConfigErrors, a plan ConfigError: nothing else may come
out. Seeds are real: datagrams and tables of a kernel, and the files of users in tests/unit/config/cases.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from random import Random

import numpy as np

from ipsecmon.config.reference import EXAMPLE
from ipsecmon.errors import ConfigError, DecodeError
from ipsecmon.model import Direction, ObservationPoint
from ipsecmon.ruleset.iptables import prefix, show
from ipsecmon.ruleset.model import Inside, Kind, Match, Part, Plan, Tap, Tunnel
from ipsecmon.ruleset.nft import render
from ipsecmon.ruleset.saved import parse_saved
from ipsecmon.wire.links import decode_link_event
from ipsecmon.wire.netlink import Message, decode_error, pull_attributes, pull_messages
from ipsecmon.wire.nflog import decode_packets
from ipsecmon.wire.nft_rules import decode_log_rules, decode_table, decode_table_counter
from ipsecmon.wire.nftables import decode_counter, decode_generation, decode_table_handle
from ipsecmon.wire.tc import decode_tc
from ipsecmon.wire.xtables import decode_log_entries
from tests.fuzz.xfrm_targets import fuzz_ip_xfrm, fuzz_xfrm
from tests.property.test_config import judged
from tests.property.test_ruleset import IPTABLES_WORDS, OURS, WORDS
from tests.unit.ruleset.listings import iptables_refuse, nft_accepts
from tests.unit.wire.hexfiles import load
from tests.unit.wire.made_up import damaged

__all__ = ["TARGETS", "a_plan"]

_COPIES = [*chain(*map(load, ("mixed", "single", "groups", "snaplen-30", "prefix", "tagged")))]
_ALL_GROUPS = np.ones(1 << 16, np.bool_)
_ANSWERS = [
    *chain(*map(load, ("counters", "table", "generation", "bound", "in-use", "no-table"))),
    *chain(*map(load, ("log-rules", "log-tables", "log-objects", "links"))),
    *chain(*map(load, ("tc-htb", "tc-fq-codel"))),
]
_TABLES = {version: load(f"log-legacy-{version}") for version in (4, 6)}
_DECODERS: tuple[Callable[[bytes, Message], object], ...] = (
    decode_error,
    decode_counter,
    decode_generation,
    decode_link_event,
    decode_log_rules,
    decode_table,
    decode_table_counter,
    decode_table_handle,
    decode_tc,
)

_ASKED = 4_000  # one in so many plans is shown to the programs themselves
_RESTORES = ("iptables-nft", "ip6tables-nft", "iptables-legacy", "ip6tables-legacy")
_OWN_CHAIN = "a-([0-9a-f]{10}|(line|inner)_(in|out)|arriving|to_many|leaving)"
_NUMBERS = re.compile(r'[0-9a-fx.:/,\[\]"]+')
_LARGEST_SEED = 350  # octets; what is longer is slow to read, and holds nothing that the others do not
_BOMB = "*a,*a"  # read up to its limit, which takes as long as hundreds of others: it has a case of its own
_CASES = Path(__file__).parents[1] / "unit" / "config" / "cases"
_FILES = [
    text
    for text in (
        path.read_bytes().decode("utf-8", "replace") for path in sorted(_CASES.glob("*/config.yaml"))
    )
    if len(text) < _LARGEST_SEED and _BOMB not in text
]
_YAML = (
    ": ",
    "- ",
    "{",
    "}",
    "[",
    "]",
    "&a ",
    "*a",
    "!",
    "|",
    ">",
    "'",
    '"',
    "#",
    "\n",
    "\t",
    "%",
    "@",
    "`",
    "\\",
)
_YAML_WORDS = (
    *EXAMPLE.read_text(encoding="utf-8").split(),
    "null",
    "1e999",
    "0x",
    "-",
    "\x85",
    "\ud800",
    "\0",
)
_NASTY = (
    *(
        "}",
        "{",
        ";",
        '"',
        "'",
        "\\",
        "\n",
        "\0",
        "#",
        "$(reboot)",
        "`",
        "\u2028",
        "é",
        "😀",
        " ",
        "\t",
        "-j ACCEPT",
    ),
    *(
        'x"; drop',
        "accept",
        "add table",
        "ipsecmon",
        "in_wire_x",
        "a" * 40,
        "COMMIT\n*filter",
        "%s",
        "/",
        "@",
    ),
)
_PEERS = ("192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1", "fe80::1%eth0", "192.0.2.1/24", "0", "")
_INTERFACES = ("eth1", "ppp0", "eth1.5", "a b", 'e"1', "e\n1", "", "abcdefghijklmnop")
_SAVED = """*mangle
:PREROUTING ACCEPT [5:420]
:own - [0:0]
[2:168] -A PREROUTING -s 10.0.0.0/8 -m comment --comment "a \\" b" -j NFLOG --nflog-group 7
COMMIT
"""


def fuzz_netlink(choose: Random) -> None:
    datagram = damaged(choose, _ANSWERS)
    with contextlib.suppress(DecodeError):
        for found in pull_messages(datagram):
            for decode in _DECODERS:
                _refusable(lambda: decode(datagram, found))  # noqa: B023 - called at once
    _refusable(lambda: list(pull_attributes(datagram, 20, len(datagram))))


def fuzz_nflog(choose: Random) -> None:
    datagram = damaged(choose, _COPIES)
    _refusable(lambda: decode_packets(datagram, [len(datagram)], _ALL_GROUPS))


def fuzz_xtables(choose: Random) -> None:
    version = choose.choice((4, 6))
    octets = damaged(choose, _TABLES[version])
    _refusable(lambda: decode_log_entries(octets, version))


def fuzz_saved(choose: Random) -> None:
    """What iptables-save prints: never refused, and never more rules than lines."""
    text = _damaged_text(choose, [_SAVED], (*_NASTY, "[", "]", ":", "-A ", "*"))
    assert len(parse_saved(text).rules) <= text.count("\n") + 1 + sum(
        map(text.count, "\r\x0b\x0c\x1c\x1d\x1e\x85")
    )


def fuzz_config(choose: Random) -> None:
    judged(_damaged_text(choose, _FILES, (*_YAML, *_YAML_WORDS)))


def fuzz_names(choose: Random) -> None:
    """No word of a name, peer or interface becomes a word of a rule."""
    plan = a_plan(choose)
    with contextlib.suppress(ConfigError):
        plan.check()
        text = render(plan)
        for word in text.replace(";", " ").replace(",", " ").split():
            assert word in WORDS or OURS.fullmatch(word) or word == plan.table, word
        if choose.randrange(16) == 0:
            assert Plan.decode(plan.encode()) == plan
        if choose.randrange(_ASKED) == 0:
            assert nft_accepts(text) == ""


def fuzz_iptables_names(choose: Random) -> None:
    """The same of iptables-restore's text."""
    plan = a_plan(choose)
    with contextlib.suppress(ConfigError):
        plan.check()
        text = show(plan)
        chain_name = re.compile(f":?{re.escape(prefix(plan))}{_OWN_CHAIN}")
        for word in text.split():
            ours = word == plan.interfaces[0] or chain_name.fullmatch(word) or _NUMBERS.fullmatch(word)
            assert ours or set(word.lstrip("*").split(",")) <= IPTABLES_WORDS, word
        if choose.randrange(_ASKED) == 0:
            assert iptables_refuse(choose.choice(_RESTORES), text) == ""


def a_plan(choose: Random) -> Plan:
    """Names are anything; table, interface and peer mostly such as pass the check."""
    table = _name(choose) if choose.randrange(8) == 0 else "ipsecmon"
    interface = choose.choice(_INTERFACES) if choose.randrange(4) == 0 else "eth1"
    peer = choose.choice(_PEERS) if choose.randrange(4) == 0 else "192.0.2.1"
    name, way = _name(choose), choose.choice((Direction.IN, Direction.OUT))
    part = Part(Kind.CLEAR, Tap(name, way, ObservationPoint.WIRE, 1))
    esp = Part(Kind.PEER, Tap(f"{name}-vpn", way, ObservationPoint.WIRE, 2), (peer,), nfmark=1)
    inside = Inside(Tap(f"{name}-voice", way, ObservationPoint.INNER, 3), Match())
    tunnel = Tunnel(Tap(f"{name}-vpn", way, ObservationPoint.INNER, 4), (peer,), (inside,))
    lan = Tap(f"{name}-lan", way, ObservationPoint.INNER, 5)
    narrow = Tunnel(lan, (peer,), subnets=(Match(remote=("10.2.0.0/16",)),), reqids=((1, 2),))
    return Plan(table, (interface,), (part, esp), (tunnel, narrow), 0xFF0000, does_nat=choose.random() < 0.5)


def _name(choose: Random) -> str:
    pieces = [choose.choice(_NASTY) for _ in range(choose.randrange(4))]
    if choose.randrange(2):
        pieces.append(chr(choose.choice((choose.randrange(128), choose.randrange(0xD800)))))
    return "".join(pieces)


def _damaged_text(choose: Random, seeds: Sequence[str], pieces: Sequence[str]) -> str:
    """A text with parts cut out, put in, and lines of others spliced in."""
    text = choose.choice(seeds)
    for _ in range(choose.randint(1, 3)):
        at = choose.randrange(len(text) + 1)
        way = choose.randrange(4)
        if way == 0:
            text = text[:at] + text[at + choose.choice((1, 2, 5, 40)) :]
        elif way == 1:
            text = text[:at] + choose.choice(pieces) + text[at:]
        elif way == 2:
            text = text[:at] + choose.choice(pieces) + text[at + choose.randrange(12) :]
        else:
            lines = choose.choice(seeds).splitlines(keepends=True) or [""]
            start = text.rfind("\n", 0, at) + 1
            text = text[:start] + choose.choice(lines) + text[start:]
    return text


def _refusable(decode: Callable[[], object]) -> None:
    with contextlib.suppress(DecodeError):
        decode()


TARGETS: Mapping[str, Callable[[Random], None]] = {
    "netlink": fuzz_netlink,
    "nflog": fuzz_nflog,
    "xfrm": fuzz_xfrm,
    "ip-xfrm": fuzz_ip_xfrm,
    "xtables": fuzz_xtables,
    "saved": fuzz_saved,
    "config": fuzz_config,
    "names": fuzz_names,
    "iptables-names": fuzz_iptables_names,
}
