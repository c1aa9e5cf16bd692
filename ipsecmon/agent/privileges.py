"""The moment of separation: the helper keeps CAP_NET_ADMIN, this process has no capability from here on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from ipsecmon.helper.capabilities import drop_all
from ipsecmon.helper.client import Helper
from ipsecmon.ruleset.model import Plan

__all__ = ["separated"]


@contextlib.contextmanager
def separated(plan: Plan, groups: Sequence[tuple[int, int]] = ()) -> Iterator[Helper]:
    """A helper that knows this plan, and later ones on these NFLOG groups. Raises MissingCapability."""
    helper = Helper(plan, groups)
    helper.start()
    try:
        drop_all()
        yield helper
    finally:
        helper.stop()
