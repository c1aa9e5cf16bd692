"""The request that binds a group, octet by octet as linux/netfilter/nfnetlink_log.h lays it out."""

from __future__ import annotations

import struct

import pytest

from ipsecmon.wire.netlink import pull_attributes, pull_messages
from ipsecmon.wire.nflog_config import COPY_RANGE, FLUSH_S, MAX_BUFFER, THRESHOLD, encode_bind


def values(request: bytes) -> dict[int, bytes]:
    return {kind: request[start:end] for kind, start, end in pull_attributes(request, 20, len(request))}


def test_a_bind_request_is_these_octets() -> None:
    native = struct.pack("=IHHII", 72, 0x0401, 0x0005, 3, 0)  # NFULNL_MSG_CONFIG; REQUEST and ACK
    attributes = [
        (1, "01"),  # NFULA_CFG_CMD: NFULNL_CFG_CMD_BIND
        (2, "00000080 02 00"),  # NFULA_CFG_MODE: copy_range 128, NFULNL_COPY_PACKET
        (3, "00020000"),  # NFULA_CFG_NLBUFSIZ: 131072
        (4, "0000000a"),  # NFULA_CFG_TIMEOUT: 10 hundredths of a second
        (5, "00000200"),  # NFULA_CFG_QTHRESH: 512
        (6, "0001"),  # NFULA_CFG_FLAGS: NFULNL_CFG_F_SEQ
    ]
    expected = native + bytes.fromhex("00 00 1234")  # nfgenmsg: AF_UNSPEC, NFNETLINK_V0, group
    for kind, digits in attributes:
        value = bytes.fromhex(digits)
        expected += struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)

    assert encode_bind(0x1234, 3) == expected


@pytest.mark.parametrize("group", [0, 1, 65535])
def test_everything_about_a_group_is_in_one_message_that_asks_for_an_answer(group: int) -> None:
    request = encode_bind(group, 2**32 - 1)

    (found,) = pull_messages(request)
    assert found.end == len(request)
    assert found.sequence == 2**32 - 1
    assert found.flags & 0x04
    assert request[18:20] == group.to_bytes(2, "big")
    assert set(values(request)) == {1, 2, 3, 4, 5, 6}


def test_no_setting_is_beyond_what_the_kernel_takes() -> None:
    assert MAX_BUFFER <= 131072  # more is ignored, and acknowledged as success
    assert int.from_bytes(values(encode_bind(1, 1))[3], "big") == MAX_BUFFER
    assert 1 < THRESHOLD <= 1024
    assert 0.01 <= FLUSH_S <= 1
    assert COPY_RANGE >= 56  # the longest snap length of our rules: IPv6, UDP and an SPI


@pytest.mark.parametrize("group", [-1, 65536])
def test_what_is_no_group_is_not_encoded_as_another_one(group: int) -> None:
    with pytest.raises(struct.error):
        encode_bind(group, 1)
