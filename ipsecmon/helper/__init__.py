"""The small privileged process, and how main talks to it.

The only process that ever holds CAP_NET_ADMIN. It is handed the plan once, before anything is
received from a network, and then knows five verbs and no arguments; anything else ends the
connection. Standard library, wire, ruleset and model only.
"""

from __future__ import annotations
