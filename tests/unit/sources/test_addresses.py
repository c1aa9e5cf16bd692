"""This machine's own addresses."""

from __future__ import annotations

import errno
from unittest import mock

import pytest
from pyroute2.netlink.exceptions import NetlinkError

from ipsecmon.sources.addresses import own_addresses


def test_loopback_is_ours() -> None:
    assert "127.0.0.1" in own_addresses()


def test_what_the_kernel_refuses_is_an_os_error() -> None:
    refused = mock.patch("ipsecmon.sources.addresses.IPRoute", side_effect=NetlinkError(errno.EBUSY))
    with refused, pytest.raises(OSError, match="busy"):
        own_addresses()
