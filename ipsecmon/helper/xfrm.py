"""The kernel's SAs by netlink: dumps, and what happens between them.

One socket each asks for SAs and for policies, and listens to what happens to them. Dumps, NEWSA and DELSA
carry keys: datagrams are received into one buffer and decoded in place, and the buffer is emptied afterwards.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from itertools import islice
from typing import Optional

from ipsecmon.errors import DecodeError, SourceError
from ipsecmon.helper.netfilter import SO_RCVBUFFORCE
from ipsecmon.helper.netlink import Netlink
from ipsecmon.helper.sa_reader import Heard
from ipsecmon.ipsec import Policy, SaEvent
from ipsecmon.wire.netlink import NLM_F_DUMP_INTR, NLMSG_DONE, NLMSG_ERROR, decode_error, pull_messages
from ipsecmon.wire.sa_changes import Changes
from ipsecmon.wire.sa_records import MAX_POLICIES, MAX_SAS
from ipsecmon.wire.xfrm import decode_event
from ipsecmon.wire.xfrm_dump import SaDumpDecoder
from ipsecmon.wire.xfrm_policy import XFRM_MSG_NEWPOLICY, decode_policy, policy_key
from ipsecmon.wire.xfrm_request import (
    EVENT_GROUPS,
    NETLINK_XFRM,
    POLICY_GROUPS,
    XFRM_MSG_EXPIRE,
    encode_policy_dump,
    encode_sa_dump,
)

__all__ = ["NetlinkSaReader"]

_EVENT_BUFFER = 64 << 20  # octets, of which an event takes about 2,000: more than 10 s of 500 rekeys a second
_POLICY_BUFFER = 1 << 20  # an overrun only says that policies changed
_RECEIVE = 1 << 16  # octets; the kernel's dump datagrams are at most 32 KiB
_NOTHING = bytes(_RECEIVE)
_POLICY_NEWS = 10_000  # datagrams at once; more are left for the next time
_DUMP_TRIES = 3  # an SA that is missing in the last one is told of by its events


class NetlinkSaReader:
    """Raises OSError with the kernel's own number where it refuses."""

    def __init__(self) -> None:
        self._listening = _open(EVENT_GROUPS, _EVENT_BUFFER)
        try:
            self._policy_news = _open(POLICY_GROUPS, _POLICY_BUFFER)
        except OSError:
            self._listening.close()
            raise
        self._asking, self._asking_policies = Netlink(NETLINK_XFRM), Netlink(NETLINK_XFRM)
        self._buffer = bytearray(_RECEIVE)
        self._decoder = SaDumpDecoder()
        self._is_interrupted = False
        self._is_congested = False
        self._policies: Optional[list[Policy]] = None
        self._policies_kept: dict[bytes, Policy] = {}
        self._has_policy_news = True

    def close(self) -> None:
        self._listening.close()
        self._policy_news.close()
        self._asking.close()
        self._asking_policies.close()

    def changes(self, is_known: bool) -> Changes:
        """Raises DecodeError, and SourceError where there are more than MAX_SAS."""
        changes = self._dump(is_known)
        for _ in range(_DUMP_TRIES - 1):
            if not self._is_interrupted:
                break
            self._decoder.take_back()
            changes = self._dump(is_known)
        return changes

    def policies(self) -> Optional[list[Policy]]:
        """All there are; None where they are as last told."""
        self._has_policy_news |= self._hear_of_policies()
        if not self._has_policy_news:
            return None
        policies = self._dump_policies()
        self._has_policy_news = False
        if policies == self._policies:
            return None
        self._policies = policies
        return policies

    def events(self, limit: int) -> Heard:
        """What happened since it was last asked. Never waits for something to happen."""
        events: list[SaEvent] = []
        has_missed = False
        for _ in range(limit):
            try:
                length = self._listening.recv_into(self._buffer)
                events += _events(memoryview(self._buffer)[:length])
            except BlockingIOError:
                has_missed |= self._is_congested
                self._is_congested = False
                return self._heard(events, has_missed, has_more=False)
            except DecodeError:
                has_missed = True
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                # the kernel drops all that comes until the queue is empty, and does not say so again
                self._is_congested = True
        return self._heard(events, has_missed or self._is_congested, has_more=True)

    def _heard(self, events: list[SaEvent], has_missed: bool, has_more: bool) -> Heard:
        self._empty_buffer()
        return Heard(events, has_missed, has_more)

    def _dump(self, is_known: bool) -> Changes:
        self._is_interrupted = False
        try:
            return self._decoder.decode(self._datagrams(), is_known)
        except BaseException:
            self._asking.close()
            raise
        finally:
            self._empty_buffer()

    def _datagrams(self) -> Iterator[memoryview]:
        """Each is decoded by the time the next one is asked for."""
        decoder = self._decoder
        connection = self._asking.send(encode_sa_dump)
        connection.setblocking(False)  # the kernel has more whenever it is asked: no poll(2) before each recv
        while True:
            datagram = memoryview(self._buffer)[: connection.recv_into(self._buffer)]
            yield datagram
            if decoder.seen > MAX_SAS:
                raise SourceError(f"the kernel has more than {MAX_SAS} SAs: they are not accounted")
            for message in (*islice(pull_messages(datagram), 1), *decoder.others):
                self._is_interrupted |= bool(message.flags & NLM_F_DUMP_INTR)
                if message.kind in (NLMSG_DONE, NLMSG_ERROR):
                    code = decode_error(datagram, message)
                    if code:
                        raise OSError(code, os.strerror(code))
                    return

    def _dump_policies(self) -> list[Policy]:
        for _ in range(_DUMP_TRIES):
            try:
                return self._policies_once()
            except InterruptedError:
                continue
        raise SourceError("IPsec policies change too quickly to be read")

    def _policies_once(self) -> list[Policy]:
        policies: list[Policy] = []
        kept: dict[bytes, Policy] = {}
        try:
            for buffer, message in self._asking_policies.dump(encode_policy_dump):
                if message.kind == XFRM_MSG_NEWPOLICY:
                    key = policy_key(buffer, message)
                    kept[key] = self._policies_kept.get(key) or decode_policy(buffer, message)
                    policies.append(kept[key])
                if len(policies) > MAX_POLICIES:
                    raise SourceError(f"the kernel has more than {MAX_POLICIES} IPsec policies")
        except (SourceError, DecodeError, OSError):
            self._asking_policies.close()
            raise
        self._policies_kept = kept
        return policies

    def _hear_of_policies(self) -> bool:
        has_news = False
        for _ in range(_POLICY_NEWS):
            try:
                length = self._policy_news.recv_into(self._buffer)
                kinds = (found.kind for found in pull_messages(memoryview(self._buffer)[:length]))
                has_news |= any(kind != XFRM_MSG_EXPIRE for kind in kinds)
            except BlockingIOError:
                return has_news
            except DecodeError:
                has_news = True
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                has_news = True
        return True

    def _empty_buffer(self) -> None:
        self._buffer[:] = _NOTHING


def _open(groups: int, buffer: int) -> socket.socket:
    opened = socket.socket(
        socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, NETLINK_XFRM
    )
    try:
        opened.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, buffer)
        opened.bind((0, groups))
    except OSError:
        opened.close()
        raise
    return opened


def _events(datagram: memoryview) -> list[SaEvent]:
    events = (decode_event(datagram, found) for found in pull_messages(datagram))
    return [event for event in events if event is not None]
