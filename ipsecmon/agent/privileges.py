"""The moment of separation: the helper keeps CAP_NET_ADMIN, this process has no capability from here on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from ipsecmon.helper.capabilities import drop_all
from ipsecmon.helper.client import Helper
from ipsecmon.ruleset.model import Plan

__all__ = ["separated"]


@contextlib.contextmanager
def separated(plan: Plan) -> Iterator[Helper]:
    """A helper that knows this plan and no other. Raises MissingCapability."""
    helper = Helper(plan)
    helper.start()
    try:
        drop_all()
        yield helper
    finally:
        helper.stop()
