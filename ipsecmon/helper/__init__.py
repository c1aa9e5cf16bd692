"""The small privileged processes, and how main talks to them.

The only ones that ever hold CAP_NET_ADMIN: a supervisor, which takes no input but starts a helper
again when it has ended, and the helper. It is handed the first plan and its bounds before anything is
received from a network, and then knows eight verbs; anything else ends the connection. Standard library,
wire, ruleset and model only.
"""

from __future__ import annotations
