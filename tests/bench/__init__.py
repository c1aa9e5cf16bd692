"""`python -m tests.bench`: ipsecmon beside other programs, in the same minute and on the same packets."""

from __future__ import annotations
