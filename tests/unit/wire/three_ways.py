"""The one helper every decoder's test calls: whole, truncated at every length, with trailing octets."""

from __future__ import annotations

from collections.abc import Callable, Collection

import pytest

from ipsecmon.errors import DecodeError

__all__ = ["decode_three_ways"]


def decode_three_ways(
    decode: Callable[[bytes], object], whole: bytes, ends: Collection[int] = (), trailing: str = "refused"
) -> None:
    """Whole is taken; every other length but those in ends is refused, and only by DecodeError.

    ends: lengths at which a shorter one is whole too. trailing: "ignored" where the decoder reads one
    message and what follows it is another's business.
    """
    decode(whole)
    for length in range(len(whole)):
        if length in ends:
            decode(whole[:length])
            continue
        with pytest.raises(DecodeError) as refused:
            decode(whole[:length])
        assert 0 <= refused.value.offset <= length
        assert refused.value.reason in str(refused.value)
    for extra in (b"\0", b"\xff" * 3, bytes(4), b"\xff" * 16, bytes(20)):
        if trailing == "ignored":
            decode(whole + extra)
            continue
        with pytest.raises(DecodeError):
            decode(whole + extra)
