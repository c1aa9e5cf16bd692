"""Any number of damaged inputs for whatever reads what others wrote: `make fuzz`."""

from __future__ import annotations
