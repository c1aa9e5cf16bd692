"""Rules of the administrator's own that log to our groups, with what each has counted: read, never touched.

Of nf_tables by netlink (native rules and those of iptables-nft), and of legacy iptables. A rule's identity
names one life of it: another one under the same words is another rule where the kernel tells (nf_tables),
and has the same identity where it does not.

Since the first read, the kernel announces each new nf_tables rule with what its counter begins with: 0, or
the value in a dump that somebody loads again. So nothing is counted twice.
"""

from __future__ import annotations

import contextlib
import errno
import socket
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Callable, NamedTuple, Optional, TypeVar

from ipsecmon.errors import DecodeError, SourceError
from ipsecmon.helper.legacy_rules import legacy_rules
from ipsecmon.helper.netfilter import SO_RCVBUFFORCE, SOL_NETLINK
from ipsecmon.helper.netlink import Netlink
from ipsecmon.wire.netlink import (
    Message,
    pull_messages,
)
from ipsecmon.wire.nflog_config import NETLINK_NETFILTER
from ipsecmon.wire.nft_rules import (
    FAMILIES,
    LogRule,
    decode_log_rules,
    decode_table,
    decode_table_counter,
    encode_dump_counters,
    encode_dump_rules,
    encode_dump_tables,
    is_new_object,
    is_new_rule,
)
from ipsecmon.wire.nftables import NamedCounter

__all__ = ["ForeignDump", "ForeignRule", "ForeignRuleReader"]

_ADD_MEMBERSHIP, _NFTABLES_EVENTS = 1, 7  # SOL_NETLINK; NFNLGRP_NFTABLES
_EVENTS_BUFFER = 16 << 20  # octets: a reload of ten thousand rules between two reads
_MAX_BIRTHS = 100_000  # rules announced between two reads; beyond, they count from their first reading
_RECEIVE = 1 << 17
_TRIES = 10
_WITHOUT_NFTABLES = (errno.ENOENT, errno.EOPNOTSUPP, errno.EINVAL, errno.EPROTONOSUPPORT)

_Decoded = TypeVar("_Decoded")
_Volume = tuple[int, int]
_Place = tuple[int, str, str]  # family, table, and what in it: `17/5` (handle/group) or `counter web/3`


class ForeignRule(NamedTuple):
    """octets, packets: its counter. born: what the counter began with; None where nobody knows."""

    group: int
    identity: str
    octets: int
    packets: int
    born: Optional[_Volume]


class ForeignDump(NamedTuple):
    """problems: (group, sentence) of each rule that logs without a counter of its own."""

    rules: list[ForeignRule]
    problems: list[tuple[int, str]]


class ForeignRuleReader:
    """groups: only rules that log to one of these are told."""

    def __init__(self, groups: Iterable[int]) -> None:
        self._groups = frozenset(groups)
        self._nft: Optional[_NftReader] = None

    def read(self) -> ForeignDump:
        """Raises SourceError, DecodeError or OSError."""
        if not self._groups:
            return ForeignDump([], [])
        if self._nft is None:
            self._nft = _NftReader()
        dump = self._nft.read(self._groups)
        dump.rules.extend(
            ForeignRule(rule.group, identity, rule.octets, rule.packets, (0, 0))
            for identity, rule in legacy_rules()
            if rule.group in self._groups
        )
        return dump


