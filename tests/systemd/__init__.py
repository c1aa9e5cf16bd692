"""The real units under a real systemd, in the guest kernel."""

from __future__ import annotations