class _NftReader:
    """Rules that log, and how each began: listening begins before the first read."""

    def __init__(self) -> None:
        self._births: dict[_Place, _Volume] = {}
        self._known: Optional[set[str]] = None
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
        self._events = socket.socket(socket.AF_NETLINK, kind, NETLINK_NETFILTER)
        self._events.bind((0, 0))
        self._events.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, _EVENTS_BUFFER)
        self._events.setsockopt(SOL_NETLINK, _ADD_MEMBERSHIP, _NFTABLES_EVENTS)
        self._events.setblocking(False)
        self._netfilter = Netlink()

    def read(self, groups: frozenset[int]) -> ForeignDump:
        """Raises SourceError where rules change all the time."""
        told: Optional[dict[_Place, ForeignRule]] = None
        for _ in range(_TRIES):
            try:
                tables = self._tables()
                rules = [rule for found in self._rules() for rule in found if rule.group in groups]
                objects = self._objects(rules)
                if self._tables() != tables:
                    continue
            except InterruptedError:
                continue
            self._hear()
            problems: list[tuple[int, str]] = []
            told = dict(self._lived(_counted(rules, objects, problems), dict(tables)))
            if self._announced(told.values()):
                break
        if told is None:
            raise SourceError("rule sets change faster than counters can be read: see what reloads them")
        self._known = {rule.identity for rule in told.values()}
        self._births = {place: self._births[place] for place in told if place in self._births}
        return ForeignDump(list(told.values()), problems)

    def _lived(
        self, counted: Iterable[tuple[_Place, int, _Volume]], tables: dict[tuple[int, str], int]
    ) -> Iterator[tuple[_Place, ForeignRule]]:
        """Each with the handle of its table in the identity: a table that was made anew has new rules."""
        for place, group, counter in counted:
            family, table, what = place
            identity = f"nft/{family}/{table}/{tables.get((family, table), 0)}/{what}"
            yield place, ForeignRule(group, identity, *counter, self._births.get(place))

    def _announced(self, told: Iterable[ForeignRule]) -> bool:
        """False: a rule is in the dump whose announcement is about to come."""
        known = self._known
        return known is None or all(rule.born or rule.identity in known for rule in told)

    def _tables(self) -> list[tuple[tuple[int, str], int]]:
        return self._dump(encode_dump_tables, decode_table)

    def _rules(self) -> list[list[LogRule]]:
        return self._dump(encode_dump_rules, _log_rules)

    def _objects(self, rules: list[LogRule]) -> dict[tuple[int, str, str], NamedCounter]:
        if not any(rule.object for rule in rules):
            return {}
        found = self._dump(encode_dump_counters, decode_table_counter)
        return {(family, table, counter.name): counter for family, table, counter in found}

    def _dump(
        self, encode: Callable[[int], bytes], decode: Callable[[bytes, Message], _Decoded]
    ) -> list[_Decoded]:
        """Raises InterruptedError where a change of rules came between."""
        try:
            return [decode(buffer, message) for buffer, message in self._netfilter.dump(encode)]
        except InterruptedError:
            raise
        except OSError as error:
            if error.errno in _WITHOUT_NFTABLES:
                return []
            if error.errno is None:  # it did not answer
                raise
            raise SourceError(f"the kernel refused to read rules: {error.strerror}") from error

    def _hear(self) -> None:
        """Take every announcement that is there."""
        while True:
            try:
                buffer = self._events.recv(_RECEIVE)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                continue  # announcements were lost: those rules count from their first reading
            for message in pull_messages(buffer):
                self._births.update(_births(buffer, message))
            while len(self._births) > _MAX_BIRTHS:
                del self._births[next(iter(self._births))]


def _counted(
    rules: list[LogRule],
    objects: dict[tuple[int, str, str], NamedCounter],
    problems: list[tuple[int, str]],
) -> Iterator[tuple[_Place, int, _Volume]]:
    """Place, group and counter of each rule; what cannot be counted goes to problems. A named counter comes
    again with every rule that counts on it: its place is the same."""
    users: defaultdict[tuple[int, str, str], set[int]] = defaultdict(set)
    for rule in rules:
        users[rule.family, rule.table, rule.object].add(rule.group)
    for rule in rules:
        named = objects.get((rule.family, rule.table, rule.object)) if rule.counter is None else None
        others = users[rule.family, rule.table, rule.object] - {rule.group} if named else set()
        if rule.counter is not None:
            yield (rule.family, rule.table, f"{rule.handle}/{rule.group}"), rule.group, rule.counter
        elif named is not None and not others:
            place = (rule.family, rule.table, f"counter {named.name}/{named.handle}")
            yield place, rule.group, (named.octets, named.packets)
        else:
            problems.append((rule.group, _problem(rule, others)))


def _problem(rule: LogRule, others: set[int]) -> str:
    where = (
        f"table {FAMILIES.get(rule.family, rule.family)} {rule.table} chain {rule.chain} handle {rule.handle}"
    )
    if others:
        group = min(others)
        return f"the counter {rule.object} of the rule in {where} counts group {group} too: give each its own"
    return f"the rule in {where} has no counter beside its log statement: write counter before log"


def _log_rules(buffer: bytes, message: Message) -> list[LogRule]:
    """A firewall has thousands of rules, and few that log: only these are decoded."""
    logs = any(buffer.find(word, message.start, message.end) >= 0 for word in (b"log\0", b"NFLOG\0"))
    return decode_log_rules(buffer, message) if logs else []


def _births(buffer: bytes, message: Message) -> Iterator[tuple[_Place, _Volume]]:
    """What an announced rule or named counter begins with."""
    if is_new_rule(message):
        for rule in _log_rules(buffer, message):
            if rule.counter:
                yield (rule.family, rule.table, f"{rule.handle}/{rule.group}"), rule.counter
    elif is_new_object(message):
        with contextlib.suppress(DecodeError):  # an object of another kind
            family, table, counter = decode_table_counter(buffer, message)
            place = (family, table, f"counter {counter.name}/{counter.handle}")
            yield place, (counter.octets, counter.packets)
